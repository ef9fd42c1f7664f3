//! From the claims of all members and the settings to the gateways of the mesh. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::settings::{Resolved, SettingsGateway, SettingsPlace};
use crate::model::{
    ClusterId, GatewayOrigin, GatewaySet, GatewaySource, GatewayWay, HostName, NetworkGateway, NetworkId,
    UnusableGateway, UnusableReason,
};

/// Something that claims to be a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GatewayCandidate {
    pub(super) source: GatewaySource,
    /// Seconds since the epoch; the older claim on an address wins.
    pub(super) created: Option<i64>,
    pub(super) places: Vec<Place>,
    /// Why it is none, by what its own member says.
    pub(super) unusable: Option<UnusableReason>,
}

/// Where a candidate can be reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// At this address.
    Address(SocketAddr),
    /// At this address of a Node.
    Node(SocketAddr, Arc<str>),
    /// At the addresses of this host.
    Host(HostName, u16),
}

/// Everything that gateways come from.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// What each member says; none has an empty list.
    pub(super) members: BTreeMap<ClusterId, Vec<GatewayCandidate>>,
    /// What host names led to so far.
    pub(super) hosts: BTreeMap<HostName, Resolved>,
}

impl Claims {
    /// Decides which claims hold. A function of the present ones only, so that nothing of a removed one can stay.
    pub(super) fn resolve(&self, settings: &[SettingsGateway]) -> GatewaySet {
        let of_settings: Vec<_> = settings
            .iter()
            .filter_map(|gateway| self.of_settings(gateway))
            .collect();
        let mut candidates: Vec<_> = self.members.values().flatten().chain(&of_settings).collect();
        // The mesh's owner is always right; then the older Service.
        candidates.sort_by_key(|candidate| {
            let of_members = !matches!(candidate.source.origin, GatewayOrigin::Address(_));
            (of_members, candidate.created.unwrap_or(i64::MAX), &candidate.source)
        });
        // An address and port leads to one network; two networks that claim it can't both be right.
        let mut taken: BTreeMap<SocketAddr, &NetworkId> = BTreeMap::new();
        let mut usable = Vec::new();
        let mut unusable = Vec::new();
        for candidate in candidates {
            let source = &candidate.source;
            let mut fails = |reason| {
                unusable.push(UnusableGateway {
                    source: source.clone(),
                    reason,
                });
            };
            if let Some(reason) = &candidate.unusable {
                fails(reason.clone());
                continue;
            }
            let (sockets, reasons) = self.sockets(&candidate.places);
            reasons.into_iter().for_each(&mut fails);
            for (socket, host, node) in sockets {
                let owner = *taken.entry(socket).or_insert(&source.network);
                if *owner != source.network {
                    fails(UnusableReason::AddressTaken(socket, owner.clone()));
                    continue;
                }
                let gateway = NetworkGateway {
                    network: source.network.clone(),
                    member: source.member.clone(),
                    address: socket.ip(),
                    port: socket.port(),
                };
                let way = GatewayWay {
                    source: source.clone(),
                    host: host.cloned(),
                    node: node.cloned(),
                };
                usable.push((gateway, way));
            }
        }
        GatewaySet::with_ways(usable, unusable)
    }

    /// What one gateway of the settings claims. The members see to Services that they have; one that none has is told here.
    fn of_settings(&self, gateway: &SettingsGateway) -> Option<GatewayCandidate> {
        let (text, place) = match &gateway.place {
            SettingsPlace::Address(address) => {
                let socket = SocketAddr::new(*address, gateway.port);
                (socket.to_string(), Some(Place::Address(socket)))
            }
            SettingsPlace::Host(host) => {
                let text = format!("{host}:{}", gateway.port);
                (text, Some(Place::Host(host.clone(), gateway.port)))
            }
            SettingsPlace::Service(service) => {
                let found = self.members.values().flatten().any(|candidate| {
                    let source = &candidate.source;
                    source.network == gateway.network
                        && source.origin.service() == Some(service)
                        && (gateway.member.is_none() || gateway.member == source.member)
                });
                if found {
                    return None;
                }
                (String::new(), None)
            }
        };
        let origin = match &gateway.place {
            SettingsPlace::Service(service) => GatewayOrigin::Named(service.clone()),
            _ => GatewayOrigin::Address(text.into()),
        };
        Some(GatewayCandidate {
            source: GatewaySource {
                network: gateway.network.clone(),
                member: gateway.member.clone(),
                origin,
            },
            created: None,
            unusable: place.is_none().then_some(UnusableReason::NoSuchService),
            places: place.into_iter().collect(),
        })
    }

    /// The addresses of these places, and what keeps others from having some.
    #[expect(clippy::type_complexity, reason = "used once, right above")]
    fn sockets<'a>(
        &self,
        places: &'a [Place],
    ) -> (
        Vec<(SocketAddr, Option<&'a HostName>, Option<&'a Arc<str>>)>,
        Vec<UnusableReason>,
    ) {
        let (mut sockets, mut reasons) = (Vec::new(), Vec::new());
        for place in places {
            match place {
                Place::Address(socket) => sockets.push((*socket, None, None)),
                Place::Node(socket, node) => sockets.push((*socket, None, Some(node))),
                Place::Host(host, port) => match self.hosts.get(host) {
                    Some(Resolved::Addresses(addresses)) => {
                        let at = |address: &IpAddr| (SocketAddr::new(*address, *port), Some(host), None);
                        sockets.extend(addresses.iter().map(at));
                    }
                    Some(Resolved::Nothing(why)) => {
                        reasons.push(UnusableReason::Unresolved(host.clone(), Arc::clone(why)));
                    }
                    None => {
                        let why = "it was not looked up yet".into();
                        reasons.push(UnusableReason::Unresolved(host.clone(), why));
                    }
                },
            }
        }
        (sockets, reasons)
    }

    /// All host names that somebody claims.
    pub(super) fn wanted_hosts(&self, settings: &[SettingsGateway]) -> BTreeSet<HostName> {
        let claimed = self.members.values().flatten().flat_map(|candidate| &candidate.places);
        let claimed = claimed.filter_map(|place| match place {
            Place::Host(host, _) => Some(host.clone()),
            Place::Address(_) | Place::Node(..) => None,
        });
        let given = settings.iter().filter_map(|gateway| match &gateway.place {
            SettingsPlace::Host(host) => Some(host.clone()),
            SettingsPlace::Address(_) | SettingsPlace::Service(_) => None,
        });
        claimed.chain(given).collect()
    }
}

/// The networks whose gateways differ.
pub(super) fn changed(old: &GatewaySet, new: &GatewaySet) -> BTreeSet<NetworkId> {
    let networks = old.networks().chain(new.networks());
    networks
        .filter(|network| old.of(network) != new.of(network))
        .cloned()
        .collect()
}
