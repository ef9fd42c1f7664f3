//! Whether a home cluster that says that it has no `Member` objects is believed. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// A server that says for so long that it has no such objects is believed where none were known: one that starts may say so too.
const NONE_FOR: Duration = Duration::from_secs(5);
/// Where some are known, two lists of all groups without ours have to be so far apart: a 404 may be said by whatever stands in
/// front of the server, or by a server that does not serve all its kinds yet.
const APART: Duration = Duration::from_secs(45);

/// What the server says of the groups that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Groups {
    /// Ours is not among them.
    WithoutOurs,
    /// Ours is.
    WithOurs,
    /// It does not tell.
    Untold(String),
}

/// What depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtStake {
    Nothing,
    /// Members would leave.
    Members,
}

/// What the server said so far.
#[derive(Debug, Default)]
pub(super) struct Absence {
    /// Since when it refuses the kind without a word of another sort.
    refused: Option<Instant>,
    /// Since when its groups lack ours.
    without: Option<Instant>,
}

impl Absence {
    /// Another word came: an object, a list, or another failure.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    /// The server says 404, and this of its groups; true once it is to be believed.
    pub(super) fn hear(&mut self, groups: &Groups, at_stake: AtStake, now: Instant) -> bool {
        let refused = *self.refused.get_or_insert(now);
        if *groups != Groups::WithoutOurs {
            self.without = None;
            return at_stake == AtStake::Nothing && now - refused >= NONE_FOR;
        }
        let without = *self.without.get_or_insert(now);
        match at_stake {
            AtStake::Nothing => now - refused >= NONE_FOR,
            AtStake::Members => now - without >= APART,
        }
    }
}
