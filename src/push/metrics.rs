//! What pushing costs.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::resources::ResourceType;

/// Counters of the push task and the builder; clones share them.
#[derive(Debug, Clone)]
pub struct PushMetrics {
    encoded: Family<TypeLabel, Counter>,
    changed: Counter,
    duration: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    r#type: &'static str,
}

impl Default for PushMetrics {
    fn default() -> Self {
        Self {
            encoded: Family::default(),
            changed: Counter::default(),
            // 50 µs to 26 s.
            duration: Histogram::new(exponential_buckets(0.000_05, 3.0, 13)),
        }
    }
}

impl PushMetrics {
    /// Shows them in a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "resources_encoded",
            "Resources that were encoded, by type",
            self.encoded.clone(),
        );
        registry.register(
            "resources_changed",
            "Resources that changed, summed over views",
            self.changed.clone(),
        );
        registry.register_with_unit(
            "push_duration",
            "From a change of the table until the streams it concerns were told",
            Unit::Seconds,
            self.duration.clone(),
        );
    }

    /// How many resources of a type were encoded so far.
    #[must_use]
    pub fn encodes(&self, kind: ResourceType) -> u64 {
        self.encoded.get_or_create(&TypeLabel { r#type: kind.short() }).get()
    }

    pub(super) fn encoded(&self, kind: ResourceType) {
        self.encoded.get_or_create(&TypeLabel { r#type: kind.short() }).inc();
    }

    pub(super) fn pushed(&self, took: Duration, changed: usize) {
        self.changed.inc_by(changed as u64);
        self.duration.observe(took.as_secs_f64());
    }
}
