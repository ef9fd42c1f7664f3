//! The limits and times of ADS streams.

use std::time::Duration;

/// What the ADS service may be told. Every value bounds something that a client could otherwise make grow or last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XdsConfig {
    /// `control_plane.identifier` of every answer: constant in one process, different in each.
    pub control_plane_id: String,
    /// The largest request, in bytes. A reconnecting delta client names each resource that it holds, some 100 bytes each.
    pub max_request_bytes: usize,
    /// How many bytes of large requests may be under way, over all streams; at least `max_request_bytes`. More wait.
    pub max_requests_in_flight: usize,
    /// How long a large request may take to arrive once it was let in.
    pub request_patience: Duration,
    /// The largest `node`, in bytes encoded. An Envoy's has some 60 kB.
    pub max_node_bytes: usize,
    /// The most names that one stream may subscribe to.
    pub max_names: usize,
    /// The most names that all streams together may subscribe to, beyond the first 1,000 of each.
    pub max_total_names: usize,
    /// The most streams at a time.
    pub max_streams: usize,
    /// How many bytes of answers may be unacknowledged on new streams, together; the next ones wait their turn.
    pub max_initial_bytes_in_flight: usize,
    /// How long a new stream that acknowledges nothing keeps its share of that.
    pub initial_ack_patience: Duration,
    /// How long a new stream may take to send its first request.
    pub first_message_deadline: Duration,
    /// A client that leaves an answer without ACK or NACK for this long is counted as slow.
    pub slow_after: Duration,
    /// How long a client may leave an answer without ACK or NACK before its stream is ended. An Envoy that waits for an
    /// assignment takes 15 s.
    pub ack_deadline: Duration,
    /// How long routes wait for the ACK of the clusters that they name, and clusters for routes to let go of them.
    pub order_patience: Duration,
    /// After about this time, 20 % more or less, a stream is ended, so that proxies spread over replicas again.
    pub max_age: Duration,
    /// How long a client may take to read what was sent to it before its stream's end; then its connection is ended.
    pub farewell: Duration,
    /// Over how long the ends of all streams are spread on a shutdown.
    pub drain_spread: Duration,
}

impl Default for XdsConfig {
    fn default() -> Self {
        Self {
            control_plane_id: "parallax".to_owned(),
            max_request_bytes: 64 << 20,
            max_requests_in_flight: 256 << 20,
            request_patience: Duration::from_secs(30),
            max_node_bytes: 256 << 10,
            max_names: 500_000,
            max_total_names: 10_000_000,
            max_streams: 20_000,
            max_initial_bytes_in_flight: 256 << 20,
            initial_ack_patience: Duration::from_secs(5),
            first_message_deadline: Duration::from_secs(10),
            slow_after: Duration::from_secs(30),
            ack_deadline: Duration::from_secs(300),
            order_patience: Duration::from_secs(5),
            max_age: Duration::from_secs(30 * 60),
            farewell: Duration::from_secs(5),
            drain_spread: Duration::from_secs(5),
        }
    }
}
