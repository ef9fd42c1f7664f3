//! What endpoints count beside those of others.

use std::fmt;

/// What each endpoint of a member (or of a network, a zone, or a member's Service) counts, in percent of one without a word on it. Zero
/// means that it is drained: nobody is sent to it, even where nothing else is ready.
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

/// What the endpoints of one network in one member, and there of one zone, count: by the words on the member, on the network, on
/// the zone, and of the member's own Service. They multiply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupStanding {
    /// The member's.
    pub member: MemberStanding,
    /// The network's weight.
    pub network: MemberWeight,
    /// The zone's weight; of a group as a whole it is full.
    pub zone: MemberWeight,
    /// The weight that the member's Service gives itself.
    pub service: MemberWeight,
}

impl GroupStanding {
    /// What [`GroupStanding::parts`] is where nobody says anything.
    pub const FULL: u128 = 100 * 100 * 100 * 100;

    /// True where they may be served at all.
    #[must_use]
    pub fn serves(self) -> bool {
        self.member.serves() && ![self.network, self.zone, self.service].contains(&MemberWeight::DRAINED)
    }

    /// Where they come among others.
    #[must_use]
    pub fn rank(self) -> Rank {
        self.member.rank
    }

    /// What one of them counts, where it is [`GroupStanding::FULL`] without a word.
    #[must_use]
    pub fn parts(self) -> u128 {
        [self.member.weight, self.network, self.zone, self.service]
            .map(|weight| u128::from(weight.percent()))
            .into_iter()
            .product()
    }
}
