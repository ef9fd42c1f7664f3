//! What one viewer gets for one service port.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use super::horizon::{Horizon, horizon};
use super::weight;
use crate::model::{GatewaySet, GroupKey, Locality, NetworkGroup, PortEndpoints, ViewKey};

/// The endpoints of one service port for one view, each address and port at most once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Assignment {
    /// Sorted by locality; none is empty.
    pub localities: Vec<LocalityEndpoints>,
}

/// The endpoints of one locality.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalityEndpoints {
    /// Where they are; for a gateway, where most of what is behind it is.
    pub locality: Locality,
    /// Sorted by address and port.
    pub endpoints: Vec<WeightedAddress>,
}

/// Where to send, and how much.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WeightedAddress {
    /// A pod's address, or a gateway's.
    pub address: IpAddr,
    /// The pod's port, or the gateway's.
    pub port: u16,
    /// Its share of the sum of all weights of the assignment.
    pub weight: NonZeroU32,
}

impl Assignment {
    /// All addresses with their weights and localities.
    pub fn iter(&self) -> impl Iterator<Item = (&Locality, &WeightedAddress)> {
        self.localities
            .iter()
            .flat_map(|group| group.endpoints.iter().map(|endpoint| (&group.locality, endpoint)))
    }
}

/// The weight that gathers at one address, before it is normalized.
#[derive(Default)]
struct Share<'a> {
    /// By the locality of the endpoints that it stands for.
    by_locality: BTreeMap<&'a Locality, u128>,
}

impl<'a> Share<'a> {
    fn total(&self) -> u128 {
        self.by_locality.values().sum()
    }

    /// The locality of most of the weight; of equal ones the first, so that the answer is always the same.
    fn locality(&self) -> Option<&'a Locality> {
        let mut best: Option<(&Locality, u128)> = None;
        for (locality, weight) in &self.by_locality {
            if best.is_none_or(|(_, most)| *weight > most) {
                best = Some((locality, *weight));
            }
        }
        best.map(|(locality, _)| locality)
    }
}

/// The assignment of a port for a viewer. Everything ordered: equal input gives equal output on every replica.
///
/// Envoy keeps the first of two endpoints with one address and loses the weight of the other, and gRPC clients refuse the
/// whole assignment, so that what several endpoints share (a gateway, a host network) is one address with the sum.
#[must_use]
pub fn assign(viewer: &ViewKey, port: &PortEndpoints, gateways: &GatewaySet) -> Assignment {
    let groups = reachable(viewer, port, gateways);
    let scale = scale_of(&groups);
    let mut shares: BTreeMap<SocketAddr, Share<'_>> = BTreeMap::new();
    for (_, group, way) in &groups {
        match way {
            Horizon::Direct => {
                for endpoint in group.endpoints().iter().filter(|endpoint| port.serves(endpoint)) {
                    if let Some(address) = endpoint.addresses.usable_by(viewer.families) {
                        let share = shares.entry(SocketAddr::new(address, endpoint.port)).or_default();
                        *share.by_locality.entry(&endpoint.locality).or_default() += scale;
                    }
                }
            }
            Horizon::Via(ways) => {
                for gateway in ways {
                    let share = shares.entry(gateway.socket()).or_default();
                    for (locality, count) in port.behind_gateway(group) {
                        let part = u128::from(*count) * scale / ways.len() as u128;
                        *share.by_locality.entry(locality).or_default() += part;
                    }
                }
            }
            Horizon::Withheld(_) => {}
        }
    }
    collect(&shares, scale)
}

/// The groups that give the viewer something, with the way to each.
pub(super) fn reachable<'a>(
    viewer: &ViewKey,
    port: &'a PortEndpoints,
    gateways: &'a GatewaySet,
) -> Vec<(&'a GroupKey, &'a NetworkGroup, Horizon<'a>)> {
    let groups = port.groups().iter();
    let groups = groups.map(|(key, group)| (key, &**group, horizon(viewer, key, gateways)));
    let gives = |group: &NetworkGroup, way: &Horizon<'_>| match way {
        Horizon::Direct => true,
        Horizon::Via(_) => !port.behind_gateway(group).is_empty(),
        Horizon::Withheld(_) => false,
    };
    groups.filter(|(_, group, way)| gives(group, way)).collect()
}

/// What one endpoint counts as in this assignment. Gateways elsewhere never change it.
pub(super) fn scale_of(groups: &[(&GroupKey, &NetworkGroup, Horizon<'_>)]) -> u128 {
    weight::scale(groups.iter().filter_map(|(_, _, way)| match way {
        Horizon::Via(ways) => Some(ways.len()),
        Horizon::Direct | Horizon::Withheld(_) => None,
    }))
}

fn collect(shares: &BTreeMap<SocketAddr, Share<'_>>, scale: u128) -> Assignment {
    let totals: Vec<_> = shares.values().map(Share::total).collect();
    let mut localities: BTreeMap<Locality, Vec<WeightedAddress>> = BTreeMap::new();
    for ((socket, share), weight) in shares.iter().zip(weight::normalize(&totals, scale)) {
        let locality = share.locality().cloned().unwrap_or_default();
        let endpoint = WeightedAddress {
            address: socket.ip(),
            port: socket.port(),
            weight,
        };
        localities.entry(locality).or_default().push(endpoint);
    }
    let localities = localities
        .into_iter()
        .map(|(locality, endpoints)| LocalityEndpoints { locality, endpoints });
    Assignment {
        localities: localities.collect(),
    }
}
