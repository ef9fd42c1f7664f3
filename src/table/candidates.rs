//! Which Services of one member claim to be gateways, and where each can be reached. Pure.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::gateways::{GatewayCandidate, Place};
use super::member::Member;
use super::record::{Exposure, NodeExposure, NodeRecord, ServiceRecord};
use super::settings::{SettingsPlace, TableSettings};
use crate::model::{
    ClusterId, GatewayOrigin, GatewaySource, Health, NetworkId, ObjectName, Rank, ServiceKey, UnusableReason,
};

impl Member {
    /// Its Services that are labelled with a network or that the settings name, each with the reason why it is no gateway, if
    /// so. A label wins over the settings, as in Istio. `home` is the member's network.
    pub(super) fn gateway_candidates(
        &self,
        member: &ClusterId,
        home: &NetworkId,
        settings: &TableSettings,
    ) -> Vec<GatewayCandidate> {
        let mut candidates = Vec::new();
        for key in &self.gateway_services {
            let Some(service) = self.services.get(key) else {
                continue;
            };
            let Some(claim) = &service.gateway else { continue };
            let origin = GatewayOrigin::Labelled(object_name(key));
            candidates.push(self.candidate(member, claim.network.clone(), origin, service, claim.port));
        }
        for gateway in &settings.gateways {
            let SettingsPlace::Service(name) = &gateway.place else {
                continue;
            };
            let is_meant = match &gateway.member {
                Some(named) => named == member,
                None => *home == gateway.network,
            };
            let key = ServiceKey::new(&name.namespace, &name.name);
            let service = self.services.get(&key).filter(|service| service.gateway.is_none());
            if let Some(service) = service.filter(|_| is_meant) {
                let origin = GatewayOrigin::Named(name.clone());
                candidates.push(self.candidate(member, gateway.network.clone(), origin, service, gateway.port));
            }
        }
        candidates
    }

    fn candidate(
        &self,
        member: &ClusterId,
        network: NetworkId,
        origin: GatewayOrigin,
        service: &ServiceRecord,
        port: u16,
    ) -> GatewayCandidate {
        // Also where it can't be used for a while: its host names stay known meanwhile.
        let places = self.places(service, port);
        let unusable = if self.standing.rank == Rank::Out {
            Some(UnusableReason::MemberStale)
        } else if !service.ports.iter().any(|exposed| exposed.number == port) {
            Some(UnusableReason::PortNotExposed(port))
        } else if self.has_pods_but_none_ready(&service.key) {
            Some(UnusableReason::NoReadyPod)
        } else {
            places.as_ref().err().cloned()
        };
        let places = places.unwrap_or_default();
        GatewayCandidate {
            source: GatewaySource {
                network,
                member: Some(member.clone()),
                origin,
            },
            created: service.created,
            places,
            unusable,
        }
    }

    /// Where a Service can be reached from outside: at its own addresses and host names, and at those of Nodes.
    fn places(&self, service: &ServiceRecord, port: u16) -> Result<Vec<Place>, UnusableReason> {
        let Some(exposure) = service.exposure.as_deref() else {
            return Err(UnusableReason::NoAddress);
        };
        let Exposure {
            addresses,
            hosts,
            nodes,
        } = exposure;
        let sockets = addresses.iter().map(|address| SocketAddr::new(*address, port));
        let mut places: Vec<_> = sockets.map(Place::Address).collect();
        places.extend(hosts.iter().map(|host| Place::Host(host.clone(), port)));
        let on_nodes = nodes.as_ref().map(|nodes| self.node_places(&service.key, nodes, port));
        match on_nodes {
            Some(Ok(more)) => places.extend(more),
            Some(Err(reason)) if places.is_empty() => return Err(reason),
            None if places.is_empty() => return Err(UnusableReason::NoAddress),
            // What it has beside the Nodes does.
            Some(Err(_)) | None => {}
        }
        Ok(places)
    }

    fn node_places(&self, key: &ServiceKey, exposed: &NodeExposure, port: u16) -> Result<Vec<Place>, UnusableReason> {
        let selector = exposed.selector.as_ref().ok_or(UnusableReason::NoNodeSelector)?;
        let mapped = exposed.ports.iter().find(|(number, _)| *number == port);
        let (_, node_port) = mapped.ok_or(UnusableReason::NoNodePort(port))?;
        let answering = exposed.local.then(|| self.nodes_with_ready_pods(key));
        let mut places = Vec::new();
        for (name, node) in &self.nodes {
            let chosen = selector.iter().all(|label| node.labels.binary_search(label).is_ok());
            let answers = answering.as_ref().is_none_or(|answering| answering.contains(name));
            if chosen && answers && node.ready {
                let at = |address| Place::Node(SocketAddr::new(address, *node_port), Arc::clone(name));
                places.extend(reachable(node).iter().copied().map(at));
            }
        }
        places.sort_unstable();
        if places.is_empty() {
            return Err(UnusableReason::NoNode);
        }
        Ok(places)
    }

    fn nodes_with_ready_pods(&self, key: &ServiceKey) -> BTreeSet<Arc<str>> {
        let endpoints = self
            .slices
            .of(key)
            .into_iter()
            .flatten()
            .flat_map(|slice| &*slice.endpoints);
        let ready = endpoints.filter(|endpoint| endpoint.health() == Health::Ready);
        ready.filter_map(|endpoint| endpoint.place.node.clone()).collect()
    }

    /// A gateway that has slices is as ready as its pods; one without any is somebody else's machine, taken at its word.
    fn has_pods_but_none_ready(&self, key: &ServiceKey) -> bool {
        self.slices.of(key).is_some_and(|slices| {
            !slices
                .iter()
                .flat_map(|slice| &*slice.endpoints)
                .any(|endpoint| endpoint.health() == Health::Ready)
        })
    }
}

/// The addresses that others reach a Node at: its external ones, or, on networks that route them, its internal ones.
fn reachable(node: &NodeRecord) -> &[std::net::IpAddr] {
    if node.external.is_empty() {
        &node.internal
    } else {
        &node.external
    }
}

fn object_name(key: &ServiceKey) -> ObjectName {
    ObjectName::new(&key.namespace, &key.name)
}
