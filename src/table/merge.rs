//! From all members' parts to one service. Deterministic: the order in which members spoke never matters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::derive::MemberService;
use super::host_merge::{self, Claim};
use super::record::ServiceRecord;
use super::settings::TableSettings;
use super::terms::Distribution;
use crate::model::{
    ClusterId, Conflict, GroupKey, GroupStanding, MemberWeight, Naming, NetworkGroup, PortEndpoints, ServiceEndpoints,
    ServiceKey, ServicePort, ServiceTerms, Standings,
};

/// Merges; `None` where no member has a Service object and none has a `ServiceEntry`, since nothing says then which ports there
/// are.
pub(super) fn merge(
    key: &ServiceKey,
    shards: &BTreeMap<ClusterId, Arc<MemberService>>,
    settings: &TableSettings,
) -> Option<ServiceEndpoints> {
    // The oldest Service wins, then the smaller member, as the MCS API has it.
    let mut definers: Vec<_> = shards
        .iter()
        .filter_map(|(member, shard)| Some((member, shard.service.as_deref()?)))
        .collect();
    definers.sort_by_key(|(member, service)| (service.created.unwrap_or(i64::MAX), *member));
    let Some((winner, first)) = definers.first().copied() else {
        return host_merge::merge(key, shards, settings);
    };
    let (added, passed_over) = host_merge::added(key, shards);
    let ports = merged_ports(&definers);
    let terms = terms(winner, shards);
    let ports = ports.into_values();
    let ports: Box<[_]> = ports
        .map(|port| port_endpoints(port, shards, None, &added, settings, terms.clone()))
        .collect();
    Some(ServiceEndpoints {
        key: key.clone(),
        virtual_ip: None,
        headless: first.headless,
        cluster_ips: definers
            .iter()
            .filter(|(_, service)| !service.cluster_ips.is_empty())
            .map(|(member, service)| ((*member).clone(), service.cluster_ips.clone()))
            .collect(),
        // No more room than they take: a list of unknown length has room for four at the least.
        ports: ports.into(),
        conflicts: definers[1..]
            .iter()
            .flat_map(|(member, service)| conflicts(winner, first, member, service, shards))
            .chain(passed_over)
            .collect(),
        entry: None,
        terms,
        defined_in: definers.into_iter().map(|(member, _)| member.clone()).collect(),
    })
}

/// When the oldest of a service's objects was made; [`i64::MAX`] where none says so.
pub(super) fn created(shards: &BTreeMap<ClusterId, Arc<MemberService>>) -> i64 {
    let services = shards.values().filter_map(|shard| shard.service.as_deref());
    let oldest = services.map(|service| service.created.unwrap_or(i64::MAX)).min();
    let entries = || shards.values().flat_map(|shard| &shard.hosts);
    let oldest = oldest.or_else(|| entries().filter_map(|part| part.entry.created).min());
    oldest.unwrap_or(i64::MAX)
}

/// The hosts of its pods, where it is headless: each a service of its own, with the same ports.
pub(super) fn pod_hosts(
    merged: &ServiceEndpoints,
    shards: &BTreeMap<ClusterId, Arc<MemberService>>,
    settings: &TableSettings,
) -> BTreeMap<Arc<str>, ServiceEndpoints> {
    let names: BTreeSet<&Arc<str>> = shards.values().flat_map(|shard| shard.pod_hosts()).collect();
    let host = |name: &Arc<str>| {
        let ports = merged.ports.iter().map(|port| port.port.clone());
        ServiceEndpoints {
            key: merged.key.pod_host(name),
            defined_in: merged.defined_in.clone(),
            headless: false,
            cluster_ips: BTreeMap::new(),
            virtual_ip: None,
            ports: ports
                .map(|port| port_endpoints(port, shards, Some(name), &[], settings, merged.terms.clone()))
                .collect(),
            conflicts: Vec::new(),
            entry: None,
            terms: merged.terms.clone(),
        }
    };
    names.into_iter().map(|name| (Arc::clone(name), host(name))).collect()
}

