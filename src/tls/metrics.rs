//! What is counted of connections before they can carry anything.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// How a TLS handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HandshakeEnd {
    Done,
    Failed,
    Late,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

/// Counters of an [`Acceptor`](super::Acceptor); clones count together.
#[derive(Debug, Clone, Default)]
pub struct AcceptorMetrics {
    accepted: Counter,
    accept_errors: Counter,
    handshaking: Gauge,
    handshakes: Family<ByResult, Counter>,
    certificate_end: Gauge,
    certificate_ending: Gauge,
}

impl AcceptorMetrics {
    /// Shows them in a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "connections_accepted",
            "Connections taken from the system",
            self.accepted.clone(),
        );
        registry.register(
            "accept_errors",
            "Connections that could not be taken, as when files ran out",
            self.accept_errors.clone(),
        );
        let tls = registry.sub_registry_with_prefix("tls");
        tls.register(
            "handshaking",
            "Connections whose TLS handshake is under way",
            self.handshaking.clone(),
        );
        tls.register(
            "handshakes",
            "TLS handshakes by how they ended: done, failed, late",
            self.handshakes.clone(),
        );
        tls.register(
            "certificate_expiry_timestamp_seconds",
            "When the certificate of the xDS endpoint expires, since the epoch; 0 without TLS",
            self.certificate_end.clone(),
        );
        tls.register(
            "certificate_ending",
            "1 while the certificate of the xDS endpoint has less than 30 days, or less than a third of its life, left",
            self.certificate_ending.clone(),
        );
    }

    pub(super) fn certificate(&self, end: i64, is_near: bool) {
        self.certificate_end.set(end);
        self.certificate_ending.set(is_near.into());
    }

    pub(super) fn accepted(&self) {
        self.accepted.inc();
    }

    pub(super) fn accept_failed(&self) {
        self.accept_errors.inc();
    }

    /// A handshake is under way until this is dropped.
    pub(super) fn handshaking(&self) -> Handshaking {
        self.handshaking.inc();
        Handshaking(self.handshaking.clone())
    }

    pub(super) fn handshake_ended(&self, end: HandshakeEnd) {
        let result = match end {
            HandshakeEnd::Done => "done",
            HandshakeEnd::Failed => "failed",
            HandshakeEnd::Late => "late",
        };
        self.handshakes.get_or_create(&ByResult { result }).inc();
    }
}

/// Counts a handshake while it lasts.
#[derive(Debug)]
pub(super) struct Handshaking(Gauge);

impl Drop for Handshaking {
    fn drop(&mut self) {
        self.0.dec();
    }
}
