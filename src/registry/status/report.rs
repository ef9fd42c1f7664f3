//! One member, as a person asks for it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use super::super::{Expiry, MemberOptions, MemberSource, Problem};
use super::READING;
use crate::model::{ClusterId, MemberStanding};
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

impl MemberState {
    /// Whether nothing is known of it, and nothing has failed.
    pub(in super::super) fn is_reading(&self) -> bool {
        matches!(self, Self::Connecting { reason, .. } if reason == READING)
    }
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

/// How one kind of a member's objects is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KindState {
    /// None of it was ever listed.
    NeverSeen,
    /// It is being listed, or what is known of it was read before the start.
    CatchingUp {
        /// Since when.
        since: SystemTime,
    },
    /// It is listed, and its watch is open and gives signs of life.
    Connected,
    /// It was listed, and can't be followed now.
    Stale {
        /// The last sign of life of its watch.
        since: SystemTime,
    },
    /// The member does not know it, which is no fault: it is looked for now and then.
    NotInstalled,
    /// The member does not let us read it, and is complete without. It is tried now and then.
    NotAllowed,
}

impl KindState {
    /// A short, stable name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::NeverSeen => "NeverSeen",
            Self::CatchingUp { .. } => "CatchingUp",
            Self::Connected => "Connected",
            Self::Stale { .. } => "Stale",
            Self::NotInstalled => "NotInstalled",
            Self::NotAllowed => "NotAllowed",
        }
    }

    /// Since when, where that matters.
    #[must_use]
    pub fn since(&self) -> Option<SystemTime> {
        match self {
            Self::NeverSeen | Self::Connected | Self::NotInstalled | Self::NotAllowed => None,
            Self::CatchingUp { since } | Self::Stale { since } => Some(*since),
        }
    }
}

/// One kind of a member's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindReport {
    /// How it is followed.
    pub state: KindState,
    /// The last sign of life of its watch: an object, a bookmark, or that it was opened.
    pub heard: Option<SystemTime>,
    /// How many objects a list left out that are kept until a second list says the same.
    pub held_back: usize,
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
    /// When everything that is held of it was last known to be up to date: at the last heartbeat while nothing failed.
    pub confirmed: Option<SystemTime>,
    /// How long its API server took to answer the last heartbeat.
    pub heartbeat: Option<Duration>,
    /// What its endpoints count at present.
    pub standing: MemberStanding,
    /// How each kind is followed.
    pub kinds: BTreeMap<Kind, KindReport>,
    /// When it last told of an object.
    pub last_event: Option<SystemTime>,
    /// The version of its API server.
    pub server_version: Option<String>,
    /// When its credentials expire, as far as they say.
    pub credentials: Vec<Expiry>,
    /// How many objects of each kind are held.
    pub counts: BTreeMap<Kind, usize>,
    /// What is wrong in it, sorted, 100 at most.
    pub problems: Vec<Problem>,
    /// How much is wrong in it altogether.
    pub problem_count: usize,
    /// How many objects it told of since the start, in lists and in changes.
    pub events_total: u64,
}
