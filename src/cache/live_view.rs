//! One live view: the resources that its streams asked for, and the index from a name to those streams.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use super::mailbox::Mailbox;
use super::{Source, StreamId, lock};
use crate::model::ViewKey;
use crate::resources::{Resource, ResourceType};

/// The resources of one view that somebody asked for.
pub struct LiveView {
    key: ViewKey,
    source: Arc<dyn Source>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kinds: BTreeMap<ResourceType, Kind>,
    /// Where to tell each stream of this view.
    mailboxes: HashMap<StreamId, Arc<Mailbox>>,
}

/// What is held of one type.
#[derive(Default)]
struct Kind {
    /// By name. Held while somebody wants the name, or the whole type.
    entries: BTreeMap<Arc<str>, Entry>,
    /// Streams that want the whole type.
    wildcard: BTreeSet<StreamId>,
}

/// One name.
#[derive(Default)]
struct Entry {
    /// The present content; `None` for a name that does not exist (yet), whose arrival is waited for.
    resource: Option<Arc<Resource>>,
    /// Streams that asked for it by name.
    streams: BTreeSet<StreamId>,
}

impl LiveView {
    pub(super) fn new(key: ViewKey, source: Arc<dyn Source>) -> Self {
        Self {
            key,
            source,
            state: Mutex::default(),
        }
    }

    /// What decides this view's content.
    #[must_use]
    pub fn key(&self) -> &ViewKey {
        &self.key
    }

    /// The names of a type that are held.
    #[must_use]
    pub fn names(&self, kind: ResourceType) -> Vec<Arc<str>> {
        lock(&self.state)
            .kinds
            .get(&kind)
            .map(|kind| kind.entries.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Asks the source again for names that may have changed. Those that nobody wants are passed over; those that differ
    /// are kept and their streams told. Returns how many differed.
    pub fn refresh<'a>(&self, kind: ResourceType, names: impl IntoIterator<Item = &'a Arc<str>>) -> usize {
        let mut state = lock(&self.state);
        let State { kinds, mailboxes } = &mut *state;
        let Some(held) = kinds.get_mut(&kind) else {
            return 0;
        };
        names
            .into_iter()
            .filter(|name| held.refresh(kind, name, &*self.source, &self.key, mailboxes))
            .count()
    }

    pub(super) fn join(&self, stream: StreamId, mailbox: Arc<Mailbox>) {
        lock(&self.state).mailboxes.insert(stream, mailbox);
    }

    pub(super) fn leave(&self, stream: StreamId, names: &BTreeMap<ResourceType, BTreeSet<Arc<str>>>) {
        for (kind, names) in names {
            self.unsubscribe(stream, *kind, names.iter());
        }
        for kind in ResourceType::ALL {
            self.unsubscribe_all(stream, kind);
        }
        lock(&self.state).mailboxes.remove(&stream);
    }

    pub(super) fn subscribe<'a>(
        &self,
        stream: StreamId,
        kind: ResourceType,
        names: impl IntoIterator<Item = &'a Arc<str>>,
    ) {
        let mut state = lock(&self.state);
        let held = state.kinds.entry(kind).or_default();
        for name in names {
            let entry = held.entries.entry(Arc::clone(name)).or_insert_with(|| Entry {
                resource: self.source.build(&self.key, kind, name),
                streams: BTreeSet::new(),
            });
            entry.streams.insert(stream);
        }
    }

    pub(super) fn unsubscribe<'a>(
        &self,
        stream: StreamId,
        kind: ResourceType,
        names: impl IntoIterator<Item = &'a Arc<str>>,
    ) {
        let mut state = lock(&self.state);
        let Some(held) = state.kinds.get_mut(&kind) else {
            return;
        };
        for name in names {
            if let Some(entry) = held.entries.get_mut(name) {
                entry.streams.remove(&stream);
                let kept = !held.wildcard.is_empty() && self.source.covers(kind, name);
                if entry.streams.is_empty() && !kept {
                    held.entries.remove(name);
                }
            }
        }
    }

    pub(super) fn subscribe_all(&self, stream: StreamId, kind: ResourceType) {
        let mut state = lock(&self.state);
        let State { kinds, mailboxes } = &mut *state;
        let held = kinds.entry(kind).or_default();
        if held.wildcard.is_empty() {
            let nobody = BTreeSet::new();
            for name in self.source.names(&self.key, kind) {
                let resource = self.source.build(&self.key, kind, &name);
                // What this finds changed nobody has told yet to those who asked for it by name.
                let entry = held.entries.entry(Arc::clone(&name)).or_default();
                entry.put(resource, kind, &name, &nobody, mailboxes);
            }
        }
        held.wildcard.insert(stream);
    }

    pub(super) fn unsubscribe_all(&self, stream: StreamId, kind: ResourceType) {
        let mut state = lock(&self.state);
        let Some(held) = state.kinds.get_mut(&kind) else {
            return;
        };
        if held.wildcard.remove(&stream) && held.wildcard.is_empty() {
            held.entries.retain(|_, entry| !entry.streams.is_empty());
        }
    }

    pub(super) fn get(&self, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        lock(&self.state).kinds.get(&kind)?.entries.get(name)?.resource.clone()
    }

    pub(super) fn all(&self, kind: ResourceType) -> Vec<Arc<Resource>> {
        let state = lock(&self.state);
        let held = state.kinds.get(&kind);
        held.map(|held| {
            held.entries
                .iter()
                .filter(|(name, _)| self.source.covers(kind, name))
                .filter_map(|(_, entry)| entry.resource.clone())
                .collect()
        })
        .unwrap_or_default()
    }
}

impl Kind {
    /// Brings one name up to date and tells whoever wants it; false when nobody does or nothing changed.
    fn refresh(
        &mut self,
        kind: ResourceType,
        name: &Arc<str>,
        source: &dyn Source,
        key: &ViewKey,
        mailboxes: &HashMap<StreamId, Arc<Mailbox>>,
    ) -> bool {
        let covered = !self.wildcard.is_empty() && source.covers(kind, name);
        if !covered && !self.entries.contains_key(name) {
            return false;
        }
        let resource = source.build(key, kind, name);
        let nobody = BTreeSet::new();
        let others = if covered { &self.wildcard } else { &nobody };
        let entry = self.entries.entry(Arc::clone(name)).or_default();
        let differs = entry.put(resource, kind, name, others, mailboxes);
        if entry.resource.is_none() && entry.streams.is_empty() {
            self.entries.remove(name);
        }
        differs
    }
}

impl Entry {
    /// Takes the present content over and tells whoever wants it, and these others; false when it is the same.
    fn put(
        &mut self,
        resource: Option<Arc<Resource>>,
        kind: ResourceType,
        name: &Arc<str>,
        others: &BTreeSet<StreamId>,
        mailboxes: &HashMap<StreamId, Arc<Mailbox>>,
    ) -> bool {
        let version = |resource: &Option<Arc<Resource>>| resource.as_ref().map(|resource| resource.version);
        if version(&self.resource) == version(&resource) {
            return false;
        }
        for stream in self.streams.union(others) {
            if let Some(mailbox) = mailboxes.get(stream) {
                mailbox.post(kind, name);
            }
        }
        self.resource = resource;
        true
    }
}

impl fmt::Debug for LiveView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveView")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
