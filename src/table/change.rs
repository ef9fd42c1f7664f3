//! What a change of the table touched.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::{NetworkId, PodRef, PortEndpoints, ServiceEndpoints, ServiceKey};

/// Names of what may look different now; never content, so that changes merge and the latest wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeSet {
    /// Services whose endpoints, ports or attributes changed, or that came or went, and what of each.
    pub services: BTreeMap<ServiceKey, ServiceChange>,
    /// Networks whose gateways changed.
    pub networks: BTreeSet<NetworkId>,
    /// What decides where viewers stand.
    pub locations: Locations,
    /// Pods whose sidecars may stand elsewhere, whatever `locations` says of all.
    pub workloads: BTreeSet<PodRef>,
    /// How much may look different beside.
    pub scope: Scope,
}

/// How much a change touches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    /// What it names.
    #[default]
    Named,
    /// Every resource there is: what all of them depend on changed.
    Everything,
}

/// What changes of one service touched: all that it was on the way counts, not only how it began and ended, for a view may
/// have been built from any of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceChange {
    /// Every port that it had.
    pub ports: BTreeSet<u16>,
    /// The ports that came, went, are described otherwise, or are for others to see.
    pub defined: BTreeSet<u16>,
    /// Where its face changed: every `ClusterIP` that it had, in any member.
    pub cluster_ips: BTreeSet<IpAddr>,
    /// Whether more than endpoints changed.
    pub face: Face,
}

/// All of a service but its endpoints: which ports and addresses it has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Face {
    /// As before.
    #[default]
    Same,
    /// A port or an address differs, or the service came or went.
    Changed,
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
        self.scope == Scope::Named
            && self.services.is_empty()
            && self.networks.is_empty()
            && self.workloads.is_empty()
            && self.locations == Locations::Same
    }

    /// Takes another change in.
    pub fn absorb(&mut self, other: Self) {
        for (key, change) in other.services {
            self.services.entry(key).or_default().absorb(change);
        }
        self.networks.extend(other.networks);
        self.workloads.extend(other.workloads);
        if other.scope == Scope::Everything {
            self.scope = Scope::Everything;
        }
        if other.locations == Locations::Changed {
            self.locations = Locations::Changed;
        }
    }
}

impl ServiceChange {
    /// From one state to the next; none where readers see no difference.
    pub(super) fn between(old: Option<&ServiceEndpoints>, new: Option<&ServiceEndpoints>) -> Option<Self> {
        if old == new {
            return None;
        }
        let both = || old.into_iter().chain(new);
        let mut change = Self {
            ports: both().flat_map(|service| &service.ports).map(number).collect(),
            ..Self::default()
        };
        let differs = |port: &&u16| {
            let [old, new] = [old, new].map(|service| service.and_then(|service| service.port(**port)));
            old.map(|port| &port.port) != new.map(|port| &port.port)
        };
        change.defined = change.ports.iter().filter(differs).copied().collect();
        if old.map(|service| &service.entry) != new.map(|service| &service.entry) {
            // What clusters lead to, and how.
            change.defined.clone_from(&change.ports);
        }
        let [before, after] = [old, new].map(|service| service.map(|service| (service.headless, &service.cluster_ips)));
        // Where all of it is for everybody, it does not matter who has it.
        let seen_by = |service: Option<&ServiceEndpoints>| {
            let terms = service.and_then(|service| Some((service.terms.clone()?, service.defined_in.clone())));
            terms.filter(|(terms, _)| !terms.audiences.is_empty())
        };
        if seen_by(old) != seen_by(new) {
            change.defined.clone_from(&change.ports);
        }
        if !change.defined.is_empty() || before != after {
            change.face = Face::Changed;
            let of_members = both().flat_map(|service| service.cluster_ips.values().flatten());
            let of_entries = both()
                .filter_map(|service| service.entry.as_ref())
                .flat_map(|entry| &entry.addresses);
            change.cluster_ips = of_members.chain(of_entries).copied().collect();
        }
        Some(change)
    }

    fn absorb(&mut self, other: Self) {
        self.ports.extend(other.ports);
        self.defined.extend(other.defined);
        self.cluster_ips.extend(other.cluster_ips);
        if other.face == Face::Changed {
            self.face = Face::Changed;
        }
    }
}

fn number(port: &PortEndpoints) -> u16 {
    port.port.number
}
