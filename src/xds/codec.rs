//! From Envoy's request messages to the session's one form.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use envoy_types::pb::google::rpc::Status;
use prost::Message;

use super::session::{Body, Dialect, Rejection, Request};
use super::text::clip;

/// How much is kept of what a client says against an answer: Envoys repeat the whole resource.
const MAX_REJECTION_BYTES: usize = 1 << 10;

/// A request message of either dialect.
pub(super) trait RequestMessage: Message + Default + 'static {
    /// The dialect that it belongs to.
    const DIALECT: Dialect;

    /// The number of its field `node`.
    const NODE: u32;

    /// Takes the node out; what is left goes to the session.
    fn split(self) -> (Option<Node>, Request);
}

impl RequestMessage for DiscoveryRequest {
    const DIALECT: Dialect = Dialect::StateOfTheWorld;
    const NODE: u32 = 2;

    fn split(self) -> (Option<Node>, Request) {
        let request = Request {
            type_url: self.type_url,
            nonce: self.response_nonce,
            error: self.error_detail.map(rejection),
            body: Body::Names(self.resource_names),
        };
        (self.node, request)
    }
}

impl RequestMessage for DeltaDiscoveryRequest {
    const DIALECT: Dialect = Dialect::Delta;
    const NODE: u32 = 1;

    fn split(self) -> (Option<Node>, Request) {
        let request = Request {
            type_url: self.type_url,
            nonce: self.response_nonce,
            error: self.error_detail.map(rejection),
            body: Body::Delta {
                subscribe: self.resource_names_subscribe,
                unsubscribe: self.resource_names_unsubscribe,
                initial: self.initial_resource_versions.into_iter().collect(),
            },
        };
        (self.node, request)
    }
}

fn rejection(status: Status) -> Rejection {
    Rejection {
        code: status.code,
        message: clip(&status.message, MAX_REJECTION_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r21_the_reason_of_a_refusal_is_cut() {
        let message = DiscoveryRequest {
            error_detail: Some(Status {
                code: 13,
                message: "ü".repeat(1 << 20),
                ..Status::default()
            }),
            ..DiscoveryRequest::default()
        };
        let (_, request) = message.split();
        let kept = request.error.expect("it was refused").message;
        assert!(kept.len() <= MAX_REJECTION_BYTES + '…'.len_utf8());
        assert!(kept.capacity() < 2 * MAX_REJECTION_BYTES, "the rest is freed");
    }
}
