//! Make before break between types: a listener or routes go out once the clusters that they name are taken, and a cluster is
//! taken away once nothing names it any more.
//!
//! An Envoy acknowledges a cluster when it can be used, so its ACK is what routes wait for; never what endpoints wait for,
//! since without them there is no ACK. Whoever asks for no clusters waits for none: gRPC clients learn from their routes which
//! clusters to ask for.

use std::cell::{Cell, OnceCell};
use std::collections::HashSet;
use std::sync::Arc;

use super::held::Held;
use super::kinds::Kinds;
use super::subscription::Subscription;
use crate::cache::Lookup;
use crate::model::Role;
use crate::resources::{Resource, ResourceType};

/// Whether anything is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// For what comes in its time.
    Some,
    /// It took too long: whatever is due goes.
    None,
}

/// The types that name clusters and that a client of a role asks for. Whoever finds its own way has them from elsewhere, and never
/// tells; at a gateway SNI decides, so its listener has no routes.
fn users(role: Role) -> &'static [ResourceType] {
    match role {
        Role::Endpoints => &[],
        Role::Gateway => &[ResourceType::Listener],
        Role::Sidecar => &[ResourceType::Listener, ResourceType::RouteConfiguration],
    }
}

/// What one type has to know of the others.
pub(super) struct Order<'a> {
    kinds: &'a Kinds,
    role: Role,
    lookup: &'a dyn Lookup,
    patience: Patience,
    /// The clusters that must stay; none where that may be any.
    used: OnceCell<Option<HashSet<&'a str>>>,
    untold: OnceCell<bool>,
    kept_back: Cell<bool>,
    learned: Cell<bool>,
}

impl<'a> Order<'a> {
    pub(super) fn new(kinds: &'a Kinds, role: Role, lookup: &'a dyn Lookup, patience: Patience) -> Self {
        Self {
            kinds,
            role,
            lookup,
            patience,
            used: OnceCell::new(),
            untold: OnceCell::new(),
            kept_back: Cell::new(false),
            learned: Cell::new(false),
        }
    }

    /// Whether something that is due was kept back.
    pub(super) fn kept_back(&self) -> bool {
        self.kept_back.get()
    }

    /// What a client says to hold turned out to be known, so that less may be in use than was thought before.
    pub(super) fn learn(&self) {
        self.learned.set(true);
    }

    /// Whether something like that happened.
    pub(super) fn learned(&self) -> bool {
        self.learned.get()
    }

    /// Whether what a name is now has to wait. `given` is what the client would get, `had` what it has of the name.
    pub(super) fn waits(&self, kind: ResourceType, name: &str, given: Option<&Resource>, had: Option<&Held>) -> bool {
        let waits = self.patience == Patience::Some
            && match (kind, given) {
                (ResourceType::Cluster, None) => had.is_some_and(|had| self.may_be_used(name, had)),
                // It shares the fate of its cluster: endpoints that go before the routes do would fail requests.
                (ResourceType::ClusterLoadAssignment, None) => {
                    let leaves = self.leaving(name).filter(|_| had.is_some());
                    leaves.is_some_and(|cluster| self.may_be_used(name, cluster))
                }
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

    /// What a client has of a cluster that is there no more.
    fn leaving(&self, cluster: &str) -> Option<&'a Held> {
        let had = self.clusters()?.held.get(cluster)?;
        let is_gone = self.lookup.get(ResourceType::Cluster, cluster).is_none();
        is_gone.then_some(had)
    }

    /// Whether a client may have a listener or routes that name a cluster, from this stream or from one before. `had` is what it
    /// has of the cluster.
    fn may_be_used(&self, cluster: &str, had: &Held) -> bool {
        (!had.was_given() && self.is_untold()) || self.is_used(cluster)
    }

    /// Whether a client has yet to say what it has of the types that name clusters. An Envoy that is back says all of it at once,
    /// but type by type and in no order to rely on. Of routes it says nothing where it has none, as its listeners tell.
    fn is_untold(&self) -> bool {
        *self.untold.get_or_init(|| {
            let mut users = users(self.role).iter();
            users.any(|kind| {
                let may_have = || *kind != ResourceType::RouteConfiguration || !self.has_no_routes();
                self.kinds.get(*kind).is_none() && may_have()
            })
        })
    }

    /// Whether a client has listeners, all that it may have are known, and none of them names routes.
    fn has_no_routes(&self) -> bool {
        let Some(listeners) = self.kinds.get(ResourceType::Listener) else {
            return false;
        };
        let names_none = |name: &Arc<str>| {
            let listener = self.lookup.get(ResourceType::Listener, name);
            listener.is_some_and(|listener| !listener.asks_for_routes)
        };
        let known = listeners.uses.collect(&mut HashSet::new()) && !listeners.held.is_empty();
        known && listeners.held.keys().all(names_none)
    }

    /// Whether a listener or routes of this stream, or that the client says to have, name a cluster.
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
