//! Servers that are wrong in one way each, for a model that can't fail proves nothing.

/// A mistake of a server, made between the core and the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    /// A change is not told to the session.
    LosesAChange,
    /// A request is thrown away when its nonce is stale.
    DropsStale,
    /// What was refused is sent again.
    SendsRefusedAgain,
    /// An answer goes out before the one in flight was settled.
    DoesNotWait,
    /// The last resource of an answer is left out.
    LeavesOneOut,
    /// Names given back are still told.
    ForgetsNoName,
    /// Removals are not told.
    TellsNoRemoval,
    /// Routes go before their clusters are taken, and clusters before routes let go of them.
    WaitsForNothing,
}

impl Mistake {
    pub(super) const ALL: [Self; 8] = [
        Self::LosesAChange,
        Self::DropsStale,
        Self::SendsRefusedAgain,
        Self::DoesNotWait,
        Self::LeavesOneOut,
        Self::ForgetsNoName,
        Self::TellsNoRemoval,
        Self::WaitsForNothing,
    ];
}
