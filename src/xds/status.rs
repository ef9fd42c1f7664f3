//! Why a stream ends, and the only place where that becomes a gRPC status.
//!
//! Some clients show a control plane's status to their own callers, so the codes are few: UNAVAILABLE for "connect again",
//! RESOURCE_EXHAUSTED for a limit, INVALID_ARGUMENT for a client that breaks the protocol, UNAUTHENTICATED and PERMISSION_DENIED
//! for one that is not who it should be; never one that could be taken for an application's answer.

use std::time::Duration;

use tonic::{Code, Status};

use super::config::XdsConfig;
use super::node::NodeError;
use super::session::SessionError;
use super::wire::FrameTooLarge;
use crate::identity::{Refusal, RefusalKind};
use crate::model::ClusterId;

/// Why a stream ends or is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// The client closed its side.
    #[error("closed by the client")]
    Closed,
    /// The client is gone; nobody reads the status.
    #[error("the client is gone: {0}")]
    Gone(String),
    /// The stream is old enough.
    #[error("this stream has reached its age; connect again")]
    MaxAge,
    /// The server is going down.
    #[error("this server is shutting down; connect again")]
    Draining,
    /// The server does not know enough yet.
    #[error("this server is not ready: its members are not synchronized yet; try again")]
    NotReady,
    /// What a sidecar's listeners depend on is not known.
    #[error("member {member} is not synchronized, so its ClusterIPs and policies are not known; try again")]
    MemberNotReady { member: ClusterId },
    /// As many streams as there may be.
    #[error("this server has its most streams open ({limit}); try another one or again later")]
    TooManyStreams { limit: usize },
    /// No first request in time.
    #[error("no request came within {0:?} of opening the stream")]
    FirstMessageLate(Duration),
    /// Neither ACK nor NACK in time.
    #[error("an answer was neither acknowledged nor refused within {0:?}; connect again")]
    AckLate(Duration),
    /// A large request came too slowly.
    #[error("a large request was not there within {0:?} of its beginning; connect again")]
    RequestLate(Duration),
    /// Too much is being received.
    #[error("too many large requests are under way; connect again")]
    TooManyRequests,
    /// A request is too large.
    #[error("a request is larger than {limit} bytes; subscribe to fewer names or raise the limit")]
    RequestTooLarge { limit: usize },
    /// A request is no request.
    #[error("a request can't be read: {0}")]
    Unreadable(String),
    /// The node is missing or wrong.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The client did not prove who it is, or is not who it claims to be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The protocol was broken.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// All streams together ask for too much.
    #[error("all streams together subscribe to more than {limit} resource names; ask for fewer or raise the limit")]
    TooManyNames { limit: usize },
    /// A mistake of ours, which the panic's own message tells of.
    #[error("this stream failed; connect again")]
    Failed,
    /// An answer does not fit.
    #[error(transparent)]
    Frame(#[from] FrameTooLarge),
}

impl End {
    /// What the client is told.
    pub(super) fn status(&self) -> Status {
        let code = match self {
            Self::Closed => Code::Ok,
            Self::Gone(_) => Code::Cancelled,
            Self::Failed => Code::Internal,
            Self::MaxAge
            | Self::Draining
            | Self::NotReady
            | Self::MemberNotReady { .. }
            | Self::AckLate(_)
            | Self::RequestLate(_)
            | Self::TooManyRequests => Code::Unavailable,
            Self::Refused(refusal) => match refusal.kind() {
                RefusalKind::Unauthenticated => Code::Unauthenticated,
                RefusalKind::Denied => Code::PermissionDenied,
                RefusalKind::Later => Code::Unavailable,
            },
            Self::TooManyStreams { .. }
            | Self::RequestTooLarge { .. }
            | Self::TooManyNames { .. }
            | Self::Node(NodeError::TooLarge { .. })
            | Self::Session(SessionError::TooManyNames { .. } | SessionError::TooManyTypes)
            | Self::Frame(_) => Code::ResourceExhausted,
            Self::FirstMessageLate(_) | Self::Unreadable(_) | Self::Node(_) | Self::Session(_) => Code::InvalidArgument,
        };
        match code {
            Code::Ok => Status::new(code, ""),
            _ => Status::new(code, self.to_string()),
        }
    }

    /// A word for metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Gone(_) => "gone",
            Self::MaxAge => "max_age",
            Self::Draining => "draining",
            Self::NotReady | Self::MemberNotReady { .. } => "not_ready",
            Self::TooManyStreams { .. } => "too_many_streams",
            Self::FirstMessageLate(_) => "first_message_late",
            Self::AckLate(_) => "ack_late",
            Self::RequestLate(_) => "request_late",
            Self::TooManyRequests => "too_many_requests",
            Self::RequestTooLarge { .. } => "request_too_large",
            Self::Unreadable(_) => "unreadable",
            Self::Node(_) => "bad_node",
            Self::Refused(_) => "refused",
            Self::Session(SessionError::TooManyNames { .. }) | Self::TooManyNames { .. } => "too_many_names",
            Self::Session(_) => "protocol",
            Self::Failed => "failed",
            Self::Frame(_) => "answer_too_large",
        }
    }

    /// What an error of reading requests means. Tonic tells these apart by code only.
    pub(super) fn of_reading(status: &Status, config: &XdsConfig) -> Self {
        match status.code() {
            Code::OutOfRange => Self::RequestTooLarge {
                limit: config.max_request_bytes,
            },
            // These two are the intake's own; tonic makes neither of them.
            Code::Aborted => Self::TooManyRequests,
            Code::DeadlineExceeded => Self::RequestLate(config.request_patience),
            Code::Internal | Code::Unimplemented => Self::Unreadable(status.message().to_owned()),
            _ => Self::Gone(status.message().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r97_no_code_can_be_taken_for_an_applications_answer() {
        let ends = [
            (End::Closed, Code::Ok),
            (End::MaxAge, Code::Unavailable),
            (End::Draining, Code::Unavailable),
            (End::NotReady, Code::Unavailable),
            (End::AckLate(Duration::ZERO), Code::Unavailable),
            (End::TooManyRequests, Code::Unavailable),
            (End::RequestLate(Duration::ZERO), Code::Unavailable),
            (End::TooManyStreams { limit: 1 }, Code::ResourceExhausted),
            (End::RequestTooLarge { limit: 1 }, Code::ResourceExhausted),
            (End::Node(NodeError::Missing), Code::InvalidArgument),
            (
                End::Node(NodeError::TooLarge { bytes: 2, limit: 1 }),
                Code::ResourceExhausted,
            ),
            (Refusal::Nothing("").into(), Code::Unauthenticated),
            (Refusal::Contradiction(String::new()).into(), Code::PermissionDenied),
            (Refusal::Unknown(String::new()).into(), Code::Unavailable),
            (End::TooManyNames { limit: 1 }, Code::ResourceExhausted),
            (End::Session(SessionError::NoTypeUrl), Code::InvalidArgument),
            (
                End::Session(SessionError::TooManyNames { limit: 1 }),
                Code::ResourceExhausted,
            ),
        ];
        for (end, code) in ends {
            assert_eq!(end.status().code(), code, "{end}");
            assert_eq!(end.status().message().is_empty(), code == Code::Ok);
        }
    }
}
