//! One member, as a person asks for it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use super::super::{MemberOptions, MemberSource, Problem};
use crate::model::ClusterId;
use crate::table::Kind;

/// Whether what is held of a member is up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberState {
    /// Nothing of it is known yet.
    Connecting {
        /// Since when.
        since: SystemTime,
        /// What is being waited for, or why it fails.
        reason: String,
    },
    /// Everything is known and changes arrive.
    Synced,
    /// It was synced, in this life of the process or before, and cannot be read now. What was known of it is kept.
    Stale {
        /// Since when.
        since: SystemTime,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting { reason, .. } => write!(f, "connecting: {reason}"),
            Self::Synced => f.write_str("synced"),
            Self::Stale { reason, .. } => write!(f, "stale: {reason}"),
        }
    }
}

/// One member, as a person asks for it.
#[derive(Debug, Clone)]
pub struct MemberReport {
    /// Its name.
    pub name: ClusterId,
    /// Where it is read from.
    pub source: MemberSource,
    /// How it is treated.
    pub options: MemberOptions,
    /// Whether what is held of it is up to date.
    pub state: MemberState,
    /// It was synced at least once since the start.
    pub synced_once: bool,
    /// When it last told of an object.
    pub last_event: Option<SystemTime>,
    /// The version of its API server.
    pub server_version: Option<String>,
    /// How many objects of each kind are held.
    pub counts: BTreeMap<Kind, usize>,
    /// What is wrong in it, sorted, 100 at most.
    pub problems: Vec<Problem>,
    /// How much is wrong in it altogether.
    pub problem_count: usize,
    /// How many objects it told of since the start, in lists and in changes.
    pub events_total: u64,
}
