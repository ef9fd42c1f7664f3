//! From a member's records to its part of a service: slices joined with pods, Nodes and networks.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Joined;
use std::net::IpAddr;
use std::sync::Arc;

use super::hosts::HostPart;
use super::inbound::Rules;
use super::member::Member;
use super::pods::PodFacts;
use super::record::ServiceRecord;
use super::settings::TableSettings;
use super::slices::{Entry, Slice};
use super::terms::MemberTerms;
use crate::model::{
    Addresses, ClusterId, Endpoint, Health, Locality, MemberStanding, Mtls, NetworkGroup, NetworkId, PodName,
    ServiceKey,
};

/// The endpoints of one port, by network.
pub(super) type Groups = Box<[(NetworkId, Arc<NetworkGroup>)]>;
/// The same of each port, by the name of the *slice* port.
type PortGroups = Box<[(Arc<str>, Groups)]>;

/// One member's part of one service.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MemberService {
    /// Its Service object, where it has one.
    pub(super) service: Option<Arc<ServiceRecord>>,
    /// Its endpoints by the *name* of the slice port, which only the Service ties to a number, and by network. Merged
    /// services share these groups. Sorted, and mostly of one entry each, for which a map would be large.
    by_port: PortGroups,
    /// The same of each host that its pods are, by name, where it is headless.
    by_host: Box<[(Arc<str>, PortGroups)]>,
    /// What its `ServiceEntry` objects say of it.
    pub(super) hosts: Vec<HostPart>,
    /// What its endpoints count.
    pub(super) standing: MemberStanding,
    /// On which terms it gives them, where these are not the usual ones.
    pub(super) terms: Option<Box<MemberTerms>>,
}

impl MemberService {
    /// What this member's slices call their ports, sorted.
    pub(super) fn slice_ports(&self) -> Vec<Arc<str>> {
        self.by_port.iter().map(|(name, _)| Arc::clone(name)).collect()
    }

    /// The groups of the port that this member calls so, of all its pods or of a host.
    pub(super) fn groups(&self, host: Option<&str>, port: &str) -> &[(NetworkId, Arc<NetworkGroup>)] {
        let ports = match host {
            None => &self.by_port[..],
            Some(host) => {
                let found = self.by_host.binary_search_by(|(name, _)| (**name).cmp(host));
                found.map_or(&[][..], |at| &self.by_host[at].1)
            }
        };
        let found = ports.iter().find(|(name, _)| **name == *port);
        found.map_or(&[], |(_, groups)| groups)
    }

    /// The hosts that its pods are.
    pub(super) fn pod_hosts(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_host.iter().map(|(name, _)| name)
    }
}

/// What makes two entries of slices one endpoint: the pod, whatever the family of its address, or else the address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identity<'a> {
    Pod(&'a PodName, u16),
    Address(Option<IpAddr>, u16),
    Workload(Option<PodName>, u16),
}

impl<'a> Identity<'a> {
    fn of(entry: &'a Entry, port: u16) -> Self {
        match &entry.pod {
            Some(pod) => Self::Pod(pod, port),
            None => Self::Address(entry.addresses().iter().next(), port),
        }
    }
}

/// Endpoints by the name of their port.
type Ports<'a> = BTreeMap<Arc<str>, BTreeMap<Identity<'a>, Endpoint>>;

/// What decides the network of a member's endpoints.
#[derive(Debug)]
pub(super) struct Places<'a> {
    pub(super) member: &'a ClusterId,
    pub(super) settings: &'a TableSettings,
    /// The network of what nothing else places.
    pub(super) home: NetworkId,
}

impl Places<'_> {
    pub(super) fn of<'p>(&'p self, pod: Option<&'p PodFacts>, addresses: Addresses) -> &'p NetworkId {
        pod.and_then(|pod| pod.network.as_ref())
            .or_else(|| self.settings.cidrs.network_of(Some(self.member), addresses.iter()))
            .unwrap_or(&self.home)
    }
}

impl Member {
    /// The network of what nothing else places, and what says so.
    pub(super) fn network(&self, name: &ClusterId, settings: &TableSettings) -> (NetworkId, &'static str) {
        if let Some(network) = self.namespace_networks.get(&settings.system_namespace) {
            return (network.clone(), "label of the system namespace");
        }
        match self.network_setting.as_ref().or_else(|| settings.members.get(name)) {
            Some(network) => (network.clone(), "settings"),
            None => (settings.default_network.clone(), "default"),
        }
    }

