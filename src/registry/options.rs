//! How one member is treated, by the word of whoever listed it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{MemberWeight, NetworkId};

/// How one member is treated. The settings say it, or the Secret or resource that the member is listed in; it may change while the
/// member is read ([`super::Members::reconfigure`]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberOptions {
    /// The network of what nothing in the member places.
    pub network: Option<NetworkId>,
    /// The namespaces that are read, sorted; all of them where there are none.
    pub namespaces: Vec<Arc<str>>,
    /// The namespace whose label places the member: it is read beside those.
    pub system_namespace: Option<Arc<str>>,
    /// What becomes of its endpoints while it is stale.
    pub stale: StalePolicy,
    /// What each of its endpoints counts.
    pub weight: MemberWeight,
    /// What it may cost.
    pub budget: Budget,
}

/// What becomes of a member's endpoints while it can't be read. All of it ends at once when the member is back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StalePolicy {
    /// They are served as they were.
    #[default]
    Keep,
    /// They are served only where nothing else is ready.
    Demote {
        /// Once the member is stale for so long.
        after: Duration,
    },
    /// They are not served.
    Drop {
        /// Once the member is stale for so long.
        after: Duration,
    },
}

impl fmt::Display for StalePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.write_str("keep"),
            Self::Demote { after } => write!(f, "demote after {after:?}"),
            Self::Drop { after } => write!(f, "drop after {after:?}"),
        }
    }
}

/// What one member may cost. Beyond it the member is degraded, with the reason shown, and keeps what it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How many objects are held of it.
    pub objects: usize,
    /// How many bytes these may take, about.
    pub bytes: usize,
    /// How many changes are taken in a second, sustained.
    pub events_per_second: u32,
}

impl Default for Budget {
    /// Large enough for the largest clusters that Kubernetes is made for.
    fn default() -> Self {
        Self {
            objects: 1_000_000,
            bytes: 1 << 30,
            events_per_second: 5_000,
        }
    }
}
