//! What is being served: resources per live view, and who wants which of them.
//!
//! A view is lazy: it holds the resources that a stream of it asked for and no others. Push says what may have changed;
//! the view asks its [`Source`] for the new content, keeps it where it differs, and marks the streams that want it.

mod content;
mod live_view;
mod mailbox;
mod subscriber;
mod views;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::model::{Aspect, PodRef, Standpoint, ViewKey, Viewer};
use crate::resources::{Resource, ResourceType};

pub use live_view::LiveView;
pub use mailbox::Changes;
pub use subscriber::Subscriber;

/// Where content comes from. Implemented by push, which knows the table.
///
/// A view calls it while it is locked, and reads the table's present state only then; that is what makes "latest wins"
/// true when a subscription and a change meet.
pub trait Source: Send + Sync + fmt::Debug {
    /// Where a viewer stands.
    fn locate(&self, viewer: &Viewer) -> Standpoint;
    /// All names of a type in a view, for wildcard subscriptions.
    fn names(&self, key: &ViewKey, kind: ResourceType) -> Vec<Arc<str>>;
    /// Whether `*` covers this name of a type that can be asked for as a whole; the others are served by name only. Never
    /// changes for a name.
    fn covers(&self, kind: ResourceType, name: &str) -> bool;
    /// What of a viewer's vantage counts for a name; of most, nothing.
    fn aspect(&self, _key: &ViewKey, _kind: ResourceType, _name: &str) -> Aspect {
        Aspect::NOTHING
    }
    /// One resource as the view has it now, at the vantage in the key, of which only what the aspect says is set; `None` where it does not exist.
    fn build(&self, key: &ViewKey, kind: ResourceType, name: &str) -> Option<Arc<Resource>>;
}

/// Reading what a view holds; what a session needs to answer.
pub trait Lookup {
    /// The resource of this name, if it exists and is subscribed to.
    fn get(&self, kind: ResourceType, name: &str) -> Option<Arc<Resource>>;
    /// Every resource of a type that is subscribed to as a whole, sorted by name.
    fn all(&self, kind: ResourceType) -> Vec<Arc<Resource>>;
}

/// Identifies a stream within this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// All live views.
#[derive(Debug)]
pub struct Cache {
    source: Arc<dyn Source>,
    /// Gives each stream its id.
    next_stream: AtomicU64,
    /// Views with at least one subscriber; a view goes with its last one.
    views: Mutex<BTreeMap<ViewKey, Weak<LiveView>>>,
    /// Every subscriber, for the day when viewers' networks change.
    subscribers: Mutex<HashMap<StreamId, Weak<Subscriber>>>,
    /// The sidecars among them by their pods, for what changes of one pod.
    workloads: Mutex<HashMap<PodRef, Vec<StreamId>>>,
}

impl Cache {
    /// A cache without views.
    #[must_use]
    pub fn new(source: Arc<dyn Source>) -> Arc<Self> {
        Arc::new(Self {
            source,
            next_stream: AtomicU64::new(1),
            views: Mutex::default(),
            subscribers: Mutex::default(),
            workloads: Mutex::default(),
        })
    }

    /// Where a viewer would stand.
    #[must_use]
    pub fn locate(&self, viewer: &Viewer) -> Standpoint {
        self.source.locate(viewer)
    }

    /// Opens a subscriber for a stream. Its subscriptions end when it is dropped.
    #[must_use]
    pub fn attach(self: &Arc<Self>, viewer: Viewer) -> Arc<Subscriber> {
        let id = StreamId(self.next_stream.fetch_add(1, Ordering::Relaxed));
        let standpoint = self.source.locate(&viewer);
        let subscriber = Subscriber::new(id, Arc::clone(self), viewer, standpoint);
        lock(&self.subscribers).insert(id, Arc::downgrade(&subscriber));
        if let Some(workload) = subscriber.workload() {
            lock(&self.workloads).entry(workload).or_default().push(id);
        }
        // What changed before it was in these lists nobody told it.
        subscriber.relocate();
        subscriber
    }

    /// The views that have subscribers now.
    #[must_use]
    pub fn live_views(&self) -> Vec<Arc<LiveView>> {
        lock(&self.views).values().filter_map(Weak::upgrade).collect()
    }

    /// Asks again where each subscriber stands, and moves those whose answer changed; to be called when the network of a
    /// member or of pods changed.
    pub fn relocate(&self) {
        let subscribers: Vec<_> = lock(&self.subscribers).values().filter_map(Weak::upgrade).collect();
        for subscriber in subscribers {
            subscriber.relocate();
        }
    }

    /// The same for the sidecars of these pods only.
    pub fn relocate_workloads<'a>(&self, pods: impl IntoIterator<Item = &'a PodRef>) {
        let streams: Vec<StreamId> = {
            let workloads = lock(&self.workloads);
            let found = pods.into_iter().filter_map(|pod| workloads.get(pod));
            found.flatten().copied().collect()
        };
        for stream in streams {
            let subscriber = lock(&self.subscribers).get(&stream).and_then(Weak::upgrade);
            if let Some(subscriber) = subscriber {
                subscriber.relocate();
            }
        }
    }

    fn view(&self, key: &ViewKey) -> Arc<LiveView> {
        let mut views = lock(&self.views);
        if let Some(view) = views.get(key).and_then(Weak::upgrade) {
            return view;
        }
        views.retain(|_, view| view.strong_count() > 0);
        let view = Arc::new(LiveView::new(key.clone(), Arc::clone(&self.source)));
        views.insert(key.clone(), Arc::downgrade(&view));
        view
    }

    fn detach(&self, id: StreamId, workload: Option<PodRef>) {
        lock(&self.subscribers).remove(&id);
        let Some(workload) = workload else {
            return;
        };
        let mut workloads = lock(&self.workloads);
        if let Some(streams) = workloads.get_mut(&workload) {
            streams.retain(|stream| *stream != id);
            if streams.is_empty() {
                workloads.remove(&workload);
            }
        }
    }
}

/// Locks, and goes on after another thread's panic: every update under these locks leaves them consistent at each step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
