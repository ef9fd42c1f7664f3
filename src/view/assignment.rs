//! What one viewer gets for one service port.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use super::even;
use super::horizon::{Horizon, WithheldReason, not_behind_gateway, way};
use super::weight;
use crate::model::{
    Balancing, Distance, Endpoint, GatewaySet, GroupKey, GroupStanding, Locality, Mtls, NetworkGroup, PortEndpoints,
    Rank, Role, ViewKey,
};

/// The endpoints of one service port for one view, each address and port at most once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Assignment {
    /// Sorted by priority and locality; none is empty.
    pub localities: Vec<LocalityEndpoints>,
}

/// The endpoints of one locality.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalityEndpoints {
    /// Zero for what is served first. The next is served where nothing before it is ready; no number is left out.
    pub priority: u32,
    /// Where they are; for a gateway, where most of what is behind it is, of what is nearest.
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
    /// Its share of the sum of all weights of the same priority.
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
            (Role::Sidecar, Mtls::No | Mtls::Disabled) => Self::Plaintext,
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
pub(super) struct Part<'a> {
    pub(super) socket: SocketAddr,
    pub(super) rank: Rank,
    /// How far it is, where the service prefers what is near.
    pub(super) distance: Distance,
    /// Of the endpoints that it stands for.
    pub(super) locality: &'a Locality,
    weight: u128,
    pub(super) speaks: Speaks,
    /// Whether it is an endpoint itself, and no gateway.
    pub(super) direct: bool,
}

/// The assignment of a port for a viewer. Everything ordered: equal input gives equal output on every replica.
///
/// Envoy keeps the first of two endpoints with one address and loses the weight of the other, and gRPC clients refuse the
/// whole assignment, so that what several endpoints share (a gateway, a host network) is one address with the sum.
#[must_use]
pub fn assign(viewer: &ViewKey, port: &PortEndpoints, gateways: &GatewaySet) -> Assignment {
    let groups = reachable(viewer, port, gateways);
    let scale = scale_of(port, &groups);
    let mut parts: Vec<Part<'_>> = Vec::with_capacity(most_parts(&groups));
    let preference = port
        .terms()
        .map(|terms| &terms.preference)
        .filter(|preference| !preference.is_none());
    for (key, group, way) in &groups {
        let standing = port.standing(key);
        let (rank, common) = (standing.rank(), counts_of(standing, scale));
        // Nothing, where a zone is drained.
        let scale_in = |place: &Locality| match port.zones_are_even() {
            true => common,
            false => counts_of(port.standing_in(key, place), scale),
        };
        let distance = |locality: &Locality| match preference {
            Some(preference) => preference.distance(viewer, &key.network, locality),
            None => Distance::default(),
        };
        match way {
            Horizon::Direct => {
                let served = group.endpoints().iter().filter(|endpoint| port.serves(endpoint));
                for endpoint in served.filter(|endpoint| kept_out(viewer, endpoint).is_none()) {
                    let scale = scale_in(&endpoint.locality);
                    if let Some(address) = endpoint.addresses.usable_by(viewer.families)
                        && scale > 0
                    {
                        parts.push(Part {
                            socket: SocketAddr::new(address, endpoint.port),
                            rank,
                            distance: distance(&endpoint.locality),
                            locality: &endpoint.locality,
                            weight: scale * u128::from(endpoint.weight),
                            speaks: Speaks::with(viewer, endpoint),
                            direct: true,
                        });
                    }
                }
            }
            Horizon::Via(ways) => {
                for gateway in ways {
                    for (locality, count) in port.behind_gateway(group) {
                        parts.push(Part {
                            socket: gateway.socket(),
                            rank,
                            distance: distance(locality),
                            locality,
                            weight: u128::from(count) * scale_in(locality) / ways.len() as u128,
                            speaks: Speaks::Default,
                            direct: false,
                        });
                    }
                }
            }
            Horizon::Withheld(_) => {}
        }
    }
    // Groups are sorted by address already, so this is mostly a look.
    let order = |part: &Part<'_>| (part.socket, part.rank, part.distance);
    parts.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.locality.cmp(b.locality)));
    let parts = join(parts);
    let weights: Vec<_> = parts.iter().map(|part| part.weight).collect();
    let weights = weight::normalize(&weights, scale);
    match viewer.balancing {
        Balancing::ByEndpoint => collect(&parts, &weights),
        Balancing::ByLocality => even::collect(&parts, &weights),
    }
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

