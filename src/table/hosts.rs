//! Hosts outside of Kubernetes: what each member's `ServiceEntry` objects say of one.

use std::sync::Arc;

use super::derive::{Groups, Places, by_network};
use super::entries::Entries;
use super::entry::{Location, ServiceEntryRecord, Workload, WorkloadAddress, selects};
use super::member::{Member, Touched};
use super::record::{Labels, TargetPort};
use crate::model::{
    DnsTarget, Endpoint, Health, Mtls, NetworkGroup, NetworkId, ObjectName, Resolution, ServiceKey, ServicePort,
};

/// What one object of a member says of a host.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HostPart {
    pub(super) entry: Arc<ServiceEntryRecord>,
    /// Its endpoints, by service port.
    endpoints: Vec<(u16, Groups)>,
    /// What proxies look up, by service port.
    lookups: Vec<(u16, Vec<DnsTarget>)>,
}

impl HostPart {
    pub(super) fn groups(&self, port: u16) -> &[(NetworkId, Arc<NetworkGroup>)] {
        let found = self.endpoints.iter().find(|(number, _)| *number == port);
        found.map_or(&[], |(_, groups)| groups)
    }

    pub(super) fn lookups(&self, port: u16) -> &[DnsTarget] {
        let found = self.lookups.iter().find(|(number, _)| *number == port);
        found.map_or(&[], |(_, lookups)| lookups)
    }
}

impl Entries {
    /// The hosts that the objects of a member name.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &ServiceKey> {
        self.by_host.keys()
    }

    fn index(&mut self, name: &ObjectName, entry: &ServiceEntryRecord) {
        for key in entry.keys(&self.domain) {
            self.by_host.entry(key).or_default().insert(name.clone());
        }
        if entry.selector.is_some() {
            self.selecting.insert(name.clone());
        }
    }

    fn unindex(&mut self, name: &ObjectName, entry: &ServiceEntryRecord) {
        for key in entry.keys(&self.domain) {
            if let Some(names) = self.by_host.get_mut(&key) {
                names.remove(name);
                if names.is_empty() {
                    self.by_host.remove(&key);
                }
            }
        }
        self.selecting.remove(name);
    }

    /// The hosts of all objects that select anything.
    pub(super) fn touch_all_selecting(&self, touched: &mut Touched) {
        let entries = self.selecting.iter().filter_map(|name| self.services.get(name));
        let hosts = entries.flat_map(|entry| entry.keys(&self.domain));
        touched.services.extend(hosts);
    }

    /// The hosts of objects in this namespace that select something with these labels.
    pub(super) fn touch_selecting(&self, namespace: &str, labels: &Labels, touched: &mut Touched) {
        let selecting = self.selecting.iter().filter(|name| *name.namespace == *namespace);
        for entry in selecting.filter_map(|name| self.services.get(name)) {
            if entry
                .selector
                .as_ref()
                .is_some_and(|selector| selects(selector, labels))
            {
                let hosts = entry.keys(&self.domain);
                touched.services.extend(hosts);
            }
        }
    }
}

impl Member {
    /// Takes a `ServiceEntry` in, or out.
    pub(super) fn put_host(
        &mut self,
        name: &ObjectName,
        entry: Option<Arc<ServiceEntryRecord>>,
        touched: &mut Touched,
    ) {
        let entries = &mut self.entries;
        let old = match &entry {
            Some(entry) => entries.services.insert(name.clone(), Arc::clone(entry)),
            None => entries.services.remove(name),
        };
        if old == entry {
            return;
        }
        if let Some(old) = &old {
            entries.unindex(name, old);
        }
        if let Some(new) = &entry {
            entries.index(name, new);
        }
        for entry in old.iter().chain(&entry) {
            let hosts = entry.keys(&entries.domain);
            touched.services.extend(hosts);
        }
    }

    /// The hosts of objects that select a pod as it is now.
    pub(super) fn touch_selecting_pod(&self, name: &ObjectName, touched: &mut Touched) {
        if !self.entries.selecting.is_empty()
            && let Some(pod) = self.pods.pod(&name.into())
        {
            self.entries
                .touch_selecting(&name.namespace, &pod.traits.labels, touched);
        }
    }

    /// What this member's objects say of a host; mostly nothing.
    pub(super) fn host_parts(&self, key: &ServiceKey, places: &Places<'_>) -> Vec<HostPart> {
        let names = self.entries.by_host.get(key).into_iter().flatten();
        let entries = names.filter_map(|name| self.entries.services.get(name));
        entries.map(|entry| self.host_part(key, entry, places)).collect()
    }

    fn host_part(&self, key: &ServiceKey, entry: &Arc<ServiceEntryRecord>, places: &Places<'_>) -> HostPart {
        let mut endpoints = Vec::new();
        let mut lookups = Vec::new();
        for EntryPortRef { port, target } in entry.ports.iter().map(EntryPortRef::of) {
            match entry.resolution {
                Resolution::None => {}
                Resolution::Static => {
                    let found = self.host_endpoints(entry, port, target.as_ref(), places);
                    endpoints.push((port.number, by_network(found.into_iter())));
                }
                Resolution::Dns | Resolution::DnsRoundRobin => {
                    let found = self.host_lookups(key, entry, port, target.as_ref(), places);
                    lookups.push((port.number, found));
                }
            }
        }
        HostPart {
            entry: Arc::clone(entry),
            endpoints,
            lookups,
        }
    }

