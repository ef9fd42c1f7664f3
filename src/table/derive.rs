//! From a member's records to its part of a service: slices joined with pods, Nodes and networks.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Joined;
use std::net::IpAddr;
use std::sync::Arc;

use super::TableSettings;
use super::gateways::GatewayCandidate;
use super::member::Member;
use super::pods::PodFacts;
use super::record::ServiceRecord;
use super::slices::Entry;
use crate::model::{
    Addresses, ClusterId, Endpoint, GatewaySource, Health, Locality, MemberStanding, Mtls, NetworkGroup, NetworkId,
    ObjectName, PodName, Rank, ServiceKey, UnusableReason,
};

/// The endpoints of one port, by network.
type Groups = Vec<(NetworkId, Arc<NetworkGroup>)>;

/// One member's part of one service.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MemberService {
    /// Its Service object, where it has one.
    pub(super) service: Option<Arc<ServiceRecord>>,
    /// Its endpoints by the *name* of the slice port, which only the Service ties to a number, and by network. Merged
    /// services share these groups. Sorted, and mostly of one entry each, for which a map would be large.
    by_port: Vec<(Arc<str>, Groups)>,
    /// What its endpoints count.
    pub(super) standing: MemberStanding,
}

impl MemberService {
    /// The groups of the port that this member calls so.
    pub(super) fn groups(&self, port: &str) -> &[(NetworkId, Arc<NetworkGroup>)] {
        let found = self.by_port.iter().find(|(name, _)| **name == *port);
        found.map_or(&[], |(_, groups)| groups)
    }
}

/// What makes two entries of slices one endpoint: the pod, whatever the family of its address, or else the address.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identity<'a> {
    Pod(&'a PodName, u16),
    Address(Option<IpAddr>, u16),
}

impl Member {
    /// The network of what nothing else places, and what says so.
    pub(super) fn network(&self, settings: &TableSettings) -> (NetworkId, &'static str) {
        if let Some(network) = self.namespace_networks.get(&settings.system_namespace) {
            return (network.clone(), "label of the system namespace");
        }
        match &self.network_setting {
            Some(network) => (network.clone(), "settings"),
            None => (settings.default_network.clone(), "default"),
        }
    }

    /// Its part of a service; `None` where it has no word on it.
    pub(super) fn derive(&self, key: &ServiceKey, network: &NetworkId) -> Option<MemberService> {
        let service = self.services.get(key).cloned();
        let slices = self.slices.of(key);
        if service.is_none() && slices.is_none() {
            return None;
        }
        let publish_not_ready = service.as_ref().is_some_and(|service| service.publish_not_ready);
        let mut joined: BTreeMap<Arc<str>, BTreeMap<Identity<'_>, Endpoint>> = BTreeMap::new();
        for slice in slices.into_iter().flatten() {
            for (name, port) in &*slice.ports {
                let endpoints = joined.entry(Arc::clone(name)).or_default();
                for entry in &*slice.endpoints {
                    let health = if publish_not_ready { Health::Ready } else { entry.health };
                    let identity = match &entry.pod {
                        Some(pod) => Identity::Pod(pod, *port),
                        None => Identity::Address(entry.addresses.iter().next(), *port),
                    };
                    match endpoints.entry(identity) {
                        Joined::Vacant(vacant) => {
                            vacant.insert(self.endpoint(entry, *port, health, network));
                        }
                        // The other family of a dual-stack pod, or a slice that is being replaced and lists it twice.
                        Joined::Occupied(mut occupied) => {
                            let endpoint = occupied.get_mut();
                            endpoint.addresses = entry.addresses.iter().fold(endpoint.addresses, Addresses::with);
                            endpoint.health = endpoint.health.min(health);
                        }
                    }
                }
            }
        }
        let by_port = joined
            .into_iter()
            .map(|(name, endpoints)| (name, by_network(endpoints.into_values())));
        let by_port = by_port.collect();
        Some(MemberService {
            service,
            by_port,
            standing: self.standing,
        })
    }

    fn endpoint(&self, entry: &Entry, port: u16, health: Health, member_network: &NetworkId) -> Endpoint {
        let pod = entry.pod.as_ref().and_then(|name| self.pods.get(name));
        Endpoint {
            addresses: entry.addresses,
            port,
            health,
            mtls: match (pod, &entry.pod) {
                (Some(pod), _) if pod.mtls => Mtls::Yes,
                (None, Some(_)) => Mtls::PodUnknown,
                _ => Mtls::No,
            },
            network: pod
                .and_then(|pod| pod.network.as_ref())
                .unwrap_or(member_network)
                .clone(),
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

    /// Its Services that claim to be gateways, each with the reason why it is none, if so.
    pub(super) fn gateway_candidates(&self, member: &ClusterId) -> Vec<GatewayCandidate> {
        let claims = self.gateway_services.iter().filter_map(|key| {
            let service = self.services.get(key)?;
            let claim = service.gateway.as_ref()?;
            let source = GatewaySource {
                network: claim.network.clone(),
                member: member.clone(),
                service: ObjectName::new(&key.namespace, &key.name),
            };
            let unusable = if self.standing.rank == Rank::Out {
                Some(UnusableReason::MemberStale)
            } else if !service.ports.iter().any(|port| port.number == claim.port) {
                Some(UnusableReason::PortNotExposed(claim.port))
            } else if claim.addresses.is_empty() {
                Some(match claim.hostnames.first() {
                    Some(hostname) => UnusableReason::HostnameOnly(hostname.clone()),
                    None => UnusableReason::NoAddress,
                })
            } else if self.has_pods_but_none_ready(key) {
                Some(UnusableReason::NoReadyPod)
            } else {
                None
            };
            Some(GatewayCandidate {
                source,
                created: service.created,
                port: claim.port,
                addresses: claim.addresses.clone(),
                unusable,
            })
        });
        claims.collect()
    }

    /// A gateway that has slices is as ready as its pods; one without any is somebody else's machine, taken at its word.
    fn has_pods_but_none_ready(&self, key: &ServiceKey) -> bool {
        self.slices.of(key).is_some_and(|slices| {
            !slices
                .iter()
                .flat_map(|slice| &*slice.endpoints)
                .any(|endpoint| endpoint.health == Health::Ready)
        })
    }
}

fn by_network(endpoints: impl Iterator<Item = Endpoint>) -> Groups {
    let mut networks: BTreeMap<NetworkId, Vec<Endpoint>> = BTreeMap::new();
    for endpoint in endpoints {
        networks.entry(endpoint.network.clone()).or_default().push(endpoint);
    }
    let groups = networks.into_iter();
    groups
        .map(|(network, endpoints)| (network, Arc::new(NetworkGroup::new(endpoints))))
        .collect()
}
