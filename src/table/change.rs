//! What a change of the table touched.

use std::collections::BTreeSet;

use crate::model::{NetworkId, ServiceKey};

/// Names of what may look different now; never content, so that changes merge and the latest wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeSet {
    /// Services whose endpoints, ports or attributes changed, or that came or went.
    pub services: BTreeSet<ServiceKey>,
    /// Networks whose gateways changed.
    pub networks: BTreeSet<NetworkId>,
    /// What decides where viewers stand.
    pub locations: Locations,
}

/// Whether viewers may stand elsewhere now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Locations {
    /// Nothing that decides a viewer's network changed.
    #[default]
    Same,
    /// A member's network or that of a pod changed.
    Changed,
}

impl ChangeSet {
    /// True when nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.networks.is_empty() && self.locations == Locations::Same
    }

    /// Takes another change in.
    pub fn absorb(&mut self, other: Self) {
        self.services.extend(other.services);
        self.networks.extend(other.networks);
        if other.locations == Locations::Changed {
            self.locations = Locations::Changed;
        }
    }
}
