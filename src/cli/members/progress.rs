//! What a command that takes steps says while it does, on standard error: what it has to say in the end is on standard output.

use std::fmt::Display;
use std::io::{Write as _, stderr};

/// The steps, a line each.
#[derive(Debug)]
pub(super) struct Progress;

impl Progress {
    /// A step that was taken.
    pub(super) fn done(&self, what: impl Display, outcome: impl Display) {
        self.say(&format!("  {what}: {outcome}"));
    }

    /// Something to know.
    pub(super) fn note(&self, what: impl Display) {
        self.say(&format!("  note: {what}"));
    }

    /// What the next lines are about, or are waiting for.
    pub(super) fn begin(&self, what: impl Display) {
        self.say(&what.to_string());
    }

    fn say(&self, line: &str) {
        // Nobody can be told that standard error is closed.
        let _ = writeln!(stderr(), "{line}");
    }
}
