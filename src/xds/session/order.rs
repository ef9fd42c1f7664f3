//! Make before break between types: a listener or routes go out once the clusters that they name are taken, and a cluster is
//! taken away once nothing names it any more.
//!
//! An Envoy acknowledges a cluster when it can be used, so its ACK is what routes wait for; never what endpoints wait for,
//! since without them there is no ACK. Whoever asks for no clusters waits for none: gRPC clients learn from their routes which
//! clusters to ask for.

use std::cell::{Cell, OnceCell};
use std::collections::HashSet;
use std::sync::Arc;

use super::kinds::Kinds;
use super::subscription::Subscription;
use crate::cache::Lookup;
use crate::resources::{Resource, ResourceType};

/// Whether anything is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// For what comes in its time.
    Some,
    /// It took too long: whatever is due goes.
    None,
}

/// What one type has to know of the others.
pub(super) struct Order<'a> {
    kinds: &'a Kinds,
    lookup: &'a dyn Lookup,
    patience: Patience,
    /// The clusters that must stay; none where that may be any.
    used: OnceCell<Option<HashSet<&'a str>>>,
    kept_back: Cell<bool>,
}

impl<'a> Order<'a> {
    pub(super) fn new(kinds: &'a Kinds, lookup: &'a dyn Lookup, patience: Patience) -> Self {
        Self {
            kinds,
            lookup,
            patience,
            used: OnceCell::new(),
            kept_back: Cell::new(false),
        }
    }

    /// Whether something that is due was kept back.
    pub(super) fn kept_back(&self) -> bool {
        self.kept_back.get()
    }

    /// Whether what a name is now has to wait. `given` is what the client would get, `held` whether it has the name already.
    pub(super) fn waits(&self, kind: ResourceType, name: &str, given: Option<&Resource>, held: bool) -> bool {
        let waits = self.patience == Patience::Some
            && match (kind, given) {
                (ResourceType::Cluster, None) => held && self.is_used(name),
                // It shares the fate of its cluster: endpoints that go before the routes do would fail requests.
                (ResourceType::ClusterLoadAssignment, None) => held && self.is_leaving(name) && self.is_used(name),
                (ResourceType::Listener | ResourceType::RouteConfiguration, Some(resource)) => {
                    !resource.clusters.iter().all(|cluster| self.is_settled(cluster))
                }
                _ => false,
            };
        self.kept_back.set(self.kept_back.get() || waits);
        waits
    }

    fn clusters(&self) -> Option<&'a Subscription> {
        self.kinds.get(ResourceType::Cluster)
    }

    /// Whether a client has what it will have of a cluster: it took it, refused it, does not want it, or there is none.
    fn is_settled(&self, cluster: &Arc<str>) -> bool {
        let Some(clusters) = self.clusters().filter(|clusters| clusters.wants(cluster)) else {
            return true;
        };
        match clusters.held.get(cluster) {
            Some(held) => held.is_settled(),
            None => self.lookup.get(ResourceType::Cluster, cluster).is_none(),
        }
    }

    /// Whether a client has a cluster that is there no more.
    fn is_leaving(&self, cluster: &str) -> bool {
        let held = self
            .clusters()
            .is_some_and(|clusters| clusters.held.contains_key(cluster));
        held && self.lookup.get(ResourceType::Cluster, cluster).is_none()
    }

    /// Whether a client may have a listener or routes that name a cluster.
    fn is_used(&self, cluster: &str) -> bool {
        let used = self.used.get_or_init(|| {
            let mut used = HashSet::new();
            let known = [ResourceType::Listener, ResourceType::RouteConfiguration]
                .into_iter()
                .filter_map(|kind| self.kinds.get(kind))
                .all(|subscription| subscription.uses.collect(&mut used));
            known.then_some(used)
        });
        used.as_ref().is_none_or(|used| used.contains(cluster))
    }
}
