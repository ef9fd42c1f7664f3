//! One service in the table: what each member derives of it, and what readers get.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::change::ServiceChange;
use super::derive::MemberService;
use super::merge;
use super::settings::TableSettings;
use super::virtual_ips::VirtualIps;
use crate::model::{ClusterId, ServiceEndpoints, ServiceKey};

/// One service.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) shards: BTreeMap<ClusterId, Arc<MemberService>>,
    pub(super) merged: Option<Arc<ServiceEndpoints>>,
    /// The hosts of its pods, by name: services of their own for readers.
    pub(super) hosts: BTreeMap<Arc<str>, Arc<ServiceEndpoints>>,
}

/// A service that readers see differently now.
#[derive(Debug)]
pub(super) struct Differing {
    pub(super) key: ServiceKey,
    pub(super) old: Option<Arc<ServiceEndpoints>>,
    pub(super) new: Option<Arc<ServiceEndpoints>>,
    pub(super) change: ServiceChange,
}

impl Slot {
    /// Swaps one member's part.
    pub(super) fn put(&mut self, member: &ClusterId, shard: Option<Arc<MemberService>>) {
        match shard {
            Some(shard) => self.shards.insert(member.clone(), shard),
            None => self.shards.remove(member),
        };
    }

    /// Merges again. Returns what differs, and services of other slots whose virtual address does.
    pub(super) fn renew(
        &mut self,
        key: &ServiceKey,
        settings: &TableSettings,
        ips: &mut VirtualIps,
    ) -> (Vec<Differing>, Vec<ServiceKey>) {
        let created = merge::created(&self.shards);
        let mut moved = Vec::new();
        let mut addressed = |key: &ServiceKey, service: Option<ServiceEndpoints>| {
            let Some(service) = service else {
                moved.extend(ips.release(key));
                return None;
            };
            moved.extend(ips.claim(key, created));
            // Kept while there are no endpoints, so that it is the same when they are back, but not shown.
            let virtual_ip = if service.needs_virtual_ip() { ips.get(key) } else { None };
            Some(ServiceEndpoints { virtual_ip, ..service })
        };
        let merged = merge::merge(key, &self.shards, settings);
        let mut hosts = match &merged {
            Some(merged) => merge::pod_hosts(merged, &self.shards, settings),
            None => BTreeMap::new(),
        };
        let mut differing = Vec::new();
        let merged = addressed(key, merged);
        differing.extend(swap(key, &mut self.merged, merged));
        let names: BTreeSet<Arc<str>> = self.hosts.keys().chain(hosts.keys()).cloned().collect();
        for name in names {
            let key = key.pod_host(&name);
            let host = addressed(&key, hosts.remove(&name));
            let mut held = self.hosts.remove(&name);
            differing.extend(swap(&key, &mut held, host));
            self.hosts.extend(held.map(|host| (name, host)));
        }
        (differing, moved)
    }

    /// The service itself, or the host of one of its pods.
    pub(super) fn get(&self, host: Option<&str>) -> Option<&Arc<ServiceEndpoints>> {
        match host {
            Some(host) => self.hosts.get(host),
            None => self.merged.as_ref(),
        }
    }
}

fn swap(
    key: &ServiceKey,
    held: &mut Option<Arc<ServiceEndpoints>>,
    new: Option<ServiceEndpoints>,
) -> Option<Differing> {
    let change = ServiceChange::between(held.as_deref(), new.as_ref())?;
    let new = new.map(Arc::new);
    let old = std::mem::replace(held, new.clone());
    Some(Differing {
        key: key.clone(),
        old,
        new,
        change,
    })
}