/// What the winner prefers, and to whom each member shows its own endpoints.
fn terms(winner: &ClusterId, shards: &BTreeMap<ClusterId, Arc<MemberService>>) -> Option<Arc<ServiceTerms>> {
    let said = |member: &ClusterId| shards.get(member).and_then(|shard| shard.terms.as_deref());
    let audiences = shards.keys().filter_map(|member| {
        let audience = &said(member)?.audience;
        (!audience.is_everybody()).then(|| (member.clone(), audience.clone()))
    });
    let terms = ServiceTerms {
        naming: Naming::Own,
        preference: said(winner).map(|terms| terms.preference.clone()).unwrap_or_default(),
        audiences: audiences.collect(),
    };
    (terms != ServiceTerms::default()).then(|| Arc::new(terms))
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
/// differently. A member without the Service goes by the merged name. Of a host only those that are called so.
fn port_endpoints(
    port: ServicePort,
    shards: &BTreeMap<ClusterId, Arc<MemberService>>,
    host: Option<&str>,
    added: &[Claim<'_>],
    settings: &TableSettings,
    terms: Option<Arc<ServiceTerms>>,
) -> PortEndpoints {
    let mut groups = BTreeMap::new();
    for (member, shard) in shards {
        let name = match &shard.service {
            Some(service) => service
                .ports
                .iter()
                .find(|own| own.number == port.number)
                .map(|own| &own.name),
            None => Some(&port.name),
        };
        for (network, group) in name.map_or(&[][..], |name| shard.groups(host, name)) {
            let key = GroupKey {
                network: network.clone(),
                member: member.clone(),
            };
            groups.insert(key, Arc::clone(group));
        }
    }
    host_merge::join(&mut groups, added, port.number);
    let standings = standings(&groups, shards, settings);
    PortEndpoints::with_terms(port, groups, standings, terms)
}

/// What counts otherwise than most: groups, and of their endpoints those in some zones.
pub(super) fn standings(
    groups: &BTreeMap<GroupKey, Arc<NetworkGroup>>,
    shards: &BTreeMap<ClusterId, Arc<MemberService>>,
    settings: &TableSettings,
) -> Standings {
    let standing = |key: &GroupKey| {
        let shard = shards.get(&key.member)?;
        let standing = GroupStanding {
            member: shard.standing,
            network: settings.weights.get(&key.network).copied().unwrap_or_default(),
            service: shard.terms.as_ref().map(|terms| terms.weight).unwrap_or_default(),
            ..GroupStanding::default()
        };
        (standing != GroupStanding::default()).then_some(standing)
    };
    let found = groups.keys().filter_map(|key| Some((key.clone(), standing(key)?)));
    let mut standings = Standings {
        groups: found.collect(),
        ..Standings::default()
    };
    // Costs a walk over all endpoints, so only where something is said.
    if !settings.zones.is_empty() {
        let endpoints = groups.values().flat_map(|group| group.endpoints());
        let places: BTreeSet<_> = endpoints.map(|endpoint| &endpoint.locality).collect();
        let said = places
            .into_iter()
            .filter_map(|place| Some((place.clone(), settings.zones.of(place)?.clone())));
        standings.zones = said.filter(|(_, said)| said.weight != MemberWeight::FULL).collect();
    }
    standings
}

/// What a member says differently from the winner.
fn conflicts(
    winner: &ClusterId,
    first: &ServiceRecord,
    loser: &ClusterId,
    other: &ServiceRecord,
    shards: &BTreeMap<ClusterId, Arc<MemberService>>,
) -> Vec<Conflict> {
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
    let prefers = |member: &ClusterId| {
        let terms = shards.get(member).and_then(|shard| shard.terms.as_ref());
        match terms.and_then(|terms| terms.distribution) {
            Some(Distribution::SameZone) => "PreferSameZone",
            Some(Distribution::SameNode) => "PreferSameNode",
            Some(Distribution::Any) => "Any",
            None => "none",
        }
    };
    if prefers(winner) != prefers(loser) {
        differ(
            "trafficDistribution",
            format!("{} and {}", prefers(winner), prefers(loser)),
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
