//! What a member's endpoints count beside those of others.

use std::fmt;

/// What each endpoint of a member counts, in percent of one of a member without a word on it. Zero means that the member is
/// drained: nobody is sent to it, even where nothing else is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberWeight(u16);

impl MemberWeight {
    /// As everybody.
    pub const FULL: Self = Self(100);
    /// No traffic.
    pub const DRAINED: Self = Self(0);
    /// The most that can be said.
    pub const MOST: Self = Self(1000);

    /// A weight in percent; `None` above 1000.
    #[must_use]
    pub fn new(percent: u16) -> Option<Self> {
        let weight = Self(percent);
        (weight <= Self::MOST).then_some(weight)
    }

    /// In percent.
    #[must_use]
    pub fn percent(self) -> u16 {
        self.0
    }
}

impl Default for MemberWeight {
    fn default() -> Self {
        Self::FULL
    }
}

impl fmt::Display for MemberWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// Where a member's endpoints come among those of others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// With all others.
    #[default]
    Normal,
    /// Served only where nothing else is ready: what is known of the member is old.
    Last,
    /// Not served: what is known of the member is too old.
    Out,
}

/// What a member's endpoints count at present: by the word of whoever listed it, and by how old is what is known of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberStanding {
    /// How much.
    pub weight: MemberWeight,
    /// In which order.
    pub rank: Rank,
}

impl MemberStanding {
    /// True where its endpoints may be served at all.
    #[must_use]
    pub fn serves(self) -> bool {
        self.rank != Rank::Out && self.weight != MemberWeight::DRAINED
    }
}
