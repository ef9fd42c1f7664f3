//! Where changes of the table become resources in the cache.
//!
//! A change goes out at once. While one is being worked on, others gather as names, so that a burst becomes one step and
//! the latest wins; there is no timer in between. Only live views are looked at, and in them only what a stream asked for.

mod builder;
mod gateways;
mod inbox;
mod interner;
mod metrics;
mod names;
mod spec;
mod traffic;
mod withheld;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{broadcast, watch};

use crate::cache::{Cache, LiveView, Source};
use crate::model::{HostName, NetworkId, Role, ServiceKey};
use crate::resources::{ResourceType, TrafficSettings};
use crate::table::{
    ChangeSet, EndpointTable, EventSink, HostSink, Locations, RegistryEvent, Resolved, Scope, TableSettings,
};
use inbox::Inbox;
use names::Names;

pub use builder::Builder;
pub use gateways::GatewaysCollector;
pub use metrics::PushMetrics;
pub use spec::resource_spec;
pub use withheld::WithheldCollector;

/// How many records a reader of [`Pusher::watch`] may be behind before it loses the oldest.
const WATCH_BACKLOG: usize = 1024;

/// What one step of pushing did, for people who watch.
#[derive(Debug, Clone)]
pub struct PushRecord {
    /// When it was done.
    pub at: SystemTime,
    /// Services that changed.
    pub services: Vec<ServiceKey>,
    /// Networks whose gateways changed.
    pub networks: Vec<NetworkId>,
    /// Live views that were looked at.
    pub views: usize,
    /// Resources that differ now, over all views.
    pub resources_changed: usize,
    /// From the first of the changes until streams were told.
    pub took: Duration,
}

/// Takes what members say, brings the table and the cache up to date.
#[derive(Debug)]
pub struct Pusher {
    table: Arc<EndpointTable>,
    cache: Arc<Cache>,
    builder: Arc<Builder>,
    inbox: Inbox,
    metrics: PushMetrics,
    records: broadcast::Sender<Arc<PushRecord>>,
    /// The table's host names, for whoever looks them up.
    hosts: watch::Sender<Arc<BTreeSet<HostName>>>,
}

impl EventSink for Pusher {
    fn apply(&self, event: RegistryEvent) {
        self.take(self.table.apply(event));
    }
}

impl HostSink for Pusher {
    fn resolved(&self, hosts: BTreeMap<HostName, Resolved>) {
        self.take(self.table.set_hosts(hosts));
    }
}

impl Pusher {
    /// Ties a table, its builder and the cache together.
    #[must_use]
    pub fn new(table: Arc<EndpointTable>, builder: Arc<Builder>, cache: Arc<Cache>, metrics: PushMetrics) -> Self {
        let hosts = table.hosts();
        Self {
            table,
            cache,
            builder,
            inbox: Inbox::default(),
            metrics,
            records: broadcast::Sender::new(WATCH_BACKLOG),
            hosts: watch::Sender::new(hosts),
        }
    }

    /// The host names of gateways that are to be looked up, the latest set.
    #[must_use]
    pub fn hosts(&self) -> watch::Receiver<Arc<BTreeSet<HostName>>> {
        self.hosts.subscribe()
    }

    /// Builds what carries traffic by other settings from now on, where it was built at all.
    pub fn set_traffic(&self, settings: TrafficSettings) {
        if self.builder.set_traffic(settings) {
            self.take(ChangeSet {
                scope: Scope::Everything,
                ..ChangeSet::default()
            });
        }
    }

    /// Goes by other settings from now on.
    pub fn set_settings(&self, settings: TableSettings) {
        self.take(self.table.set_settings(settings));
    }

    fn take(&self, changes: ChangeSet) {
        // Read under the channel's lock, so that an older set never comes after a newer one.
        self.hosts.send_if_modified(|known| {
            let now = self.table.hosts();
            let differs = !Arc::ptr_eq(known, &now);
            *known = now;
            differs
        });
        if !changes.is_empty() {
            self.inbox.put(changes);
        }
    }