/// Joins the parts of equal addresses, which are neighbours, the nearest first. An address is where the nearest of what it stands
/// for is, with the weight of all of it: behind it each gets its share of what is sent there. Its locality is that of most of
/// the weight of what is nearest; of equal ones the first, so that the answer is always the same. What comes last adds nothing to an
/// address that is served first.
fn join(mut parts: Vec<Part<'_>>) -> Vec<Part<'_>> {
    // The weight of the locality that is gathered now, and the most of those before it.
    let (mut gathered, mut most) = (0, 0);
    let mut gathering: Option<&Locality> = None;
    parts.dedup_by(|part, kept| {
        if part.socket != kept.socket {
            gathering = None;
            return false;
        }
        if part.rank != kept.rank {
            return true;
        }
        let own = kept.weight;
        kept.weight += part.weight;
        kept.speaks = kept.speaks.min(part.speaks);
        kept.direct |= part.direct;
        if part.distance != kept.distance {
            return true;
        }
        if gathering.is_none() {
            (gathering, gathered, most) = (Some(kept.locality), own, own);
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
    let groups = groups.map(|(key, group)| (key, &**group, way(viewer, port, key, gateways)));
    let gives = |group: &NetworkGroup, way: &Horizon<'_>| match way {
        Horizon::Direct => true,
        Horizon::Via(_) => port.behind_gateway(group).next().is_some(),
        Horizon::Withheld(_) => false,
    };
    groups.filter(|(_, group, way)| gives(group, way)).collect()
}

/// What one endpoint of a member of full weight counts as in this assignment. Gateways elsewhere never change it.
pub(super) fn scale_of(port: &PortEndpoints, groups: &[(&GroupKey, &NetworkGroup, Horizon<'_>)]) -> u128 {
    let split = weight::scale(groups.iter().filter_map(|(_, _, way)| match way {
        Horizon::Via(ways) => Some(ways.len()),
        Horizon::Direct | Horizon::Withheld(_) => None,
    }));
    if port.is_even() {
        return split;
    }
    // In parts that all weights are multiples of, where some count more or less than others.
    let mut common = GroupStanding::FULL;
    for (key, group, _) in groups {
        if port.zones_are_even() {
            common = weight::gcd(common, port.standing(key).parts());
            continue;
        }
        let places: BTreeSet<_> = group.endpoints().iter().map(|endpoint| &endpoint.locality).collect();
        let parts = places.into_iter().map(|place| port.standing_in(key, place).parts());
        common = parts.fold(common, weight::gcd);
    }
    split * (GroupStanding::FULL / common)
}

/// What one endpoint of a group counts as, where one of full weight counts as `scale`.
pub(super) fn counts_of(standing: GroupStanding, scale: u128) -> u128 {
    match standing.parts() {
        GroupStanding::FULL => scale,
        parts => scale * parts / GroupStanding::FULL,
    }
}

/// So many localities are told apart by looking at each; mostly there are a few zones.
const FEW: usize = 8;

/// Priority and locality.
pub(super) type Place<'a> = (u32, &'a Locality);

/// Where each part belongs: the nearest first, what comes last behind all, and no number left out.
pub(super) fn places<'a>(parts: &[Part<'a>]) -> impl Iterator<Item = Place<'a>> {
    let level = |part: &Part<'_>| (part.rank, part.distance);
    let mut levels: Vec<_> = Vec::with_capacity(1);
    for part in parts {
        let level = level(part);
        // Mostly there is one.
        if levels.last() != Some(&level)
            && let Err(at) = levels.binary_search(&level)
        {
            levels.insert(at, level);
        }
    }
    parts.iter().map(move |part| {
        let priority = match levels.len() {
            1 => 0,
            _ => levels.binary_search(&level(part)).unwrap_or_default(),
        };
        (u32::try_from(priority).unwrap_or(u32::MAX), part.locality)
    })
}

fn collect(parts: &[Part<'_>], weights: &[NonZeroU32]) -> Assignment {
    let mut groups: Vec<(Place<'_>, Vec<WeightedAddress>)> = Vec::new();
    let mut many: BTreeMap<Place<'_>, usize> = BTreeMap::new();
    for ((part, weight), place) in parts.iter().zip(weights).zip(places(parts)) {
        // Nodes of a zone share their locality; to tell it from others by its texts takes much longer than a look.
        let is_same = |known: &Place<'_>| known.0 == place.0 && known.1.is_same_as(place.1);
        let first = || groups.iter().take(FEW);
        let near = first()
            .position(|(known, _)| is_same(known))
            .or_else(|| first().position(|(known, _)| *known == place));
        let at = near.unwrap_or_else(|| match groups.len() {
            0..FEW => groups.len(),
            next => *many.entry(place).or_insert(next),
        });
        if at == groups.len() {
            groups.push((place, Vec::new()));
        }
        groups[at].1.push(WeightedAddress {
            address: part.socket.ip(),
            port: part.socket.port(),
            weight: *weight,
            speaks: part.speaks,
        });
    }
    groups.sort_by_key(|(place, _)| *place);
    let localities = groups
        .into_iter()
        .map(|((priority, locality), endpoints)| LocalityEndpoints {
            priority,
            locality: locality.clone(),
            endpoints,
        });
    Assignment {
        localities: localities.collect(),
    }
}
