//! Which services have a port and which an address. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use crate::model::{ServiceEndpoints, ServiceKey};

#[derive(Debug, Default)]
pub(super) struct Index {
    ports: BTreeMap<u16, BTreeSet<ServiceKey>>,
    /// Mostly of one service each, but members may give the same address to different ones.
    addresses: HashMap<IpAddr, BTreeSet<ServiceKey>>,
}

impl Index {
    pub(super) fn put(&mut self, key: &ServiceKey, old: Option<&ServiceEndpoints>, new: Option<&ServiceEndpoints>) {
        let [before, after] = [old, new].map(numbers);
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
        let [before, after] = [old, new].map(|service| service.map_or_else(BTreeSet::new, ServiceEndpoints::addresses));
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
        super::shrink(&mut self.addresses);
    }

    pub(super) fn on_port(&self, port: u16) -> BTreeSet<ServiceKey> {
        self.ports.get(&port).cloned().unwrap_or_default()
    }

    pub(super) fn at(&self, address: IpAddr) -> BTreeSet<ServiceKey> {
        self.addresses.get(&address).cloned().unwrap_or_default()
    }
}

fn numbers(service: Option<&ServiceEndpoints>) -> BTreeSet<u16> {
    let ports = service.map_or(&[][..], |service| &service.ports);
    ports.iter().map(|port| port.port.number).collect()
}
