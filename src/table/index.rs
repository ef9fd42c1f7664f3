//! Which services have a port, and which an address: for listeners, which services share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use crate::model::{ServiceEndpoints, ServiceKey};

/// Services by what leads to them.
#[derive(Debug, Default)]
pub(super) struct Index {
    ports: BTreeMap<u16, BTreeSet<ServiceKey>>,
    /// By `ClusterIP`, in whichever member.
    addresses: HashMap<IpAddr, BTreeSet<ServiceKey>>,
}

fn numbers(service: Option<&ServiceEndpoints>) -> BTreeSet<u16> {
    let ports = service.map_or(&[][..], |service| &service.ports);
    ports.iter().map(|port| port.port.number).collect()
}

fn addresses(service: Option<&ServiceEndpoints>) -> BTreeSet<IpAddr> {
    let all = service.into_iter().flat_map(|service| service.cluster_ips.values());
    all.flatten().copied().collect()
}

impl Index {
    /// Takes over what a service was and is.
    pub(super) fn update(&mut self, key: &ServiceKey, old: Option<&ServiceEndpoints>, new: Option<&ServiceEndpoints>) {
        let (before, after) = (numbers(old), numbers(new));
        for number in before.difference(&after) {
            if let Some(services) = self.ports.get_mut(number) {
                services.remove(key);
                if services.is_empty() {
                    self.ports.remove(number);
                }
            }
        }
        for number in after.difference(&before) {
            self.ports.entry(*number).or_default().insert(key.clone());
        }
        let (before, after) = (addresses(old), addresses(new));
        for address in before.difference(&after) {
            if let Some(services) = self.addresses.get_mut(address) {
                services.remove(key);
                if services.is_empty() {
                    self.addresses.remove(address);
                }
            }
        }
        for address in after.difference(&before) {
            self.addresses.entry(*address).or_default().insert(key.clone());
        }
    }

    /// Those with a port of this number, by name.
    pub(super) fn on(&self, port: u16) -> BTreeSet<ServiceKey> {
        self.ports.get(&port).cloned().unwrap_or_default()
    }

    /// Those with this `ClusterIP` in some member, by name.
    pub(super) fn at(&self, address: IpAddr) -> BTreeSet<ServiceKey> {
        self.addresses.get(&address).cloned().unwrap_or_default()
    }
}
