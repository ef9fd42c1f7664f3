//! The pods of a member, small: there are as many as endpoints, and all that differs between most of them is the name.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::packed::Packed;
use super::record::{PodRecord, PodTraits};
use super::strings::{Shared, Strings};
use crate::model::{Addresses, Locality, NetworkId, ObjectName, PodName};

/// What is known of a pod beside its name. Pods of one Node mostly share one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct PodFacts {
    pub(super) network: Option<NetworkId>,
    pub(super) mtls: bool,
    pub(super) node: Option<Arc<str>>,
    pub(super) locality: Option<Locality>,
}

/// One pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) facts: Arc<PodFacts>,
    /// What selectors and identities go by. Pods of one Deployment share one.
    pub(super) traits: Arc<PodTraits>,
    /// Its addresses, once it has any, and whether it is ready; nobody asks of one without.
    at: Option<Packed<Ready>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ready {
    Yes,
    No,
}

impl Pod {
    /// Its addresses, once it has any.
    pub(super) fn addresses(&self) -> Option<Addresses> {
        self.at.as_ref().map(Packed::addresses)
    }

    /// Whether it is ready, and has an address.
    pub(super) fn is_ready(&self) -> bool {
        self.at.as_ref().is_some_and(|at| at.beside() == Ready::Yes)
    }

    /// The addresses that viewers in it are found by.
    fn placed(&self) -> Option<Addresses> {
        self.addresses().filter(|_| self.facts.network.is_some())
    }
}

/// The pods of one member.
#[derive(Debug, Default)]
pub(super) struct Pods {
    known: HashMap<PodName, Pod>,
    facts: Shared<PodFacts>,
    /// Pods with a network of their own by address, to find a viewer's.
    placed: BTreeSet<(IpAddr, PodName)>,
}

/// What was different about a pod.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PodChange {
    /// Anything that its endpoints depend on.
    pub(super) facts: bool,
    /// Where a viewer in it stands.
    pub(super) location: bool,
    /// Anything that matters to who selects it by its labels.
    pub(super) selection: bool,
    /// Its labels, by which policies select it.
    pub(super) labels: bool,
    /// How a kubelet asks after it.
    pub(super) probes: bool,
    /// Where it runs.
    pub(super) place: bool,
}

impl Pods {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// What is known of a pod beside its name.
    pub(super) fn get(&self, name: &PodName) -> Option<&PodFacts> {
        self.pod(name).map(|pod| &*pod.facts)
    }

    /// One pod.
    pub(super) fn pod(&self, name: &PodName) -> Option<&Pod> {
        self.known.get(name)
    }

    /// All pods.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PodName, &Pod)> {
        self.known.iter()
    }

    /// The copy of a name that is kept here.
    pub(super) fn known(&self, name: &PodName) -> Option<&PodName> {
        self.known.get_key_value(name).map(|(name, _)| name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &PodName> {
        self.known.keys()
    }

    /// Whether any runs on this Node.
    pub(super) fn any_on(&self, node: &str) -> bool {
        let mut pods = self.known.values();
        pods.any(|pod| pod.facts.node.as_deref() == Some(node))
    }

    /// The network that a pod with this address has of its own.
    pub(super) fn network_at(&self, address: IpAddr) -> Option<&NetworkId> {
        let from = (address, PodName::from(&ObjectName::new("", "")));
        let (found, name) = self.placed.range(from..).next()?;
        let pod = (*found == address).then(|| self.get(name)).flatten();
        pod?.network.as_ref()
    }

    pub(super) fn put(&mut self, record: PodRecord, strings: &mut Strings) -> PodChange {
        let PodRecord {
            mut name,
            network,
            mtls,
            mut node,
            locality,
            addresses,
            ready,
            mut traits,
        } = record;
        strings.share_pod(&mut name);
        strings.share_some(&mut node);
        strings.share_traits(&mut traits);
        let mut facts = Arc::new(PodFacts {
            network,
            mtls,
            node,
            locality,
        });
        self.facts.share(&mut facts);
        let pod = Pod {
            facts,
            traits,
            at: addresses.map(|addresses| Packed::new(addresses, if ready { Ready::Yes } else { Ready::No })),
        };
        let mut change = PodChange::default();
        // The name that is there stays: slices share it.
        let (name, old) = match self.known.get_key_value(&name) {
            Some((known, old)) => {
                change.facts = old.facts != pod.facts;
                change.location = old.facts.network != pod.facts.network;
                change.place = old.facts.locality != pod.facts.locality || old.facts.node != pod.facts.node;
                change.selection = *old != pod;
                change.labels = old.traits.labels != pod.traits.labels;
                change.probes = old.traits.probes != pod.traits.probes;
                (known.clone(), old.placed())
            }
            None => {
                change.facts = true;
                change.location = pod.facts.network.is_some();
                change.selection = true;
                change.labels = true;
                change.probes = !pod.traits.probes.is_empty();
                change.place = true;
                (name, None)
            }
        };
        let new = pod.placed();
        if old != new {
            self.place(&name, old, new);
            change.location = true;
        }
        if change.selection {
            self.known.insert(name, pod);
        }
        change
    }

    /// Takes a pod out; nothing where it was not there.
    pub(super) fn remove(&mut self, name: &PodName) -> Option<PodChange> {
        let (name, pod) = self.known.remove_entry(name)?;
        self.place(&name, pod.placed(), None);
        super::shrink(&mut self.known);
        Some(PodChange {
            facts: true,
            location: pod.facts.network.is_some(),
            selection: true,
            labels: true,
            probes: !pod.traits.probes.is_empty(),
            // Whoever was in it stays where it was.
            place: false,
        })
    }

    fn place(&mut self, name: &PodName, old: Option<Addresses>, new: Option<Addresses>) {
        for address in old.iter().flat_map(Addresses::iter) {
            self.placed.remove(&(address, name.clone()));
        }
        for address in new.iter().flat_map(Addresses::iter) {
            self.placed.insert((address, name.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_takes_little() {
        assert_eq!(size_of::<Pod>(), 32);
    }
}