    fn host_endpoints(
        &self,
        entry: &ServiceEntryRecord,
        port: &ServicePort,
        target: Option<&TargetPort>,
        places: &Places<'_>,
    ) -> Vec<Endpoint> {
        let elsewhere = |addresses| match entry.location {
            Location::External => NetworkId::anywhere(),
            Location::Internal => places.of(None, addresses).clone(),
        };
        let rules = self.rules(&entry.name.namespace, places.settings);
        let told = entry.endpoints.iter().map(|workload| (None, workload));
        let selected = entry.selector.iter().flat_map(|selector| {
            let found = self.entries.selected(&entry.name.namespace, selector);
            found.map(|chosen| (Some(&chosen.name), &chosen.workload))
        });
        let workloads = told.chain(selected).filter_map(|(name, workload)| {
            let number = workload.port_for(port, target);
            let endpoint = workload.endpoint(name, number, elsewhere)?;
            Some(rules.applied(endpoint, &workload.labels))
        });
        let mut endpoints: Vec<_> = workloads.collect();
        if let Some(selector) = &entry.selector {
            let pods = self.selected_pods(&entry.name.namespace, selector, port, target, places);
            endpoints.extend(pods.map(|(labels, endpoint)| rules.applied(endpoint, labels)));
        }
        endpoints
    }

    /// Pods with these labels, as a Service without slices would have them, with all their labels.
    fn selected_pods<'a>(
        &'a self,
        namespace: &'a str,
        selector: &'a Labels,
        port: &ServicePort,
        target: Option<&TargetPort>,
        places: &'a Places<'_>,
    ) -> impl Iterator<Item = (&'a Labels, Endpoint)> {
        let number = match target {
            Some(TargetPort::Number(number)) => *number,
            Some(TargetPort::Name(_)) | None => port.number,
        };
        let pods = self
            .pods
            .iter()
            .filter(move |(name, pod)| &**name.namespace() == namespace && selects(selector, &pod.traits.labels));
        pods.filter_map(move |(name, pod)| {
            let addresses = pod.addresses()?;
            let node = pod.facts.node.as_ref().and_then(|node| self.nodes.get(node));
            let locality = pod.facts.locality.clone().or_else(|| Some(node?.locality.clone()));
            let endpoint = Endpoint {
                addresses,
                port: number,
                weight: 1,
                health: if pod.is_ready() {
                    Health::Ready
                } else {
                    Health::NotReady
                },
                mtls: if pod.facts.mtls { Mtls::Yes } else { Mtls::No },
                network: places.of(Some(&pod.facts), addresses).clone(),
                locality: locality.unwrap_or_default(),
                pod: Some(name.clone()),
            };
            Some((&pod.traits.labels, endpoint))
        })
    }

    fn host_lookups(
        &self,
        key: &ServiceKey,
        entry: &ServiceEntryRecord,
        port: &ServicePort,
        target: Option<&TargetPort>,
        places: &Places<'_>,
    ) -> Vec<DnsTarget> {
        if entry.endpoints.is_empty() && entry.selector.is_none() {
            let number = match target {
                Some(TargetPort::Number(number)) => *number,
                Some(TargetPort::Name(_)) | None => port.number,
            };
            return vec![DnsTarget {
                name: Arc::clone(&key.name),
                port: number,
                weight: 1,
                locality: crate::model::Locality::default(),
                mtls: Mtls::No,
            }];
        }
        let told = entry.endpoints.iter().map(|workload| lookup(workload, port, target));
        let selected = entry.selector.iter().flat_map(|_| {
            let endpoints = self.host_endpoints(entry, port, target, places);
            let ready = endpoints
                .into_iter()
                .filter(|endpoint| endpoint.health == Health::Ready);
            ready.filter_map(|endpoint| {
                Some(DnsTarget {
                    name: endpoint.addresses.iter().next()?.to_string().into(),
                    port: endpoint.port,
                    weight: endpoint.weight,
                    locality: endpoint.locality,
                    mtls: endpoint.mtls,
                })
            })
        });
        told.chain(selected).collect()
    }
}

/// A port of an entry with its target as a Service has it.
struct EntryPortRef<'a> {
    port: &'a ServicePort,
    target: Option<TargetPort>,
}

impl<'a> EntryPortRef<'a> {
    fn of(port: &'a super::entry::EntryPort) -> Self {
        Self {
            port: &port.port,
            target: port.target.map(TargetPort::Number),
        }
    }
}

fn lookup(workload: &Workload, port: &ServicePort, target: Option<&TargetPort>) -> DnsTarget {
    DnsTarget {
        name: match &workload.address {
            WorkloadAddress::Ip(address) => address.to_string().into(),
            WorkloadAddress::Host(host) => host.as_str().into(),
        },
        port: workload.port_for(port, target),
        weight: workload.weight,
        locality: workload.locality.clone().unwrap_or_default(),
        mtls: if workload.mtls { Mtls::Yes } else { Mtls::No },
    }
}
