//! What the registry counts.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Credential;
use crate::model::ClusterId;
use crate::table::Kind;

/// A number of seconds with a fraction.
pub(super) type Seconds = Gauge<f64, AtomicU64>;

/// Labels of what is counted by member and kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByKind {
    member: String,
    kind: String,
}

impl ByKind {
    pub(super) fn new(member: &ClusterId, kind: Kind) -> Self {
        Self {
            member: member.to_string(),
            kind: kind.to_string(),
        }
    }
}

/// Labels of what is counted by member.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByMember {
    member: String,
}

impl ByMember {
    pub(super) fn new(member: &ClusterId) -> Self {
        Self {
            member: member.to_string(),
        }
    }
}

/// Labels of what is told of each of a member's credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByCredential {
    member: String,
    credential: String,
}

impl ByCredential {
    pub(super) fn new(member: &ClusterId, credential: Credential) -> Self {
        Self {
            member: member.to_string(),
            credential: credential.to_string(),
        }
    }
}

/// The registry's metrics. Clones count into the same series.
#[derive(Debug, Clone, Default)]
pub struct RegistryMetrics {
    pub(super) events: Family<ByKind, Counter>,
    pub(super) lists: Family<ByKind, Counter>,
    pub(super) objects: Family<ByKind, Gauge>,
    pub(super) problems: Family<ByMember, Gauge>,
    pub(super) synced: Family<ByMember, Gauge>,
    pub(super) failures: Family<ByMember, Counter>,
    pub(super) over_budget: Family<ByMember, Gauge>,
    pub(super) throttled: Family<ByMember, Counter<f64, AtomicU64>>,
    pub(super) expiry: Family<ByCredential, Gauge>,
    pub(super) connected: Family<ByKind, Gauge>,
    pub(super) held_back: Family<ByKind, Gauge>,
    pub(super) confirmed: Family<ByMember, Seconds>,
    pub(super) heartbeat: Family<ByMember, Seconds>,
    pub(super) rank: Family<ByMember, Gauge>,
    pub(super) weight: Family<ByMember, Gauge>,
}

impl RegistryMetrics {
    /// Makes the metrics and lists them in `registry`.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "registry_events",
            "Objects that members told of, in lists and in changes",
            metrics.events.clone(),
        );
        registry.register(
            "registry_lists",
            "How many times all objects of a kind were listed: once at the start, and where a watch could not go on",
            metrics.lists.clone(),
        );
        registry.register(
            "registry_objects",
            "Objects that are held of each member",
            metrics.objects.clone(),
        );
        registry.register(
            "registry_problems",
            "What is wrong in each member at present",
            metrics.problems.clone(),
        );
        registry.register(
            "registry_synced",
            "1 while what is held of the member is up to date, 0 while it is not (yet)",
            metrics.synced.clone(),
        );
        registry.register(
            "registry_over_budget",
            "1 while a member is not read on because it has more objects or bytes than its budget allows",
            metrics.over_budget.clone(),
        );
        registry.register(
            "registry_throttled_seconds",
            "How long members were let wait because they changed faster than their budget allows",
            metrics.throttled.clone(),
        );
        registry.register(
            "registry_failures",
            "Failed attempts to read a member",
            metrics.failures.clone(),
        );
        registry.register(
            "member_credential_expiry_timestamp_seconds",
            "When each of a member's credentials expires (token, client-certificate, certificate-authority), in Unix time",
            metrics.expiry.clone(),
        );
        registry.register(
            "registry_connected",
            "1 while the kind is listed and its watch gives signs of life, 0 while it is not (yet)",
            metrics.connected.clone(),
        );
        registry.register(
            "registry_held_back",
            "Objects that a list left out and that are kept until a second list says the same",
            metrics.held_back.clone(),
        );
        registry.register_with_unit(
            "registry_confirmed_timestamp",
            "When all that is held of the member was last known to be up to date, since the epoch",
            Unit::Seconds,
            metrics.confirmed.clone(),
        );
        registry.register_with_unit(
            "registry_heartbeat",
            "How long the member's API server took to answer the last heartbeat",
            Unit::Seconds,
            metrics.heartbeat.clone(),
        );
        registry.register(
            "registry_rank",
            "0 for a member that is served as all others, 1 for one that is served last since it is stale, 2 for one that is not served",
            metrics.rank.clone(),
        );
        registry.register(
            "registry_weight",
            "What each endpoint of the member counts, in percent of others",
            metrics.weight.clone(),
        );
        metrics
    }

    /// Drops the series that are about where a member is read from: it is read from elsewhere now.
    pub(super) fn forget_source(&self, member: &ClusterId) {
        for kind in Kind::ALL {
            let label = ByKind::new(member, kind);
            self.connected.remove(&label);
            self.held_back.remove(&label);
        }
        for credential in Credential::ALL {
            self.expiry.remove(&ByCredential::new(member, credential));
        }
        let label = ByMember::new(member);
        self.problems.remove(&label);
        self.heartbeat.remove(&label);
        self.over_budget.remove(&label);
    }

    /// Drops the series of a member that left.
    pub(super) fn forget(&self, member: &ClusterId) {
        self.forget_source(member);
        for kind in Kind::ALL {
            let label = ByKind::new(member, kind);
            self.events.remove(&label);
            self.lists.remove(&label);
            self.objects.remove(&label);
        }
        let label = ByMember::new(member);
        self.synced.remove(&label);
        self.failures.remove(&label);
        self.throttled.remove(&label);
        self.confirmed.remove(&label);
        self.rank.remove(&label);
        self.weight.remove(&label);
    }
}
