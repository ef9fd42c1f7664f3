//! From the claims of all members to the gateways of the mesh.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::model::{ClusterId, GatewaySet, GatewaySource, NetworkGateway, NetworkId, UnusableGateway, UnusableReason};

/// A Service that claims to be a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GatewayCandidate {
    pub(super) source: GatewaySource,
    /// Seconds since the epoch; the older claim on an address wins.
    pub(super) created: Option<i64>,
    pub(super) port: u16,
    pub(super) addresses: Vec<IpAddr>,
    /// Why it is none, by what its own member says.
    pub(super) unusable: Option<UnusableReason>,
}

/// Decides which claims hold. A function of the present claims only, so that nothing of a removed one can stay.
pub(super) fn resolve(claims: &BTreeMap<ClusterId, Vec<GatewayCandidate>>) -> GatewaySet {
    let mut candidates: Vec<_> = claims.values().flatten().collect();
    candidates.sort_by_key(|candidate| (candidate.created.unwrap_or(i64::MAX), &candidate.source));
    // An address and port leads to one network; two networks that claim it can't both be right.
    let mut taken: BTreeMap<SocketAddr, &NetworkId> = BTreeMap::new();
    let mut usable = Vec::new();
    let mut unusable = Vec::new();
    for candidate in candidates {
        let source = &candidate.source;
        if let Some(reason) = &candidate.unusable {
            unusable.push(UnusableGateway {
                source: source.clone(),
                reason: reason.clone(),
            });
            continue;
        }
        for address in &candidate.addresses {
            let socket = SocketAddr::new(*address, candidate.port);
            let owner = *taken.entry(socket).or_insert(&source.network);
            if *owner == source.network {
                usable.push(NetworkGateway {
                    network: source.network.clone(),
                    member: source.member.clone(),
                    address: *address,
                    port: candidate.port,
                });
            } else {
                let reason = UnusableReason::AddressTaken(socket, owner.clone());
                unusable.push(UnusableGateway {
                    source: source.clone(),
                    reason,
                });
            }
        }
    }
    GatewaySet::new(usable, unusable)
}

/// The networks whose gateways differ.
pub(super) fn changed(old: &GatewaySet, new: &GatewaySet) -> BTreeSet<NetworkId> {
    let networks = old.networks().chain(new.networks());
    networks
        .filter(|network| old.of(network) != new.of(network))
        .cloned()
        .collect()
}
