//! A `Member` object of the home cluster, and what became of it: what its status will tell.

use std::fmt;

use crate::model::{ClusterId, ObjectName};

/// A `Member` object, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The object.
    pub object: ObjectName,
    /// Tells it from others that had its name before.
    pub uid: String,
    /// The generation of its spec that this is about.
    pub generation: Option<i64>,
    /// The member that is read because of it; `None` while there is none.
    pub member: Option<ClusterId>,
    /// Whether it is read as it says.
    pub accepted: Verdict,
    /// Whether its credentials work.
    pub credentials: Verdict,
}

/// A word on something, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is so.
    pub answer: Answer,
    /// Why, as one word for programs.
    pub reason: Reason,
    /// What is so and what to do about it, for people.
    pub message: String,
}

/// Whether something is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// Nobody can tell (yet).
    Unknown,
}

/// Why something is so or not, as one word: the condition of a `Member` object has it by this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is read as it says.
    Accepted,
    /// It is read as it says, and another one of its name is not.
    AcceptedBeforeOthers,
    /// Another one has its name.
    NameConflict,
    /// Its name can't be a member's.
    InvalidName,
    /// Its spec can't be read.
    InvalidSpec,
    /// The Secret that it names is not there.
    SecretNotFound,
    /// The Secret has no kubeconfig where it says.
    SecretKeyNotFound,
    /// What the Secret has there is no text.
    SecretNotText,
    /// Nothing is read because of it.
    NotRead,
    /// Its credentials were not tried yet.
    NotTried,
    /// Its credentials work.
    Valid,
    /// Its new kubeconfig does not work.
    RotationFailed,
    /// Its new kubeconfig leads to another cluster.
    OtherCluster,
    /// Its new kubeconfig lists much less than is known.
    ListsDiffer,
    /// Its kubeconfig can't be used.
    InvalidKubeconfig,
    /// The API server does not take its credentials.
    Unauthorized,
    /// The API server's certificate is not trusted.
    ServerNotTrusted,
    /// The API server does not let us read.
    Forbidden,
    /// The API server does not answer.
    ServerUnreachable,
    /// The API server answers.
    Connected,
    /// It was never read completely.
    Connecting,
    /// Everything is known and changes arrive.
    Synced,
    /// What is known is old.
    Stale,
    /// What is known is up to date.
    Fresh,
    /// There is nothing that could be old.
    NothingKnown,
    /// It can't be read at present.
    NotReadable,
    /// A credential has expired.
    Expired,
    /// A credential expires soon.
    ExpiresSoon,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Verdict {
    pub(super) fn yes(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Answer::Yes, reason, message)
    }

    pub(super) fn no(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Answer::No, reason, message)
    }

    pub(super) fn unknown(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Answer::Unknown, reason, message)
    }

    fn new(answer: Answer, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            answer,
            reason,
            message: super::problem::shorten(message.into()),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}
