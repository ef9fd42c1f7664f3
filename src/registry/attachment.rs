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
    pub reason: &'static str,
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

impl Verdict {
    pub(super) fn yes(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Answer::Yes, reason, message)
    }

    pub(super) fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Answer::No, reason, message)
    }

    pub(super) fn unknown(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Answer::Unknown, reason, message)
    }

    fn new(answer: Answer, reason: &'static str, message: impl Into<String>) -> Self {
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
