//! Which services have a port and which an address. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::{ServiceEndpoints, ServiceKey};

#[derive(Debug, Default)]
pub(super) struct Index {
    ports: BTreeSet<(u16, ServiceKey)>,
    /// Mostly of one service each, but members may give the same address to different ones.
    addresses: BTreeSet<(IpAddr, ServiceKey)>,
}

impl Index {
    pub(super) fn put(&mut self, key: &ServiceKey, old: Option<&ServiceEndpoints>, new: Option<&ServiceEndpoints>) {
        let [before, after] = [old, new].map(numbers);
        swap(&mut self.ports, key, &before, &after);
        let [before, after] = [old, new].map(|service| service.map_or_else(BTreeSet::new, ServiceEndpoints::addresses));
        swap(&mut self.addresses, key, &before, &after);
    }

    pub(super) fn on_port(&self, port: u16) -> Vec<ServiceKey> {
        with(&self.ports, port)
    }

    pub(super) fn at(&self, address: IpAddr) -> Vec<ServiceKey> {
        with(&self.addresses, address)
    }
}

fn numbers(service: Option<&ServiceEndpoints>) -> BTreeSet<u16> {
    let ports = service.map_or(&[][..], |service| &service.ports);
    ports.iter().map(|port| port.port.number).collect()
}

fn swap<T: Copy + Ord>(
    index: &mut BTreeSet<(T, ServiceKey)>,
    key: &ServiceKey,
    before: &BTreeSet<T>,
    after: &BTreeSet<T>,
) {
    for gone in before.difference(after) {
        index.remove(&(*gone, key.clone()));
    }
    index.extend(after.difference(before).map(|new| (*new, key.clone())));
}

/// The services that have this, by name.
fn with<T: Copy + Ord>(index: &BTreeSet<(T, ServiceKey)>, this: T) -> Vec<ServiceKey> {
    let from = (this, ServiceKey::new("", ""));
    let found = index.range(from..).take_while(|(one, _)| *one == this);
    found.map(|(_, key)| key.clone()).collect()
}
