//! What is counted about streams.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::session::{Dialect, Response, TypeUrl, Verdict};
use super::status::End;
use crate::resources::ResourceType;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDialect {
    dialect: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByType {
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

/// Counters of the ADS service; clones count together.
#[derive(Debug, Clone)]
pub struct XdsMetrics {
    streams: Family<ByDialect, Gauge>,
    ends: Family<ByReason, Counter>,
    pushes: Family<ByType, Counter>,
    resources: Family<ByType, Counter>,
    acks: Family<ByType, Counter>,
    nacks: Family<ByType, Counter>,
    /// The members of these families, in the order of the types, found once and not for each answer.
    of_types: Arc<[OfType; ResourceType::ALL.len()]>,
    ack_seconds: Family<ByType, Histogram, fn() -> Histogram>,
    sent_bytes: Counter,
    node_changes: Counter,
    slow_streams: Gauge,
    stuck: Counter,
    names: Gauge,
    requests_in_flight: Gauge,
    initial_in_flight: Gauge,
    initial_waiting: Gauge,
    initial_wait_seconds: Histogram,
    initial_overdue: Counter,
    order_given_up: Counter,
}

impl Default for XdsMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// From a proxy on the same machine to an Envoy that waits out its 15 s for an assignment.
fn ack_seconds() -> Histogram {
    let buckets = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0,
    ];
    Histogram::new(buckets)
}

/// What is counted of one type.
#[derive(Debug)]
struct OfType {
    pushes: Counter,
    resources: Counter,
    acks: Counter,
    nacks: Counter,
    ack_seconds: Histogram,
}

impl XdsMetrics {
    /// Metrics at zero.
    #[must_use]
    pub fn new() -> Self {
        let [pushes, resources, acks, nacks]: [Family<ByType, Counter>; 4] = Default::default();
        let seconds: Family<ByType, Histogram, fn() -> Histogram> = Family::new_with_constructor(ack_seconds);
        let of_types = ResourceType::ALL.map(|kind| {
            let label = ByType { r#type: kind.short() };
            OfType {
                pushes: pushes.get_or_create_owned(&label),
                resources: resources.get_or_create_owned(&label),
                acks: acks.get_or_create_owned(&label),
                nacks: nacks.get_or_create_owned(&label),
                ack_seconds: seconds.get_or_create_owned(&label),
            }
        });
        Self {
            streams: Family::default(),
            ends: Family::default(),
            pushes,
            resources,
            acks,
            nacks,
            of_types: Arc::new(of_types),
            ack_seconds: seconds,
            sent_bytes: Counter::default(),
            node_changes: Counter::default(),
            slow_streams: Gauge::default(),
            stuck: Counter::default(),
            names: Gauge::default(),
            requests_in_flight: Gauge::default(),
            initial_in_flight: Gauge::default(),
            initial_waiting: Gauge::default(),
            initial_wait_seconds: ack_seconds(),
            initial_overdue: Counter::default(),
            order_given_up: Counter::default(),
        }
    }

    /// Shows them in a registry.
    pub fn register(&self, registry: &mut Registry) {
        let xds = registry.sub_registry_with_prefix("xds");
        xds.register("streams", "Open ADS streams", self.streams.clone());
        xds.register("stream_ends", "ADS streams ended or refused", self.ends.clone());
        xds.register("pushes", "Answers sent", self.pushes.clone());
        xds.register("resources_sent", "Resources in answers sent", self.resources.clone());
        xds.register("acks", "Answers taken by clients", self.acks.clone());
        xds.register("nacks", "Answers refused by clients", self.nacks.clone());
        xds.register_with_unit(
            "ack",
            "Time from sending an answer to its ACK or NACK",
            Unit::Seconds,
            self.ack_seconds.clone(),
        );
        xds.register_with_unit("sent", "Bytes of answers sent", Unit::Bytes, self.sent_bytes.clone());
        xds.register(
            "node_changes",
            "Requests whose node differs from the first one of their stream, which is ignored",
            self.node_changes.clone(),
        );
        xds.register(
            "slow_streams",
            "Open streams that have left an answer without ACK or NACK for long",
            self.slow_streams.clone(),
        );
        xds.register(
            "stuck_streams",
            "Streams whose clients did not even read their end; their connections were ended",
            self.stuck.clone(),
        );
        xds.register(
            "subscribed_names",
            "Resource names that streams subscribe to, summed over streams",
            self.names.clone(),
        );
        xds.register_with_unit(
            "large_requests",
            "Large requests that are being received",
            Unit::Bytes,
            self.requests_in_flight.clone(),
        );
        xds.register_with_unit(
            "initial_in_flight",
            "What new streams have unacknowledged, or are about to",
            Unit::Bytes,
            self.initial_in_flight.clone(),
        );
        xds.register(
            "initial_waiting",
            "New streams that wait for their turn to be answered",
            self.initial_waiting.clone(),
        );
        xds.register_with_unit(
            "initial_wait",
            "How long new streams waited for their turn",
            Unit::Seconds,
            self.initial_wait_seconds.clone(),
        );
        xds.register(
            "initial_overdue",
            "New streams that acknowledged nothing for so long that others were no longer held back for them",
            self.initial_overdue.clone(),
        );
        xds.register(
            "order_given_up",
            "Times that routes went out although a cluster they name was not acknowledged for long, or the other way round",
            self.order_given_up.clone(),
        );
    }

    pub(super) fn opened(&self, dialect: Dialect) {
        self.of_dialect(dialect).inc();
    }

    pub(super) fn closed(&self, dialect: Dialect) {
        self.of_dialect(dialect).dec();
    }

    pub(super) fn ended(&self, end: &End) {
        let reason = end.reason();
        self.ends.get_or_create(&ByReason { reason }).inc();
    }

    pub(super) fn pushed(&self, response: &Response, bytes: usize) {
        match response.type_url {
            TypeUrl::Served(kind) => {
                let count = u64::try_from(response.resources.len()).unwrap_or(u64::MAX);
                let of_type = &self.of_types[kind as usize];
                of_type.pushes.inc();
                of_type.resources.inc_by(count);
            }
            // Clients choose these URLs, so they are no label. There is nothing of these types.
            TypeUrl::Foreign(_) => {
                self.pushes.get_or_create(&ByType { r#type: "other" }).inc();
            }
        }
        self.sent_bytes.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    pub(super) fn settled(&self, verdict: Verdict, after: Option<Duration>) {
        let (Verdict::Acked(kind) | Verdict::Nacked(kind)) = verdict;
        let of_type = &self.of_types[kind as usize];
        match verdict {
            Verdict::Acked(_) => of_type.acks.inc(),
            Verdict::Nacked(_) => of_type.nacks.inc(),
        };
        if let Some(after) = after {
            of_type.ack_seconds.observe(after.as_secs_f64());
        }
    }

    pub(super) fn node_changed(&self) {
        self.node_changes.inc();
    }

    /// A stream is slow until this is dropped.
    pub(super) fn slow(&self) -> SlowStream {
        self.slow_streams.inc();
        SlowStream(self.slow_streams.clone())
    }

    pub(super) fn stuck(&self) {
        self.stuck.inc();
    }

    pub(super) fn names_subscribed(&self, names: usize) {
        self.names.inc_by(signed(names));
    }

    pub(super) fn names_unsubscribed(&self, names: usize) {
        self.names.dec_by(signed(names));
    }

    pub(super) fn let_in(&self, more: u32, less: u32) {
        self.requests_in_flight.inc_by(i64::from(more) - i64::from(less));
    }

    pub(super) fn newcomer_waits(&self) {
        self.initial_waiting.inc();
    }

    pub(super) fn newcomer_waits_no_more(&self) {
        self.initial_waiting.dec();
    }

    pub(super) fn newcomer_admitted(&self, after: Duration) {
        self.initial_wait_seconds.observe(after.as_secs_f64());
    }

    pub(super) fn newcomer_overdue(&self) {
        self.initial_overdue.inc();
    }

    pub(super) fn order_given_up(&self) {
        self.order_given_up.inc();
    }

    pub(super) fn newcomers_charged(&self, more: usize, less: usize) {
        self.initial_in_flight.inc_by(signed(more) - signed(less));
    }

    fn of_dialect(&self, dialect: Dialect) -> Gauge {
        let dialect = dialect.to_string();
        self.streams.get_or_create(&ByDialect { dialect }).clone()
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Counts a slow stream as long as it is one.
#[derive(Debug)]
pub(super) struct SlowStream(Gauge);

impl Drop for SlowStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}
