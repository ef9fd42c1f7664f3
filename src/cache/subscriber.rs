//! One stream's hold on the cache: its subscriptions, and what changed among them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use super::mailbox::{Changes, Mailbox};
use super::{Cache, LiveView, Lookup, StreamId, lock};
use crate::model::{Standpoint, Viewer};
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
    view: Arc<LiveView>,
    /// What has its listeners and routes; of all but sidecars the same view.
    site: Arc<LiveView>,
    /// The names asked for, to take them along on a move and to give them back at the end.
    names: BTreeMap<ResourceType, BTreeSet<Arc<str>>>,
    /// The types asked for as a whole.
    whole: BTreeSet<ResourceType>,
}

impl Hold {
    fn view(&self, kind: ResourceType) -> &LiveView {
        match kind {
            ResourceType::Cluster | ResourceType::ClusterLoadAssignment | ResourceType::Secret => &self.view,
            ResourceType::Listener | ResourceType::RouteConfiguration => &self.site,
        }
    }
}

impl Subscriber {
    pub(super) fn new(id: StreamId, cache: Arc<Cache>, viewer: Viewer, standpoint: Standpoint) -> Arc<Self> {
        let mailbox = Arc::new(Mailbox::default());
        let view = cache.view(&standpoint.key);
        let site = cache.view(&viewer.site_key(&standpoint.key));
        let vantage = Arc::new(standpoint.vantage.clone());
        for view in [&view, &site] {
            view.join(id, Arc::clone(&mailbox), Arc::clone(&vantage));
        }
        let hold = Hold {
            standpoint,
            view,
            site,
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

    /// Where the stream's proxy stands now.
    #[must_use]
    pub fn standpoint(&self) -> Standpoint {
        lock(&self.hold).standpoint.clone()
    }

    /// Asks for names. From the return on they can be looked up, and every change of them is told.
    pub fn subscribe(&self, kind: ResourceType, names: &[Arc<str>]) {
        let mut hold = lock(&self.hold);
        hold.view(kind).subscribe(self.id, kind, names);
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
        hold.view(kind).unsubscribe(self.id, kind, names);
        if let Some(held) = hold.names.get_mut(&kind) {
            for name in names {
                held.remove(name);
            }
        }
    }

    /// Asks for a whole type.
    pub fn subscribe_all(&self, kind: ResourceType) {
        let mut hold = lock(&self.hold);
        hold.view(kind).subscribe_all(self.id, kind);
        hold.whole.insert(kind);
    }

    /// Gives a whole type back; names asked for stay.
    pub fn unsubscribe_all(&self, kind: ResourceType) {
        let mut hold = lock(&self.hold);
        hold.view(kind).unsubscribe_all(self.id, kind);
        hold.whole.remove(&kind);
    }

    /// Waits until something that is subscribed to changed, and takes the names. Safe to drop and call again.
    pub async fn changed(&self) -> Changes {
        self.mailbox.take().await
    }

    /// Moves to the view where the viewer stands now, with all subscriptions. The stream is told of every name of both
    /// views: it compares versions and sends what differs.
    pub(super) fn relocate(&self) {
        let standpoint = self.cache.locate(&self.viewer);
        let mut hold = lock(&self.hold);
        let stood = (&hold.standpoint.key, &hold.standpoint.vantage);
        if stood != (&standpoint.key, &standpoint.vantage) {
            let view = self.cache.view(&standpoint.key);
            let site = self.cache.view(&self.viewer.site_key(&standpoint.key));
            let mut told = hold.names.clone();
            for kind in &hold.whole {
                told.entry(*kind).or_default().extend(hold.view(*kind).names(*kind));
            }
            // It may come back to the view that it leaves, to see it from elsewhere.
            for old in [&hold.view, &hold.site] {
                old.leave(self.id, &hold.names);
            }
            (hold.view, hold.site) = (view, site);
            let vantage = Arc::new(standpoint.vantage.clone());
            for view in [&hold.view, &hold.site] {
                view.join(self.id, Arc::clone(&self.mailbox), Arc::clone(&vantage));
            }
            for (kind, names) in &hold.names {
                hold.view(*kind).subscribe(self.id, *kind, names);
            }
            for kind in &hold.whole {
                let view = hold.view(*kind);
                view.subscribe_all(self.id, *kind);
                told.entry(*kind).or_default().extend(view.names(*kind));
            }
            for (kind, names) in &told {
                for name in names {
                    self.mailbox.post(*kind, name);
                }
            }
        }
        hold.standpoint = standpoint;
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
        hold.view(kind).get(self.id, kind, name)
    }

    fn all(&self, kind: ResourceType) -> Vec<Arc<Resource>> {
        lock(&self.hold).view(kind).all(self.id, kind)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let hold = lock(&self.hold);
        hold.view.leave(self.id, &hold.names);
        hold.site.leave(self.id, &hold.names);
        self.cache.detach(self.id);
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
