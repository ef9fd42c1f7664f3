//! What people may see of a session.

use std::sync::Arc;

use crate::resources::{ResourceType, Version};

/// The last refusal of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack {
    /// The version of the answer that was refused.
    pub version: Version,
    /// The gRPC code that the client gave.
    pub code: i32,
    /// The client's words, at most 1 KiB of them.
    pub message: String,
}

/// One type of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeStatus {
    /// Which type.
    pub kind: ResourceType,
    /// How many names are asked for by name.
    pub subscribed: usize,
    /// True when the whole type is asked for.
    pub wildcard: bool,
    /// How many resources the client holds or is about to.
    pub held: usize,
    /// Names that may have changed and are not sent yet.
    pub pending: usize,
    /// The nonce of the answer that waits for its ACK or NACK.
    pub in_flight: Option<String>,
    /// The version of the last answer.
    pub sent_version: Option<Version>,
    /// The version of the last answer that was taken.
    pub acked_version: Option<Version>,
    /// Answers sent.
    pub pushes: u64,
    /// Answers taken.
    pub acks: u64,
    /// Answers refused.
    pub nacks: u64,
    /// The last refusal; stays until an answer is taken again.
    pub last_nack: Option<Nack>,
}

/// How a client stands to one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceState {
    /// It took what was last sent, or said when it connected that it holds it.
    Synced,
    /// It has not said anything yet to what was last sent.
    Stale,
    /// It refused the last answer that carried it.
    Nacked,
    /// It asked for it, and there is nothing of that name.
    NotSent,
}

/// One resource of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceStatus {
    /// Its name.
    pub name: Arc<str>,
    /// The version last sent, as on the wire; empty when nothing was.
    pub sent: String,
    /// The version last taken, as on the wire; empty when none was.
    pub acked: String,
    /// How the two relate.
    pub state: ResourceState,
}