    /// A live stream of what is pushed. A reader that falls behind is told so by its receiver and goes on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Arc<PushRecord>> {
        self.records.subscribe()
    }

    /// Pushes for as long as it is polled.
    pub async fn run(&self) {
        loop {
            let (changes, since) = self.inbox.take().await;
            let (views, resources_changed) = self.push(&changes);
            let took = since.elapsed();
            self.metrics.pushed(took, resources_changed);
            tracing::debug!(
                services = changes.services.len(),
                views,
                resources_changed,
                ?took,
                "pushed"
            );
            // Nobody may be watching; that is no error.
            let _ = self.records.send(Arc::new(PushRecord {
                at: SystemTime::now(),
                services: changes.services.into_keys().collect(),
                networks: changes.networks.into_iter().collect(),
                views,
                resources_changed,
                took,
            }));
            // A flood of changes must not keep this worker from the streams it feeds.
            tokio::task::yield_now().await;
        }
    }

    /// One step; returns how many views were looked at and how many resources differ.
    fn push(&self, changes: &ChangeSet) -> (usize, usize) {
        if changes.locations == Locations::Changed {
            self.cache.relocate();
        } else {
            self.cache.relocate_workloads(&changes.workloads);
        }
        if changes.scope == Scope::Everything {
            return self.push_everything();
        }
        let names = Names::of(changes, &self.builder);
        let mut views = self.cache.live_views();
        // Their one resource depends on their key only.
        views.retain(|view| view.key().inbound.is_none());
        let mut differing = 0;
        // Clusters first, in all views: an assignment is of no use to who does not have its cluster yet, and a stream reads its
        // routes from another view than its clusters.
        for view in &views {
            if view.key().role == Role::Gateway {
                differing += view.refresh(ResourceType::Cluster, &names.at_gateways);
            }
            differing += view.refresh(ResourceType::Cluster, &names.clusters);
        }
        for view in &views {
            if view.key().role == Role::Gateway {
                differing += view.refresh(ResourceType::ClusterLoadAssignment, &names.at_gateways);
            }
            let behind = self.behind(view, &changes.networks);
            differing += view.refresh(ResourceType::ClusterLoadAssignment, &names.assignments);
            differing += view.refresh(ResourceType::ClusterLoadAssignment, &behind);
        }
        for view in &views {
            differing += view.refresh(ResourceType::Listener, &names.listeners);
            // Routes of gRPC clients are named as their cluster is.
            differing += view.refresh(ResourceType::RouteConfiguration, &names.clusters);
            differing += view.refresh(ResourceType::RouteConfiguration, &names.routes);
        }
        (views.len(), differing)
    }

    /// Looks at all that is held in any view, and at all that there is now of types that are wanted as a whole.
    fn push_everything(&self) -> (usize, usize) {
        let views = self.cache.live_views();
        let mut differing = 0;
        for kind in [
            ResourceType::Cluster,
            ResourceType::ClusterLoadAssignment,
            ResourceType::Listener,
            ResourceType::RouteConfiguration,
        ] {
            for view in &views {
                let held = view.names(kind).into_iter();
                let names: BTreeSet<_> = held.chain(self.builder.names(view.key(), kind)).collect();
                differing += view.refresh(kind, &names);
            }
        }
        (views.len(), differing)
    }

    /// The assignments of a view that have endpoints on one of these networks, which are not the view's own.
    fn behind(&self, view: &LiveView, networks: &BTreeSet<NetworkId>) -> Vec<Arc<str>> {
        let foreign = |network: &NetworkId| networks.contains(network) && *network != view.key().network;
        if !networks.iter().any(foreign) {
            return Vec::new();
        }
        let mut names = view.names(ResourceType::ClusterLoadAssignment);
        names.retain(|name| {
            let Some(name) = self.builder.parse_name(name) else {
                return false;
            };
            let Some(service) = self.table.service(&name.service) else {
                return false;
            };
            let port = service.port(name.port);
            port.is_some_and(|port| port.groups().keys().any(|group| foreign(&group.network)))
        });
        names
    }
}

#[cfg(test)]
mod tests;
