//! What of a viewer counts for some services only.

use std::fmt;
use std::sync::Arc;

use super::{ClusterId, Locality};

/// Facts about a viewer that most services don't ask for, so that they are no part of a view's own key: a view has one content
/// of most names, and several only of a name whose [`Aspect`] says that more counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vantage {
    /// Its member: for services whose endpoints stay in theirs.
    pub member: Option<ClusterId>,
    /// Its namespace, which may be empty: for services that are exported to some.
    pub namespace: Arc<str>,
    /// Where it runs: for services that prefer what is near.
    pub locality: Locality,
}

/// Which parts of a vantage count for a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Aspect {
    /// The member.
    pub member: Counts,
    /// The namespace.
    pub namespace: Counts,
    /// The locality.
    pub locality: Counts,
}

/// Whether something counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Counts {
    /// It changes nothing.
    #[default]
    No,
    /// It may change the answer.
    Yes,
}

impl Aspect {
    /// Nothing of it counts, as for most.
    pub const NOTHING: Self = Self {
        member: Counts::No,
        namespace: Counts::No,
        locality: Counts::No,
    };
}

impl Vantage {
    /// What counts of it; the rest is as if nothing were known.
    #[must_use]
    pub fn only(&self, aspect: Aspect) -> Self {
        Self {
            member: match aspect.member {
                Counts::Yes => self.member.clone(),
                Counts::No => None,
            },
            namespace: match aspect.namespace {
                Counts::Yes => Arc::clone(&self.namespace),
                Counts::No => Arc::default(),
            },
            locality: match aspect.locality {
                Counts::Yes => self.locality.clone(),
                Counts::No => Locality::default(),
            },
        }
    }
}

impl fmt::Display for Vantage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = self.member.as_ref().map_or("-", |member| member.as_str());
        let namespace = if self.namespace.is_empty() {
            "-"
        } else {
            &self.namespace
        };
        write!(f, "{member}/{namespace} at {}", self.locality)
    }
}
