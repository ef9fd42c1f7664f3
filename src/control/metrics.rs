//! What is counted of writing to API servers.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Metrics of what is written. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct ControlMetrics {
    pub(super) holding: Gauge,
    pub(super) writes: Counter,
    pub(super) failures: Counter,
}

impl ControlMetrics {
    /// Shows them in a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "control_lease_held",
            "1 while this replica holds the Lease and writes statuses",
            self.holding.clone(),
        );
        registry.register(
            "control_status_writes",
            "Statuses of Member objects that were written",
            self.writes.clone(),
        );
        registry.register(
            "control_failures",
            "Requests for the Lease or a status that failed",
            self.failures.clone(),
        );
    }
}
