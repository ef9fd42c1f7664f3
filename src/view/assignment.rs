//! What one viewer gets for one service port.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use super::horizon::{Horizon, WithheldReason, horizon, not_behind_gateway};
use super::weight;
use crate::model::{Endpoint, GatewaySet, GroupKey, Locality, Mtls, NetworkGroup, PortEndpoints, Role, ViewKey};

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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WeightedAddress {
    /// A pod's address, or a gateway's.
    pub address: IpAddr,
    /// The pod's port, or the gateway's.
    pub port: u16,
    /// Its share of the sum of all weights of the assignment.
    pub weight: NonZeroU32,
    /// How to speak with it.
    pub speaks: Speaks,
}

/// How a viewer speaks with an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Speaks {
    /// As the cluster has it, and nothing is said: with mutual TLS where the viewer is a sidecar.
    #[default]
    Default,
    /// In plaintext, which is said of it: it has no mutual TLS, and the viewer would use it.
    Plaintext,
}

impl Speaks {
    fn with(viewer: &ViewKey, endpoint: &Endpoint) -> Self {
        // A pod that was not seen yet most likely speaks it, and a request in plaintext is worse than one that fails.
        match (viewer.role, endpoint.mtls) {
            (Role::Sidecar, Mtls::No) => Self::Plaintext,
            _ => Self::Default,
        }
    }
}

impl Hash for WeightedAddress {
    /// In one piece: versions are hashes of thousands of these.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut piece = [0; 24];
        match self.address {
            IpAddr::V4(address) => {
                piece[0] = 4;
                piece[1..5].copy_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                piece[0] = 6;
                piece[1..17].copy_from_slice(&address.octets());
            }
        }
        piece[17..19].copy_from_slice(&self.port.to_le_bytes());
        piece[19..23].copy_from_slice(&self.weight.get().to_le_bytes());
        piece[23] = u8::from(self.speaks == Speaks::Plaintext);
        state.write(&piece);
    }
}

impl Assignment {
    /// All addresses with their weights and localities.
    pub fn iter(&self) -> impl Iterator<Item = (&Locality, &WeightedAddress)> {
        self.localities
            .iter()
            .flat_map(|group| group.endpoints.iter().map(|endpoint| (&group.locality, endpoint)))
    }
}

/// A part of the weight of one address, before it is normalized.
struct Part<'a> {
    socket: SocketAddr,
    /// Of the endpoints that it stands for.
    locality: &'a Locality,
    weight: u128,
    speaks: Speaks,
}

/// The assignment of a port for a viewer. Everything ordered: equal input gives equal output on every replica.
///
/// Envoy keeps the first of two endpoints with one address and loses the weight of the other, and gRPC clients refuse the
/// whole assignment, so that what several endpoints share (a gateway, a host network) is one address with the sum.
#[must_use]
pub fn assign(viewer: &ViewKey, port: &PortEndpoints, gateways: &GatewaySet) -> Assignment {
    let groups = reachable(viewer, port, gateways);
    let scale = scale_of(&groups);
    let mut parts: Vec<Part<'_>> = Vec::with_capacity(most_parts(&groups));
    for (_, group, way) in &groups {
        match way {
            Horizon::Direct => {
                let served = group.endpoints().iter().filter(|endpoint| port.serves(endpoint));
                for endpoint in served.filter(|endpoint| kept_out(viewer, endpoint).is_none()) {
                    if let Some(address) = endpoint.addresses.usable_by(viewer.families) {
                        parts.push(Part {
                            socket: SocketAddr::new(address, endpoint.port),
                            locality: &endpoint.locality,
                            weight: scale,
                            speaks: Speaks::with(viewer, endpoint),
                        });
                    }
                }
            }
            Horizon::Via(ways) => {
                for gateway in ways {
                    for (locality, count) in port.behind_gateway(group) {
                        parts.push(Part {
                            socket: gateway.socket(),
                            locality,
                            weight: u128::from(*count) * scale / ways.len() as u128,
                            speaks: Speaks::Default,
                        });
                    }
                }
            }
            Horizon::Withheld(_) => {}
        }
    }
    // Groups are sorted by address already, so this is mostly a look.
    parts.sort_by(|a, b| (a.socket, a.locality).cmp(&(b.socket, b.locality)));
    collect(join(parts), scale)
}

/// Why a viewer does not send to an endpoint of its own network, if so: a gateway opens no TLS, so what is behind it must.
pub(super) fn kept_out(viewer: &ViewKey, endpoint: &Endpoint) -> Option<WithheldReason> {
    match viewer.role {
        Role::Gateway => not_behind_gateway(endpoint),
        Role::Endpoints | Role::Sidecar => None,
    }
}

/// Room for the parts of all groups, so that gathering them allocates once.
fn most_parts(groups: &[(&GroupKey, &NetworkGroup, Horizon<'_>)]) -> usize {
    let parts = groups.iter().map(|(_, group, way)| match way {
        Horizon::Direct => group.endpoints().len(),
        // Few gateways lead to few zones; where it is more the vector grows.
        Horizon::Via(ways) => ways.len() * 4,
        Horizon::Withheld(_) => 0,
    });
    parts.sum()
}

/// Joins the parts of equal addresses, which are neighbours. The locality of an address is that of most of its weight; of
/// equal ones the first, so that the answer is always the same.
fn join(mut parts: Vec<Part<'_>>) -> Vec<Part<'_>> {
    // The weight of the locality that is gathered now, and the most of those before it.
    let (mut gathered, mut most) = (0, 0);
    let mut gathering: Option<&Locality> = None;
    parts.dedup_by(|part, kept| {
        if part.socket != kept.socket {
            gathering = None;
            return false;
        }
        if gathering.is_none() {
            (gathering, gathered, most) = (Some(kept.locality), kept.weight, kept.weight);
        }
        if gathering == Some(part.locality) {
            gathered += part.weight;
        } else {
            (gathering, gathered) = (Some(part.locality), part.weight);
        }
        if gathered > most {
            most = gathered;
            kept.locality = part.locality;
        }
        kept.weight += part.weight;
        kept.speaks = kept.speaks.min(part.speaks);
        true
    });
    parts
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

/// So many localities are told apart by looking at each; mostly there are a few zones.
const FEW: usize = 8;

fn collect(parts: Vec<Part<'_>>, scale: u128) -> Assignment {
    let weights: Vec<_> = parts.iter().map(|part| part.weight).collect();
    let mut groups: Vec<(&Locality, Vec<WeightedAddress>)> = Vec::new();
    let mut many: BTreeMap<&Locality, usize> = BTreeMap::new();
    for (part, weight) in parts.iter().zip(weight::normalize(&weights, scale)) {
        let near = groups.iter().take(FEW).position(|(known, _)| *known == part.locality);
        let at = near.unwrap_or_else(|| match groups.len() {
            0..FEW => groups.len(),
            next => *many.entry(part.locality).or_insert(next),
        });
        if at == groups.len() {
            groups.push((part.locality, Vec::new()));
        }
        groups[at].1.push(WeightedAddress {
            address: part.socket.ip(),
            port: part.socket.port(),
            weight,
            speaks: part.speaks,
        });
    }
    groups.sort_by_key(|(locality, _)| *locality);
    let localities = groups.into_iter().map(|(locality, endpoints)| LocalityEndpoints {
        locality: locality.clone(),
        endpoints,
    });
    Assignment {
        localities: localities.collect(),
    }
}
