//! One live view: the resources that its streams asked for, and the index from a name to those streams.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use super::content::{Content, Origin};
use super::mailbox::Mailbox;
use super::{Source, StreamId, lock};
use crate::model::{Vantage, ViewKey};
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
    crowd: Crowd,
}

/// The streams of a view.
#[derive(Default)]
struct Crowd {
    streams: HashMap<StreamId, Listener>,
    /// Where they stand, and how many at each.
    vantages: BTreeMap<Arc<Vantage>, usize>,
}

/// One of them.
struct Listener {
    mailbox: Arc<Mailbox>,
    vantage: Arc<Vantage>,
}

impl Crowd {
    fn join(&mut self, stream: StreamId, mailbox: Arc<Mailbox>, vantage: Arc<Vantage>) {
        self.leave(stream);
        *self.vantages.entry(Arc::clone(&vantage)).or_default() += 1;
        self.streams.insert(stream, Listener { mailbox, vantage });
    }

    fn leave(&mut self, stream: StreamId) {
        if let Some(gone) = self.streams.remove(&stream)
            && let Some(count) = self.vantages.get_mut(&gone.vantage)
        {
            *count -= 1;
            if *count == 0 {
                self.vantages.remove(&gone.vantage);
            }
        }
    }

    fn vantage(&self, stream: StreamId) -> Option<&Vantage> {
        self.streams.get(&stream).map(|listener| &*listener.vantage)
    }
}

/// What is held of one type.
#[derive(Default)]
struct Kind {
    /// By name. Held while somebody wants the name, or the whole type.
    entries: BTreeMap<Arc<str>, Entry>,
    /// Streams that want the whole type.
    wildcard: BTreeSet<StreamId>,
    /// The names whose content is another for some streams; mostly none.
    apart: BTreeSet<Arc<str>>,
}

/// One name.
#[derive(Default)]
struct Entry {
    /// The present content.
    content: Content,
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
        let State { kinds, crowd } = &mut *state;
        let Some(held) = kinds.get_mut(&kind) else {
            return 0;
        };
        let origin = self.origin(kind);
        names
            .into_iter()
            .filter(|name| held.refresh(name, origin, crowd))
            .count()
    }

    fn origin(&self, kind: ResourceType) -> Origin<'_> {
        Origin {
            source: &*self.source,
            key: &self.key,
            kind,
        }
    }

    pub(super) fn join(&self, stream: StreamId, mailbox: Arc<Mailbox>, vantage: Arc<Vantage>) {
        lock(&self.state).crowd.join(stream, mailbox, vantage);
    }

    /// Has what a stream asked for at its present vantage, too; the names that may be otherwise from there.
    pub(super) fn turn(&self, stream: StreamId, kind: ResourceType) -> Vec<Arc<str>> {
        let mut state = lock(&self.state);
        let State { kinds, crowd } = &mut *state;
        let (Some(held), Some(vantage)) = (kinds.get_mut(&kind), crowd.vantage(stream)) else {
            return Vec::new();
        };
        let origin = self.origin(kind);
        let mut names = Vec::new();
        for name in &held.apart {
            if let Some(entry) = held.entries.get_mut(name)
                && (held.wildcard.contains(&stream) || entry.streams.contains(&stream))
            {
                entry.content.include(vantage, name, origin);
                names.push(Arc::clone(name));
            }
        }
        names
    }

    pub(super) fn leave(&self, stream: StreamId, names: &BTreeMap<ResourceType, BTreeSet<Arc<str>>>) {
        for (kind, names) in names {
            self.unsubscribe(stream, *kind, names.iter());
        }
        for kind in ResourceType::ALL {
            self.unsubscribe_all(stream, kind);
        }
        lock(&self.state).crowd.leave(stream);
    }

    pub(super) fn subscribe<'a>(
        &self,
        stream: StreamId,
        kind: ResourceType,
        names: impl IntoIterator<Item = &'a Arc<str>>,
    ) {
        let mut state = lock(&self.state);
        let State { kinds, crowd } = &mut *state;
        let held = kinds.entry(kind).or_default();
        let origin = self.origin(kind);
        for name in names {
            let mut is_new = false;
            let entry = held.entries.entry(Arc::clone(name)).or_insert_with(|| {
                is_new = true;
                Entry {
                    content: origin.content(name, crowd.vantages.keys()),
                    streams: BTreeSet::new(),
                }
            });
            entry.streams.insert(stream);
            if entry.content.is_apart() {
                if let Some(vantage) = crowd.vantage(stream) {
                    entry.content.include(vantage, name, origin);
                }
                if is_new {
                    held.apart.insert(Arc::clone(name));
                }
            }
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
                    held.remove(name);
                }
            }
        }
    }

    pub(super) fn subscribe_all(&self, stream: StreamId, kind: ResourceType) {
        let mut state = lock(&self.state);
        let State { kinds, crowd } = &mut *state;
        let held = kinds.entry(kind).or_default();
        let origin = self.origin(kind);
        if held.wildcard.is_empty() {
            let nobody = BTreeSet::new();
            for name in self.source.names(&self.key, kind) {
                let content = origin.content(&name, crowd.vantages.keys());
                // What this finds changed nobody has told yet to those who asked for it by name.
                held.put(content, kind, &name, &nobody, crowd);
            }
        } else if let Some(vantage) = crowd.vantage(stream) {
            for name in &held.apart {
                if let Some(entry) = held.entries.get_mut(name) {
                    entry.content.include(vantage, name, origin);
                }
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
            let Kind { entries, apart, .. } = held;
            apart.retain(|name| entries.contains_key(name));
        }
    }

    pub(super) fn get(&self, stream: StreamId, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        let state = lock(&self.state);
        let vantage = state.crowd.vantage(stream)?;
        let entry = state.kinds.get(&kind)?.entries.get(name)?;
        entry.content.at(vantage).cloned()
    }

    pub(super) fn all(&self, stream: StreamId, kind: ResourceType) -> Vec<Arc<Resource>> {
        let state = lock(&self.state);
        let (Some(vantage), Some(held)) = (state.crowd.vantage(stream), state.kinds.get(&kind)) else {
            return Vec::new();
        };
        held.entries
            .iter()
            .filter(|(name, _)| self.source.covers(kind, name))
            .filter_map(|(_, entry)| entry.content.at(vantage).cloned())
            .collect()
    }
}

