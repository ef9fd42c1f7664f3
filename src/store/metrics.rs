//! Whether the last known good is being kept.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::pending::Pending;

/// Counters of the recorder; clones share them.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    failing: Gauge,
    waiting: Gauge,
    batches: Counter,
    duration: Histogram,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            failing: Gauge::default(),
            waiting: Gauge::default(),
            batches: Counter::default(),
            // 1 ms to 8 s.
            duration: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
        }
    }
}

impl StoreMetrics {
    /// Shows them in a registry.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("store");
        let help = "1 while the last known good can't be written: a restart would serve an older one";
        registry.register("failing", help, self.failing.clone());
        registry.register("waiting", "1 while something is not written yet", self.waiting.clone());
        registry.register("batches", "Batches written", self.batches.clone());
        let help = "How long a batch took to write";
        registry.register_with_unit("write_duration", help, Unit::Seconds, self.duration.clone());
    }

    /// True while the last batch could not be written.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.get() != 0
    }

    /// True while something is not written yet.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting.get() != 0
    }

    /// Shows whether something waits.
    pub(super) fn waiting(&self, pending: &Pending) {
        self.waiting.set(i64::from(!pending.is_empty()));
    }

    /// Returns whether it failed before.
    pub(super) fn written(&self, took: Duration) -> bool {
        self.batches.inc();
        self.duration.observe(took.as_secs_f64());
        self.failing.set(0) != 0
    }

    /// Returns whether it failed before.
    pub(super) fn failed(&self) -> bool {
        self.failing.set(1) != 0
    }
}
