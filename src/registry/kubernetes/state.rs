//! What is known of the watches of a member at a moment.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::budget::{Account, Pace};
use super::failure::Failure;
use super::fold::Fold;
use super::listing::Listing;
use crate::table::Kind;

/// All of it begins empty.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) fold: Fold,
    /// What fails at present, by kind.
    pub(super) failing: BTreeMap<Kind, Failure>,
    /// The kinds that are listed and watched.
    pub(super) followed: BTreeSet<Kind>,
    /// The kinds that are done without: we are not allowed to read them.
    pub(super) without: BTreeSet<Kind>,
    /// Since when kinds are not there.
    pub(super) absent: BTreeMap<Kind, Instant>,
    /// Why the last heartbeat had no answer.
    pub(super) missed: Option<Failure>,
    /// The last sign of life of any watch.
    pub(super) heard: Option<Instant>,
    /// The lists that are being read.
    pub(super) listing: BTreeMap<Kind, Listing>,
    pub(super) account: Account,
    pub(super) pace: Pace,
    /// It is told that changes come too fast.
    pub(super) throttled: bool,
    /// The last change, for the pace.
    pub(super) changed: Option<Instant>,
    /// When kinds are to be listed once more, whose last list was not taken at its word.
    pub(super) doubted: BTreeMap<Kind, Instant>,
}
