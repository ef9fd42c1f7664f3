//! Why connections end, and how often.

use std::io;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client closed it, or the drain did.
    Closed,
    /// It broke off.
    Broken,
    /// It answered no ping.
    Silent,
    /// It opened no stream in time.
    NoStream,
    /// It had no stream for long.
    Idle,
    /// It opened streams, or reset them, faster than any client needs to.
    Flood,
    /// It broke the rules of HTTP/2.
    Protocol,
    /// It did not take the end of a stream.
    Stuck,
    /// There were too many.
    TooMany,
}

impl Ended {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken => "broken",
            Self::Silent => "silent",
            Self::NoStream => "no_stream",
            Self::Idle => "idle",
            Self::Flood => "flood",
            Self::Protocol => "protocol",
            Self::Stuck => "stuck",
            Self::TooMany => "too_many",
        }
    }

    pub(super) fn of(error: &h2::Error) -> Self {
        match error.reason() {
            _ if error.is_remote() => Self::Broken,
            // The first word did not come in time.
            _ if error
                .get_io()
                .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) =>
            {
                Self::NoStream
            }
            _ if error.is_io() => Self::Broken,
            Some(h2::Reason::ENHANCE_YOUR_CALM) => Self::Flood,
            Some(h2::Reason::NO_ERROR) => Self::Closed,
            _ => Self::Protocol,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

/// What is counted of connections; clones count together.
#[derive(Debug, Clone, Default)]
pub struct ConnectionMetrics {
    pub(super) open: Gauge,
    ends: Family<ByReason, Counter>,
}

impl ConnectionMetrics {
    /// Shows them in a registry.
    pub fn register(&self, registry: &mut Registry) {
        let xds = registry.sub_registry_with_prefix("xds");
        xds.register("connections", "Open xDS connections", self.open.clone());
        xds.register(
            "connection_ends",
            "xDS connections ended or refused, by reason",
            self.ends.clone(),
        );
    }

    pub(super) fn ended(&self, ended: Ended) {
        let reason = ended.reason();
        self.ends.get_or_create(&ByReason { reason }).inc();
    }
}
