//! What is wrong with something that a member says, in words that lead to a fix.

use super::MemberSource;
use crate::model::ClusterId;

/// How much of a foreign text a message repeats, in characters.
const LONGEST_TEXT: usize = 300;

/// Something in a member that is not as it should be. Everything else of the member is taken all the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{subject}: {problem}; {remedy}")]
pub struct Problem {
    /// What it is about: an object (`Pod shop/web-1`), a file (`web.yaml:12`), or a part of the registry.
    pub subject: String,
    /// What is wrong, and what became of it.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    /// Joins the three parts; a long problem is cut, since it may repeat what somebody else wrote.
    pub(super) fn new(subject: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            problem: shorten(problem.into()),
            remedy: remedy.into(),
        }
    }

    /// A member that is not read since another one has its name.
    pub(super) fn name_taken(name: &ClusterId, source: &MemberSource) -> Self {
        Self::new(
            format!("member {name} ({source})"),
            "another member has this name; this one is not read",
            "give it another name",
        )
    }
}

/// Cuts a text to what a person reads in one line.
pub(super) fn shorten(text: String) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
