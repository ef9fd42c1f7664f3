//! The pods of a member, small: there are as many as endpoints, and all that differs between most of them is the name.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::record::PodRecord;
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

/// The pods of one member.
#[derive(Debug, Default)]
pub(super) struct Pods {
    known: HashMap<PodName, Arc<PodFacts>>,
    facts: Shared<PodFacts>,
    /// Pods with a network of their own by address, to find a viewer's.
    placed: BTreeSet<(IpAddr, PodName)>,
    /// The addresses of the same pods, to take them out again.
    placed_at: HashMap<PodName, Addresses>,
}

/// What was different about a pod.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PodChange {
    /// Anything that its endpoints depend on.
    pub(super) facts: bool,
    /// Where a viewer in it stands.
    pub(super) location: bool,
}

impl Pods {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn get(&self, name: &ObjectName) -> Option<&PodFacts> {
        self.known.get(name).map(|facts| &**facts)
    }

    /// The copy of a name that is kept here.
    pub(super) fn name(&self, name: &ObjectName) -> Option<PodName> {
        self.known.get_key_value(name).map(|(name, _)| name.clone())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &ObjectName> {
        self.known.keys().map(|name| &**name)
    }

    /// Whether any runs on this Node.
    pub(super) fn any_on(&self, node: &str) -> bool {
        let mut facts = self.known.values();
        facts.any(|facts| facts.node.as_deref() == Some(node))
    }

    /// The network that a pod with this address has of its own.
    pub(super) fn network_at(&self, address: IpAddr) -> Option<&NetworkId> {
        let from = (address, PodName::from(ObjectName::new("", "")));
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
        } = record;
        strings.share(&mut name.namespace);
        strings.share_some(&mut node);
        let placed = network.is_some();
        let mut facts = Arc::new(PodFacts {
            network,
            mtls,
            node,
            locality,
        });
        self.facts.share(&mut facts);
        let mut change = PodChange::default();
        // The name that is there stays: slices share it.
        let name = match self.known.get_key_value(&name) {
            Some((known, old)) => {
                change.facts = *old != facts;
                change.location =
                    old.network != facts.network || old.locality != facts.locality || old.node != facts.node;
                known.clone()
            }
            None => {
                change.facts = true;
                change.location = placed;
                name.into()
            }
        };
        let addresses = addresses.filter(|_| placed);
        if self.placed_at.get(&name) != addresses.as_ref() {
            self.place(&name, addresses);
            change.location = true;
        }
        if change.facts {
            self.known.insert(name, facts);
        }
        change
    }

    /// Takes a pod out; nothing where it was not there.
    pub(super) fn remove(&mut self, name: &ObjectName) -> Option<PodChange> {
        let (name, facts) = self.known.remove_entry(name)?;
        self.place(&name, None);
        super::shrink(&mut self.known);
        Some(PodChange {
            facts: true,
            location: facts.network.is_some(),
        })
    }

    fn place(&mut self, name: &PodName, addresses: Option<Addresses>) {
        let old = match addresses {
            Some(addresses) => self.placed_at.insert(name.clone(), addresses),
            None => self.placed_at.remove(name),
        };
        for address in old.iter().flat_map(Addresses::iter) {
            self.placed.remove(&(address, name.clone()));
        }
        for address in addresses.iter().flat_map(Addresses::iter) {
            self.placed.insert((address, name.clone()));
        }
    }
}
