//! What is counted of identities.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::authority::Authority;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByMeans {
    means: &'static str,
}

/// Clones count together.
#[derive(Debug, Clone, Default)]
pub struct IdentityMetrics(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    authority_end: Gauge,
    authority_refused: Gauge,
    ending: Gauge,
    roots: Gauge,
    issued: Counter,
    issue_failures: Counter,
    proxies: Family<ByMeans, Counter>,
    refusals: Family<ByReason, Counter>,
}

impl IdentityMetrics {
    /// Names them.
    pub fn register(&self, registry: &mut Registry) {
        let Counted {
            authority_end,
            authority_refused,
            ending,
            roots,
            issued,
            issue_failures,
            proxies,
            refusals,
        } = &*self.0;
        let identity = registry.sub_registry_with_prefix("identity");
        identity.register(
            "authority_expiry_timestamp_seconds",
            "When the certificate authority or something above it expires, since the epoch",
            authority_end.clone(),
        );
        identity.register(
            "authority_refused",
            "1 while the files of the certificate authority can't be used and an earlier one is",
            authority_refused.clone(),
        );
        identity.register(
            "authority_certificates_ending",
            "Certificates of the authority and its roots that have less than 30 days, or less than a third of their life, left",
            ending.clone(),
        );
        identity.register("roots", "Roots that workloads are told to trust", roots.clone());
        identity.register("certificates_issued", "Workload certificates issued", issued.clone());
        identity.register(
            "certificate_failures",
            "Workload certificates that could not be issued",
            issue_failures.clone(),
        );
        identity.register(
            "proxies_identified",
            "Proxies that proved who they are, by means",
            proxies.clone(),
        );
        identity.register(
            "refusals",
            "Proxies refused for their identity, by reason",
            refusals.clone(),
        );
    }

    pub(super) fn authority(&self, authority: &Authority) {
        self.0.authority_refused.set(0);
        self.0.authority_end.set(authority.not_after().as_second());
        self.0
            .roots
            .set(i64::try_from(authority.roots().len()).unwrap_or(i64::MAX));
    }

    /// How many certificates of the authority are about to end.
    pub(super) fn ending(&self, certificates: usize) {
        self.0.ending.set(i64::try_from(certificates).unwrap_or(i64::MAX));
    }

    pub(super) fn authority_refused(&self) {
        self.0.authority_refused.set(1);
    }

    pub(super) fn issued(&self) {
        self.0.issued.inc();
    }

    pub(super) fn not_issued(&self) {
        self.0.issue_failures.inc();
    }

    pub(super) fn identified(&self, means: &'static str) {
        self.0.proxies.get_or_create(&ByMeans { means }).inc();
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.0.refusals.get_or_create(&ByReason { reason }).inc();
    }
}
