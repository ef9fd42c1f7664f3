//! Why: every candidate endpoint with its verdict, and how each weight came about.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::assignment::{Assignment, assign, counts_of, kept_out, reachable, scale_of};
use super::horizon::{Horizon, WithheldReason, idle, not_behind_gateway, way, zone_apart};
use crate::model::{ClusterId, Endpoint, GatewaySet, GroupKey, GroupStanding, NetworkGateway, PortEndpoints, ViewKey};

/// What became of one endpoint for one viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Reached at this address.
    Direct(SocketAddr),
    /// One of those that these gateways stand for.
    Via(Vec<NetworkGateway>),
    /// Not reached.
    Withheld(WithheldReason),
}

/// One endpoint that could serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The member it is in.
    pub member: ClusterId,
    /// What the endpoints of its group count where it runs.
    pub standing: GroupStanding,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// What became of it.
    pub verdict: Verdict,
}

/// What one gateway stands for in this assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayShare {
    /// The gateway's address and port.
    pub socket: SocketAddr,
    /// Where its weight comes from.
    pub parts: Vec<SharePart>,
}

/// One group's part in a gateway's weight, or what of it counts alike: `ready × scale ÷ ways`, times its weight. An endpoint with a weight counts as so many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharePart {
    /// The group.
    pub group: GroupKey,
    /// What each of its endpoints counts.
    pub standing: GroupStanding,
    /// What its endpoints count that take traffic and speak mutual TLS.
    pub ready: u32,
    /// Over how many gateways it is split.
    pub ways: usize,
}

/// Everything about one assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Every endpoint of the port, whatever became of it.
    pub candidates: Vec<Candidate>,
    /// The gateways in the assignment.
    pub gateways: Vec<GatewayShare>,
    /// What one endpoint of a member of full weight counted as, before the weights were made as small as possible.
    pub scale: u128,
    /// What the viewer gets; exactly what is sent.
    pub assignment: Assignment,
}

impl Explanation {
    /// What one endpoint of a group counted as, before the weights were made as small as possible.
    #[must_use]
    pub fn counts(&self, standing: GroupStanding) -> u128 {
        counts_of(standing, self.scale)
    }
}

/// Explains one port to one viewer, by the same rules that [`assign`] goes by.
#[must_use]
pub fn explain(viewer: &ViewKey, port: &PortEndpoints, gateways: &GatewaySet) -> Explanation {
    let mut candidates = Vec::new();
    for (key, group) in port.groups() {
        let way = way(viewer, port, key, gateways);
        for endpoint in group.endpoints() {
            let verdict = verdict(viewer, port, endpoint, &way);
            candidates.push(Candidate {
                member: key.member.clone(),
                standing: port.standing_in(key, &endpoint.locality),
                endpoint: endpoint.clone(),
                verdict,
            });
        }
    }
    let groups = reachable(viewer, port, gateways);
    let mut shares: BTreeMap<SocketAddr, Vec<SharePart>> = BTreeMap::new();
    for (key, group, way) in &groups {
        if let Horizon::Via(ways) = way {
            let mut counts: BTreeMap<GroupStanding, u32> = BTreeMap::new();
            for (place, count) in port.behind_gateway(group) {
                *counts.entry(port.standing_in(key, place)).or_default() += count;
            }
            for gateway in ways {
                let parts = counts.iter().map(|(standing, ready)| SharePart {
                    group: (*key).clone(),
                    standing: *standing,
                    ready: *ready,
                    ways: ways.len(),
                });
                shares.entry(gateway.socket()).or_default().extend(parts);
            }
        }
    }
    Explanation {
        candidates,
        gateways: shares
            .into_iter()
            .map(|(socket, parts)| GatewayShare { socket, parts })
            .collect(),
        scale: scale_of(port, &groups),
        assignment: assign(viewer, port, gateways),
    }
}

fn verdict(viewer: &ViewKey, port: &PortEndpoints, endpoint: &Endpoint, way: &Horizon<'_>) -> Verdict {
    match reached(viewer, port, endpoint, way) {
        Err(reason) => Verdict::Withheld(reason),
        Ok(Reached::At(address)) => Verdict::Direct(address),
        Ok(Reached::Through(ways)) => Verdict::Via(ways.iter().map(|gateway| (*gateway).clone()).collect()),
    }
}

/// How an endpoint is reached.
pub(super) enum Reached<'a> {
    At(SocketAddr),
    Through(&'a [&'a NetworkGateway]),
}

/// How a viewer reaches one endpoint of a group that this is the way to, or why it does not.
pub(super) fn reached<'a>(
    viewer: &ViewKey,
    port: &PortEndpoints,
    endpoint: &Endpoint,
    way: &'a Horizon<'a>,
) -> Result<Reached<'a>, WithheldReason> {
    if let Some(reason) = idle(port, endpoint) {
        return Err(reason);
    }
    match (way, zone_apart(port, endpoint)) {
        (Horizon::Withheld(reason), _) => Err(reason.clone()),
        (_, Some(reason)) => Err(reason),
        (Horizon::Direct, None) => match (
            kept_out(viewer, endpoint),
            endpoint.addresses.usable_by(viewer.families),
        ) {
            (Some(reason), _) => Err(reason),
            (None, Some(address)) => Ok(Reached::At(SocketAddr::new(address, endpoint.port))),
            (None, None) => Err(WithheldReason::AddressFamily),
        },
        (Horizon::Via(ways), None) => match not_behind_gateway(endpoint) {
            None => Ok(Reached::Through(ways)),
            Some(reason) => Err(reason),
        },
    }
}