    /// Its part of a service; `None` where it has no word on it.
    pub(super) fn derive(&self, key: &ServiceKey, places: &Places<'_>) -> Option<MemberService> {
        let service = self.services.get(key).cloned();
        let slices = self.slices.of(key);
        let hosts = self.host_parts(key, places);
        if service.is_none() && slices.is_none() && hosts.is_empty() {
            return None;
        }
        let publish_not_ready = service.as_ref().is_some_and(|service| service.publish_not_ready);
        let rules = self.rules(&key.namespace, places.settings);
        let headless = service.as_ref().is_some_and(|service| service.headless);
        let mut joined: Ports<'_> = BTreeMap::new();
        for slice in slices.into_iter().flatten() {
            for (name, port) in &*slice.ports {
                let endpoints = joined.entry(Arc::clone(name)).or_default();
                for entry in &*slice.endpoints {
                    let health = if publish_not_ready {
                        Health::Ready
                    } else {
                        entry.health()
                    };
                    match endpoints.entry(Identity::of(entry, *port)) {
                        Joined::Vacant(vacant) => {
                            vacant.insert(self.endpoint(entry, *port, health, places, &rules));
                        }
                        // The other family of a dual-stack pod, or a slice that is being replaced and lists it twice.
                        Joined::Occupied(mut occupied) => {
                            let endpoint = occupied.get_mut();
                            endpoint.addresses = entry.addresses().iter().fold(endpoint.addresses, Addresses::with);
                            endpoint.health = endpoint.health.min(health);
                            endpoint.network = places.of(self.pod(entry), endpoint.addresses).clone();
                        }
                    }
                }
            }
        }
        let by_host = match slices {
            Some(slices) if headless => pod_hosts(slices, &joined),
            _ => Box::default(),
        };
        for (port, endpoint) in service
            .iter()
            .flat_map(|service| self.workloads_of(service, places, &rules))
        {
            let identity = Identity::Workload(endpoint.pod.clone(), endpoint.port);
            let endpoints = joined.entry(Arc::clone(port)).or_default();
            endpoints.insert(identity, endpoint);
        }
        Some(MemberService {
            service,
            by_port: by_port(joined),
            by_host,
            hosts,
            standing: self.standing,
            // Of a host outside its own objects say it.
            terms: if key.is_outside() {
                None
            } else {
                self.terms(key, places.settings)
            },
        })
    }

    fn pod(&self, entry: &Entry) -> Option<&PodFacts> {
        self.pods.get(entry.pod.as_ref()?)
    }

    fn endpoint(&self, entry: &Entry, port: u16, health: Health, places: &Places<'_>, rules: &Rules<'_>) -> Endpoint {
        let pod = self.pod(entry);
        let known = || self.pods.pod(entry.pod.as_ref()?);
        let speaks_mtls = || rules.speaks_mtls(known().map(|pod| &pod.traits.labels), port);
        Endpoint {
            addresses: entry.addresses(),
            port,
            weight: 1,
            health,
            mtls: match (pod, &entry.pod) {
                (Some(pod), _) if pod.mtls && speaks_mtls() => Mtls::Yes,
                (Some(pod), _) if pod.mtls => Mtls::Disabled,
                (None, Some(_)) => Mtls::PodUnknown,
                _ => Mtls::No,
            },
            network: places.of(pod, entry.addresses()).clone(),
            locality: self.locality(entry, pod),
            pod: entry.pod.clone(),
        }
    }

    fn locality(&self, entry: &Entry, pod: Option<&PodFacts>) -> Locality {
        if let Some(locality) = pod.and_then(|pod| pod.locality.clone()) {
            return locality;
        }
        let node = entry.place.node.as_ref().or(pod.and_then(|pod| pod.node.as_ref()));
        let known = node
            .and_then(|node| self.nodes.get(node))
            .map(|node| node.locality.clone());
        known
            .filter(|locality| !locality.is_unknown())
            .unwrap_or_else(|| entry.place.zone.clone())
    }
}

/// The hosts that endpoints of these slices are. Each is one pod, or has as many as are called so.
fn pod_hosts(slices: &[Slice], joined: &Ports<'_>) -> Box<[(Arc<str>, PortGroups)]> {
    let mut hosts: BTreeMap<&Arc<str>, Ports<'_>> = BTreeMap::new();
    for slice in slices {
        for (name, entry) in slice.hosts() {
            let of_host = hosts.entry(name).or_default();
            for (port, number) in &*slice.ports {
                let identity = Identity::of(entry, *number);
                if let Some(endpoint) = joined.get(port).and_then(|endpoints| endpoints.get(&identity)) {
                    let endpoints = of_host.entry(Arc::clone(port)).or_default();
                    endpoints.insert(identity, endpoint.clone());
                }
            }
        }
    }
    let hosts = hosts.into_iter();
    hosts.map(|(name, ports)| (Arc::clone(name), by_port(ports))).collect()
}

fn by_port(ports: Ports<'_>) -> PortGroups {
    let ports = ports.into_iter();
    ports
        .map(|(name, endpoints)| (name, by_network(endpoints.into_values())))
        .collect()
}

pub(super) fn by_network(endpoints: impl Iterator<Item = Endpoint>) -> Groups {
    let mut networks: BTreeMap<NetworkId, Vec<Endpoint>> = BTreeMap::new();
    for endpoint in endpoints {
        networks.entry(endpoint.network.clone()).or_default().push(endpoint);
    }
    let groups = networks.into_iter();
    groups
        .map(|(network, endpoints)| (network, Arc::new(NetworkGroup::new(endpoints))))
        .collect()
}
