//! From all members' parts to one service. Deterministic: the order in which members spoke never matters.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::derive::MemberService;
use super::hosts::{self, Claim};
use super::record::ServiceRecord;
use crate::model::{
    ClusterId, Conflict, GroupKey, MemberStanding, PortEndpoints, ServiceEndpoints, ServiceKey, ServicePort,
};

/// Merges; `None` where no member has a Service object and none has a `ServiceEntry`, since nothing says then which ports there
/// are.
pub(super) fn merge(key: &ServiceKey, shards: &BTreeMap<ClusterId, Arc<MemberService>>) -> Option<ServiceEndpoints> {
    // The oldest Service wins, then the smaller member, as the MCS API has it.
    let mut definers: Vec<_> = shards
        .iter()
        .filter_map(|(member, shard)| Some((member, shard.service.as_deref()?)))
        .collect();
    definers.sort_by_key(|(member, service)| (service.created.unwrap_or(i64::MAX), *member));
    let Some((winner, first)) = definers.first().copied() else {
        return hosts::merge(key, shards);
    };
    let (added, passed_over) = hosts::added(key, shards);
    let ports = merged_ports(&definers);
    let ports = ports.into_values();
    let ports = ports.map(|port| port_endpoints(port, shards, &added)).collect();
    Some(ServiceEndpoints {
        key: key.clone(),
        headless: first.headless,
        cluster_ips: definers
            .iter()
            .filter(|(_, service)| !service.cluster_ips.is_empty())
            .map(|(member, service)| ((*member).clone(), service.cluster_ips.clone()))
            .collect(),
        ports,
        conflicts: definers[1..]
            .iter()
            .flat_map(|(member, service)| conflicts(winner, first, member, service))
            .chain(passed_over)
            .collect(),
        entry: None,
        defined_in: definers.into_iter().map(|(member, _)| member.clone()).collect(),
    })
}

/// The ports by number; who comes first decides the rest of each.
fn merged_ports(definers: &[(&ClusterId, &ServiceRecord)]) -> BTreeMap<u16, ServicePort> {
    let mut ports = BTreeMap::new();
    for port in definers.iter().flat_map(|(_, service)| &service.ports) {
        ports.entry(port.number).or_insert_with(|| port.clone());
    }
    ports
}

/// Finds a port's endpoints in each member by *that member's* name for the number, so that members may name ports
/// differently. A member without the Service goes by the merged name.
fn port_endpoints(
    port: ServicePort,
    shards: &BTreeMap<ClusterId, Arc<MemberService>>,
    added: &[Claim<'_>],
) -> PortEndpoints {
    let mut groups = BTreeMap::new();
    let mut standings = BTreeMap::new();
    for (member, shard) in shards {
        if shard.standing != MemberStanding::default() {
            standings.insert(member.clone(), shard.standing);
        }
        let name = match &shard.service {
            Some(service) => service
                .ports
                .iter()
                .find(|own| own.number == port.number)
                .map(|own| &own.name),
            None => Some(&port.name),
        };
        for (network, group) in name.map_or(&[][..], |name| shard.groups(name)) {
            let key = GroupKey {
                network: network.clone(),
                member: member.clone(),
            };
            groups.insert(key, Arc::clone(group));
        }
    }
    hosts::join(&mut groups, added, port.number);
    PortEndpoints::with_standings(port, groups, standings)
}

/// What a member says differently from the winner.
fn conflicts(winner: &ClusterId, first: &ServiceRecord, loser: &ClusterId, other: &ServiceRecord) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    let mut differ = |attribute, detail| {
        conflicts.push(Conflict {
            attribute,
            winner: winner.clone(),
            loser: loser.clone(),
            detail,
        });
    };
    if first.headless != other.headless {
        let say = |headless| if headless { "headless" } else { "not headless" };
        differ(
            "headless",
            format!("{} and {}", say(first.headless), say(other.headless)),
        );
    }
    let number = |port: &ServicePort| port.number;
    for port in &first.ports {
        match other.ports.iter().find(|theirs| theirs.number == port.number) {
            None => differ("ports", format!("port {} is only in {winner}", port.number)),
            Some(theirs) if theirs.app_protocol != port.app_protocol => {
                let said = |port: &ServicePort| match &*port.app_protocol {
                    "" => "none".to_owned(),
                    protocol => protocol.to_owned(),
                };
                differ(
                    "appProtocol",
                    format!("port {}: {} and {}", port.number, said(port), said(theirs)),
                );
            }
            Some(_) => {}
        }
    }
    for extra in other
        .ports
        .iter()
        .map(number)
        .filter(|extra| !first.ports.iter().any(|port| port.number == *extra))
    {
        differ("ports", format!("port {extra} is only in {loser}"));
    }
    conflicts
}
