//! What a change of the table touched.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::model::{ClusterId, GroupKey, Mtls, NetworkId, PodRef, PortEndpoints, ServiceEndpoints, ServiceKey};

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
    /// Every address by which connections to it may go otherwise now: where its face changed all that it had, and of a
    /// headless one those of pods that came, went or changed.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether more than endpoints changed: what is known by name.
    pub face: Face,
    /// Whether it was headless, so that connections go to pods and not to it.
    pub headless: bool,
    /// Whether a name of it may have come, gone or lead elsewhere.
    pub renamed: bool,
}

/// Where connections to a pod itself go, and how.
type Ways<'a> = BTreeSet<(IpAddr, &'a GroupKey, Mtls, u16)>;

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

    /// Notes what changed of a service.
    pub(super) fn touch(&mut self, key: ServiceKey, change: ServiceChange) {
        self.services.entry(key).or_default().absorb(change);
    }

    /// Takes another change in.
    pub fn absorb(&mut self, other: Self) {
        for (key, change) in other.services {
            self.touch(key, change);
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
        let [entry_before, entry_after] = [old, new].map(|service| service.map(|service| &service.entry));
        if entry_before != entry_after {
            // What clusters lead to, and how.
            change.defined.clone_from(&change.ports);
        }
        let [before, after] = [old, new].map(|service| service.map(facts));
        let [old_ways, new_ways] = [old, new].map(|service| service.map(ways).unwrap_or_default());
        let is_host = both().any(|service| service.key.pod().is_some());
        let moved = is_host && old_ways != new_ways;
        // Where all of it is for everybody, it does not matter who has it.
        let seen_by = |service: Option<&ServiceEndpoints>| {
            let terms = service.and_then(|service| Some((service.terms.clone()?, service.defined_in.clone())));
            terms.filter(|(terms, _)| !terms.audiences.is_empty())
        };
        let shown = seen_by(old) != seen_by(new);
        if shown {
            change.defined.clone_from(&change.ports);
        }
        let preference = |service: &ServiceEndpoints| service.terms.as_ref().map(|terms| terms.preference.clone());
        let [near_before, near_after] = [old, new].map(|service| service.and_then(preference).unwrap_or_default());
        if near_before != near_after && both().any(ServiceEndpoints::is_looked_up) {
            change.defined.clone_from(&change.ports);
        }
        if !change.defined.is_empty() || before != after || moved {
            change.face = Face::Changed;
            change.addresses = both().flat_map(ServiceEndpoints::addresses).collect();
        }
        // Routes ask again as often as there are steps.
        let [old_steps, new_steps] = [old, new].map(|service| service.map(ServiceEndpoints::steps));
        if old_steps != new_steps {
            change.face = Face::Changed;
        }
        let differing = old_ways.symmetric_difference(&new_ways);
        change.addresses.extend(differing.map(|(address, ..)| *address));
        change.headless = both().any(|service| service.headless);
        let [served, serves] = [old, new].map(|service| service.filter(|service| service.headless).map(ready));
        // Whether the name of a host leads to its virtual address depends on what its ports speak.
        let spoken = !change.defined.is_empty() && both().any(|service| service.entry.is_some());
        change.renamed = before != after || shown || spoken || entry_before != entry_after || moved || served != serves;
        Some(change)
    }

    fn absorb(&mut self, other: Self) {
        self.ports.extend(other.ports);
        self.defined.extend(other.defined);
        self.addresses.extend(other.addresses);
        if other.face == Face::Changed {
            self.face = Face::Changed;
        }
        self.headless |= other.headless;
        self.renamed |= other.renamed;
    }
}

type Facts<'a> = (bool, &'a BTreeMap<ClusterId, Vec<IpAddr>>, Option<Ipv4Addr>);

fn facts(service: &ServiceEndpoints) -> Facts<'_> {
    (service.headless, &service.cluster_ips, service.virtual_ip)
}

/// Of what connections reach by the address of a pod; others don't look at them.
fn ways(service: &ServiceEndpoints) -> Ways<'_> {
    let mut ways = Ways::new();
    if service.headless || service.key.pod().is_some() {
        for (key, group) in service.groups() {
            for endpoint in group.endpoints() {
                let addresses = endpoint.addresses.iter();
                ways.extend(addresses.map(|address| (address, key, endpoint.mtls, endpoint.port)));
            }
        }
    }
    ways
}

/// Where a local DNS knows pods of it.
fn ready(service: &ServiceEndpoints) -> BTreeSet<&GroupKey> {
    let ready = service.groups().filter(|(_, group)| group.any_ready());
    ready.map(|(key, _)| key).collect()
}

fn number(port: &PortEndpoints) -> u16 {
    port.port.number
}
