//! Which clusters the listeners or routes of a client name: those must be there as long as they do.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Names of clusters.
type Clusters = Arc<[Arc<str>]>;

/// What is known of the content of one name.
#[derive(Debug, Clone)]
enum Named {
    /// It names these.
    These(Clusters),
    /// It may name any: it is from another stream, or of several refused answers nobody knows what was kept.
    Any,
}

/// One name. Small, for a sidecar has hundreds.
#[derive(Debug)]
struct Use {
    /// What was sent last; nothing where it was taken away.
    now: Option<Named>,
    /// What the client had before, until it takes what was sent.
    before: Option<Box<Named>>,
}

/// Of one type: every name whose content names clusters.
#[derive(Debug, Default)]
pub(super) struct Uses(BTreeMap<Arc<str>, Use>);

impl Uses {
    /// A client says that it holds this from before.
    pub(super) fn claimed(&mut self, name: &Arc<str>) {
        let now = Some(Named::Any);
        self.0.insert(Arc::clone(name), Use { now, before: None });
    }

    /// What a client says to hold turns out to be this; false when it was known before.
    pub(super) fn turns_out(&mut self, name: &Arc<str>, clusters: &Clusters) -> bool {
        let entry = self.0.get_mut(name);
        let unknown = entry.filter(|entry| matches!(entry.now, Some(Named::Any)));
        unknown.is_some_and(|entry| {
            entry.now = Some(Named::These(Arc::clone(clusters)));
            true
        })
    }

    /// This is sent.
    pub(super) fn sent(&mut self, name: &Arc<str>, clusters: &Clusters) {
        let new = Named::These(Arc::clone(clusters));
        match self.0.get_mut(name) {
            Some(entry) if entry.is_just(clusters) => {}
            Some(entry) => entry.replace(Some(new)),
            None if clusters.is_empty() => {}
            None => {
                let now = Some(new);
                self.0.insert(Arc::clone(name), Use { now, before: None });
            }
        }
    }

    /// It is taken away.
    pub(super) fn removed(&mut self, name: &str) {
        if let Some(entry) = self.0.get_mut(name) {
            entry.replace(None);
        }
    }

    /// The client takes what was sent of these names.
    pub(super) fn acked<'a>(&mut self, names: impl IntoIterator<Item = &'a Arc<str>>) {
        for name in names {
            if let Some(entry) = self.0.get_mut(name) {
                entry.before = None;
                if entry.names_nothing() {
                    self.0.remove(name);
                }
            }
        }
    }

    /// It takes all.
    pub(super) fn all_acked(&mut self) {
        self.0.retain(|_, entry| {
            entry.before = None;
            !entry.names_nothing()
        });
    }

    /// It refuses what was sent of these names, and may have kept a part of it.
    pub(super) fn nacked<'a>(&mut self, names: impl IntoIterator<Item = &'a Arc<str>>) {
        for name in names {
            if let Some(Use { before: Some(both), .. }) = self.0.get_mut(name) {
                **both = Named::Any;
            }
        }
    }

    /// It refuses a full set.
    pub(super) fn all_nacked(&mut self) {
        for entry in self.0.values_mut() {
            if let Some(both) = &mut entry.before {
                **both = Named::Any;
            }
        }
    }

    /// The client has no use for this any more, by its own word.
    pub(super) fn dropped(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Only these stay.
    pub(super) fn retain(&mut self, stays: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| stays(name));
    }

    /// How many names.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds all clusters that may be in use; false when these may be any.
    pub(super) fn collect<'a>(&'a self, used: &mut HashSet<&'a str>) -> bool {
        for entry in self.0.values() {
            for named in entry.now.iter().chain(entry.before.as_deref()) {
                match named {
                    Named::These(clusters) => used.extend(clusters.iter().map(|name| &**name)),
                    Named::Any => return false,
                }
            }
        }
        true
    }
}

impl Use {
    fn replace(&mut self, new: Option<Named>) {
        let old = std::mem::replace(&mut self.now, new);
        if self.before.is_none() {
            self.before = old.map(Box::new);
        }
    }

    fn is_just(&self, clusters: &Clusters) -> bool {
        let same = |now: &Clusters| Arc::ptr_eq(now, clusters) || now == clusters;
        self.before.is_none() && matches!(&self.now, Some(Named::These(now)) if same(now))
    }

    fn names_nothing(&self) -> bool {
        match &self.now {
            None => true,
            Some(Named::These(clusters)) => clusters.is_empty(),
            Some(Named::Any) => false,
        }
    }
}