impl Kind {
    /// Brings one name up to date and tells whoever wants it; false when nobody does or nothing changed.
    fn refresh(&mut self, name: &Arc<str>, origin: Origin<'_>, crowd: &Crowd) -> bool {
        let covered = !self.wildcard.is_empty() && origin.source.covers(origin.kind, name);
        if !covered && !self.entries.contains_key(name) {
            return false;
        }
        let content = origin.content(name, crowd.vantages.keys());
        let others = if covered {
            std::mem::take(&mut self.wildcard)
        } else {
            BTreeSet::new()
        };
        let differs = self.put(content, origin.kind, name, &others, crowd);
        if covered {
            self.wildcard = others;
        }
        differs
    }

    /// Takes the present content over and tells whoever wants it, and these others; false when it is the same.
    fn put(
        &mut self,
        content: Content,
        kind: ResourceType,
        name: &Arc<str>,
        others: &BTreeSet<StreamId>,
        crowd: &Crowd,
    ) -> bool {
        let entry = self.entries.entry(Arc::clone(name)).or_default();
        let differs = entry.content.differs(&content);
        if differs {
            if content.is_apart() {
                self.apart.insert(Arc::clone(name));
            } else if entry.content.is_apart() {
                self.apart.remove(name);
            }
            let old = std::mem::replace(&mut entry.content, content);
            let for_all = !old.is_apart() && !entry.content.is_apart();
            for stream in entry.streams.union(others) {
                if let Some(Listener { mailbox, vantage }) = crowd.streams.get(stream)
                    && (for_all || old.version_at(vantage) != entry.content.version_at(vantage))
                {
                    mailbox.post(kind, name);
                }
            }
        }
        if entry.content.is_empty() && entry.streams.is_empty() {
            self.remove(name);
        }
        differs
    }

    fn remove(&mut self, name: &Arc<str>) {
        self.entries.remove(name);
        if !self.apart.is_empty() {
            self.apart.remove(name);
        }
    }
}

impl fmt::Debug for LiveView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveView")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
