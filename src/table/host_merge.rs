//! Hosts outside of Kubernetes: what the objects of all members say of one, as one service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::derive::MemberService;
use super::hosts::HostPart;
use super::merge::standings;
use super::settings::TableSettings;
use crate::model::{
    Audience, ClusterId, Conflict, DnsTarget, GroupKey, HostEntry, MemberWeight, Naming, NetworkGroup, PortEndpoints,
    Resolution, ServiceEndpoints, ServiceKey, ServicePort, ServiceTerms,
};

/// A member's object for a host.
pub(super) type Claim<'a> = (&'a ClusterId, &'a MemberService, &'a HostPart);

/// All objects for a host, the oldest first.
fn claims(shards: &BTreeMap<ClusterId, Arc<MemberService>>) -> Vec<Claim<'_>> {
    let claims = shards
        .iter()
        .flat_map(|(member, shard)| shard.hosts.iter().map(move |part| (member, &**shard, part)));
    let mut claims: Vec<_> = claims.collect();
    claims.sort_by_key(|(member, _, part)| (part.entry.created.unwrap_or(i64::MAX), *member, &part.entry.name));
    claims
}

/// Those that count of a service of Kubernetes, and what is to be said of others.
pub(super) fn added<'a>(
    key: &ServiceKey,
    shards: &'a BTreeMap<ClusterId, Arc<MemberService>>,
) -> (Vec<Claim<'a>>, Vec<Conflict>) {
    let mut conflicts = Vec::new();
    let mut claims = claims(shards);
    claims.retain(|(member, _, part)| {
        let why = if part.entry.name.namespace != key.namespace {
            "it is in another namespace"
        } else if part.entry.resolution != Resolution::Static {
            "only resolution STATIC can add to a Service"
        } else {
            return true;
        };
        conflicts.push(passed_over(member, member, part, why));
        false
    });
    (claims, conflicts)
}

fn passed_over(winner: &ClusterId, loser: &ClusterId, part: &HostPart, why: &str) -> Conflict {
    Conflict {
        attribute: "ServiceEntry",
        winner: winner.clone(),
        loser: loser.clone(),
        detail: format!("ServiceEntry {} is passed over: {why}", part.entry.name),
    }
}

/// Adds the endpoints that objects tell of a port.
pub(super) fn join(groups: &mut BTreeMap<GroupKey, Arc<NetworkGroup>>, claims: &[Claim<'_>], port: u16) {
    for (member, _, part) in claims {
        for (network, group) in part.groups(port) {
            let key = GroupKey {
                network: network.clone(),
                member: (*member).clone(),
            };
            let group = match groups.get(&key) {
                Some(known) => Arc::new(known.joined(group)),
                None => Arc::clone(group),
            };
            groups.insert(key, group);
        }
    }
}

/// What the mesh prefers, and to whom each member's objects show the host: `exportTo` of each, or else what the mesh says.
fn terms(key: &ServiceKey, claims: &[Claim<'_>], settings: &TableSettings) -> Option<Arc<ServiceTerms>> {
    let mut audiences: BTreeMap<ClusterId, Audience> = BTreeMap::new();
    for (member, _, part) in claims {
        let export = part.entry.export.as_ref().unwrap_or(&settings.export);
        let namespaces = export.namespaces(&part.entry.name.namespace);
        let seen = audiences.entry((*member).clone()).or_insert_with(|| Audience {
            namespaces: Some(Arc::default()),
            ..Audience::default()
        });
        // Of several objects of a member each shows it to whom it says.
        seen.namespaces = match (seen.namespaces.take(), namespaces) {
            (Some(before), Some(more)) => Some(Arc::new(before.union(&more).cloned().collect())),
            _ => None,
        };
    }
    audiences.retain(|_, audience| !audience.is_everybody());
    let terms = ServiceTerms {
        naming: match key.name.starts_with('*') {
            true => Naming::Star,
            false => Naming::Own,
        },
        preference: settings.preference.clone(),
        audiences,
    };
    (terms != ServiceTerms::default()).then(|| Arc::new(terms))
}

/// A host that no Service of Kubernetes has: the oldest object decides whose it is and how it is reached; others of the same
/// namespace, in whichever member, add to it.
pub(super) fn merge(
    key: &ServiceKey,
    shards: &BTreeMap<ClusterId, Arc<MemberService>>,
    settings: &TableSettings,
) -> Option<ServiceEndpoints> {
    let mut conflicts = Vec::new();
    let mut claims = claims(shards);
    if !key.is_outside() {
        claims.retain(|(.., part)| part.entry.name.namespace == key.namespace);
    }
    let (winner, _, first) = *claims.first()?;
    let (namespace, resolution) = (&first.entry.name.namespace, first.entry.resolution);
    claims.retain(|(member, _, part)| {
        let why = if part.entry.name.namespace != *namespace {
            format!("{} has this host, and counts before it", first.entry.name)
        } else if part.entry.resolution != resolution {
            format!("{} has another resolution, and counts before it", first.entry.name)
        } else {
            return true;
        };
        conflicts.push(passed_over(winner, member, part, &why));
        false
    });
    let mut ports: BTreeMap<u16, (&ClusterId, ServicePort)> = BTreeMap::new();
    for (member, _, part) in &claims {
        for port in part.entry.ports.iter().map(|port| &port.port) {
            let (owner, known) = ports.entry(port.number).or_insert_with(|| (*member, port.clone()));
            if known.app_protocol != port.app_protocol {
                conflicts.push(Conflict {
                    attribute: "protocol",
                    winner: (*owner).clone(),
                    loser: (*member).clone(),
                    detail: format!(
                        "port {}: {} and {} (ServiceEntry {})",
                        port.number, known.app_protocol, port.app_protocol, part.entry.name
                    ),
                });
            }
        }
    }
    let terms = terms(key, &claims, settings);
    let serving = |shard: &MemberService| shard.standing.serves();
    let lookups = ports.keys().map(|port| {
        let of_port = claims.iter().filter(|(_, shard, _)| serving(shard));
        let found = of_port.flat_map(|(.., part)| part.lookups(*port));
        let drained = |target: &&DnsTarget| {
            let said = settings.zones.of(&target.locality);
            said.is_some_and(|said| said.weight == MemberWeight::DRAINED)
        };
        let found: BTreeSet<DnsTarget> = found.filter(|target| !drained(target)).cloned().collect();
        (*port, found.into_iter().collect())
    });
    let lookups = if resolution.is_dns() {
        lookups.collect()
    } else {
        BTreeMap::new()
    };
    let addresses: BTreeSet<_> = claims
        .iter()
        .flat_map(|(.., part)| &part.entry.addresses)
        .copied()
        .collect();
    let entry = HostEntry {
        namespace: Arc::clone(namespace),
        resolution,
        addresses: addresses.into_iter().collect(),
        lookups,
    };
    let defined_in: BTreeSet<&ClusterId> = claims.iter().map(|(member, ..)| *member).collect();
    let others = defined_in.into_iter().filter(|member| *member != winner);
    Some(ServiceEndpoints {
        key: key.clone(),
        defined_in: std::iter::once(winner).chain(others).cloned().collect(),
        headless: false,
        cluster_ips: BTreeMap::new(),
        virtual_ip: None,
        ports: ports
            .into_values()
            .map(|(_, port)| {
                let mut groups = BTreeMap::new();
                join(&mut groups, &claims, port.number);
                let standings = standings(&groups, shards, settings);
                PortEndpoints::with_terms(port, groups, standings, terms.clone())
            })
            .collect(),
        conflicts,
        terms,
        entry: Some(Arc::new(entry)),
    })
}
