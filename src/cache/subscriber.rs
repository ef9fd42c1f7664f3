//! One stream's hold on the cache: its subscriptions, and what changed among them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use super::mailbox::{Changes, Mailbox};
use super::views::{Part, Views};
use super::{Cache, Lookup, StreamId, lock};
use crate::model::{PodRef, Standpoint, Viewer};
use crate::resources::{Resource, ResourceType};

/// What one stream wants. Dropping it ends its subscriptions.
pub struct Subscriber {
    id: StreamId,
    cache: Arc<Cache>,
    viewer: Viewer,
    mailbox: Arc<Mailbox>,
    hold: Mutex<Hold>,
}

/// Changed by the stream's requests, and by a move to another view.
struct Hold {
    standpoint: Standpoint,
    views: Views,
    /// The names asked for, to take them along on a move and to give them back at the end.
    names: BTreeMap<ResourceType, BTreeSet<Arc<str>>>,
    /// The types asked for as a whole.
    whole: BTreeSet<ResourceType>,
}

impl Subscriber {
    pub(super) fn new(id: StreamId, cache: Arc<Cache>, viewer: Viewer, standpoint: Standpoint) -> Arc<Self> {
        let mailbox = Arc::new(Mailbox::default());
        let views = Views::at(&cache, &viewer, &standpoint);
        views.join(id, &mailbox, &Arc::new(standpoint.vantage.clone()));
        let hold = Hold {
            standpoint,
            views,
            names: BTreeMap::new(),
            whole: BTreeSet::new(),
        };
        Arc::new(Self {
            id,
            cache,
            viewer,
            mailbox,
            hold: Mutex::new(hold),
        })
    }

    /// Identifies the stream.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The pod that its proxy stands beside.
    pub(super) fn workload(&self) -> Option<PodRef> {
        self.viewer.workload()
    }

    /// Where the stream's proxy stands now.
    #[must_use]
    pub fn standpoint(&self) -> Standpoint {
        lock(&self.hold).standpoint.clone()
    }

    /// Asks for names. From the return on they can be looked up, and every change of them is told.
    pub fn subscribe(&self, kind: ResourceType, names: &[Arc<str>]) {
        let mut hold = lock(&self.hold);
        for part in Part::of_kind(kind) {
            let of_part = names.iter().filter(|name| Part::of(kind, name) == *part);
            hold.views.part(*part).subscribe(self.id, kind, of_part);
        }
        let held = hold.names.entry(kind).or_default();
        if held.is_empty() {
            // Built at once it is half as large as one that grows.
            *held = names.iter().cloned().collect();
        } else {
            held.extend(names.iter().cloned());
        }
    }

    /// Gives names back; those never asked for are passed over.
    pub fn unsubscribe(&self, kind: ResourceType, names: &[Arc<str>]) {
        let mut hold = lock(&self.hold);
        for view in hold.views.of_kind(kind) {
            view.unsubscribe(self.id, kind, names);
        }
        if let Some(held) = hold.names.get_mut(&kind) {
            for name in names {
                held.remove(name);
            }
        }
    }

    /// Asks for a whole type.
    pub fn subscribe_all(&self, kind: ResourceType) {
        let mut hold = lock(&self.hold);
        for view in hold.views.of_kind(kind) {
            view.subscribe_all(self.id, kind);
        }
        hold.whole.insert(kind);
    }

    /// Gives a whole type back; names asked for stay.
    pub fn unsubscribe_all(&self, kind: ResourceType) {
        let mut hold = lock(&self.hold);
        for view in hold.views.of_kind(kind) {
            view.unsubscribe_all(self.id, kind);
        }
        hold.whole.remove(&kind);
    }

    /// Waits until something that is subscribed to changed, and takes the names. Safe to drop and call again.
    pub async fn changed(&self) -> Changes {
        self.mailbox.take().await
    }

    /// Moves to the views where the viewer stands now, with all subscriptions. The stream is told of every name of views that it
    /// left and came to: it compares versions and sends what differs.
    pub(super) fn relocate(&self) {
        let mut hold = lock(&self.hold);
        // Under the lock, so that of two who ask at once the one who saw the newer table comes last.
        let mut standpoint = self.cache.locate(&self.viewer);
        if standpoint.key.role == hold.standpoint.key.role {
            // A member that went leaves its workloads as they were.
            standpoint.inbound = standpoint.inbound.or_else(|| hold.standpoint.inbound.clone());
        }
        let moves = hold.standpoint.key != standpoint.key || hold.standpoint.inbound != standpoint.inbound;
        let turns = hold.standpoint.vantage != standpoint.vantage;
        hold.standpoint = standpoint;
        if moves || turns {
            let views = Views::at(&self.cache, &self.viewer, &hold.standpoint);
            let old = std::mem::replace(&mut hold.views, views);
            self.move_from(&old, &hold, turns);
        }
    }

    /// `turns`: it sees views where it stays from another vantage, too.
    fn move_from(&self, old: &Views, hold: &Hold, turns: bool) {
        let vantage = Arc::new(hold.standpoint.vantage.clone());
        hold.views.join(self.id, &self.mailbox, &vantage);
        for part in Part::ALL {
            let (left, view) = (old.part(part), hold.views.part(part));
            if Arc::ptr_eq(left, view) {
                for kind in ResourceType::ALL.into_iter().filter(|_| turns) {
                    for name in view.turn(self.id, kind) {
                        self.mailbox.post(kind, &name);
                    }
                }
                continue;
            }
            let mut told: BTreeMap<ResourceType, BTreeSet<Arc<str>>> = BTreeMap::new();
            for (kind, names) in &hold.names {
                let here = || names.iter().filter(|name| Part::of(*kind, name) == part);
                view.subscribe(self.id, *kind, here());
                told.entry(*kind).or_default().extend(here().cloned());
            }
            for kind in hold.whole.iter().filter(|kind| Part::of_kind(**kind).contains(&part)) {
                view.subscribe_all(self.id, *kind);
                let both = [left, view].into_iter().flat_map(|view| view.names(*kind));
                told.entry(*kind).or_default().extend(both);
            }
            for (kind, names) in &told {
                for name in names {
                    self.mailbox.post(*kind, name);
                }
            }
        }
        for view in old.all().filter(|view| !hold.views.has(view)) {
            view.leave(self.id, &hold.names);
        }
    }
}

impl Lookup for Subscriber {
    fn get(&self, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        let hold = lock(&self.hold);
        // The view may hold it for another stream, which asked for it by name.
        let asked = || hold.names.get(&kind).is_some_and(|names| names.contains(name));
        if !self.cache.source.covers(kind, name) && !asked() {
            return None;
        }
        hold.views.of(kind, name).get(self.id, kind, name)
    }

    fn all(&self, kind: ResourceType) -> Vec<Arc<Resource>> {
        let hold = lock(&self.hold);
        let mut all: Vec<_> = hold
            .views
            .of_kind(kind)
            .flat_map(|view| view.all(self.id, kind))
            .collect();
        // Each view's are; only listeners come from two.
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let hold = lock(&self.hold);
        for view in hold.views.all() {
            view.leave(self.id, &hold.names);
        }
        self.cache.detach(self.id, self.workload());
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
