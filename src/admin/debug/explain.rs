//! What becomes of a service for a viewer, as messages. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::reasons::Said;
use super::{services, v1, words};
use crate::model::{ClusterId, GatewaySet, GroupStanding, PortEndpoints, Rank, ServiceEndpoints, ViewKey};
use crate::resources::{AssignmentSpec, ClusterName};
use crate::view::{self, Candidate, Explanation, Verdict, WithheldReason};

/// Explains one port; who looks is filled in by the caller's `viewer`, and notes on members by the caller.
pub(super) fn explain(
    viewer: v1::Viewer,
    key: &ViewKey,
    service: &ServiceEndpoints,
    port: &PortEndpoints,
    said: &Said<'_>,
) -> v1::ExplainResponse {
    let gateways = said.gateways;
    let explanation = view::explain(key, port, gateways);
    let mut assignment = addresses(&explanation.assignment);
    for ((_, endpoint), message) in explanation.assignment.iter().zip(&mut assignment) {
        let socket = SocketAddr::new(endpoint.address, endpoint.port);
        message.how = how(&explanation, port, socket, endpoint.weight.get());
        message.how += &through(gateways, socket);
    }
    v1::ExplainResponse {
        viewer: Some(viewer),
        service: service.key.to_string(),
        port: port.port.number.into(),
        candidates: explanation
            .candidates
            .iter()
            .map(|each| candidate(service, port, each))
            .collect(),
        assignment,
        withheld: withheld(&explanation.candidates, said),
        conflicts: service.conflicts.iter().map(ToString::to_string).collect(),
        notes: Vec::new(),
    }
}

/// One port as a viewer gets it, with the name and version that it has on the wire.
pub(super) fn assignment(
    key: &ViewKey,
    service: &ServiceEndpoints,
    port: &PortEndpoints,
    gateways: &GatewaySet,
    domain: &str,
) -> v1::Assignment {
    let name = ClusterName {
        service: service.key.clone(),
        port: port.port.number,
    }
    .encode(domain);
    let spec = AssignmentSpec {
        name: name.as_str().into(),
        assignment: view::assign(key, port, gateways),
    };
    v1::Assignment {
        service: service.key.to_string(),
        port: port.port.number.into(),
        version: spec.version().to_string(),
        addresses: addresses(&spec.assignment),
        cluster: name,
    }
}

fn addresses(assignment: &view::Assignment) -> Vec<v1::WeightedAddress> {
    let weight = |endpoint: &view::WeightedAddress| f64::from(endpoint.weight.get());
    let first = assignment.localities.iter().filter(|group| group.priority == 0);
    let sum: f64 = first.flat_map(|group| &group.endpoints).map(weight).sum();
    let message = |group: &view::LocalityEndpoints, endpoint: &view::WeightedAddress| v1::WeightedAddress {
        address: SocketAddr::new(endpoint.address, endpoint.port).to_string(),
        weight: endpoint.weight.get(),
        share: match group.priority {
            0 => weight(endpoint) / sum,
            _ => 0.0,
        },
        locality: words::locality(&group.locality),
        how: String::new(),
        priority: group.priority,
    };
    let messages = assignment
        .localities
        .iter()
        .flat_map(|group| group.endpoints.iter().map(move |endpoint| message(group, endpoint)));
    messages.collect()
}

fn candidate(service: &ServiceEndpoints, port: &PortEndpoints, candidate: &Candidate) -> v1::Candidate {
    let endpoint = services::endpoint(&service.key, port.port.number, &candidate.member, &candidate.endpoint);
    let message = v1::Candidate {
        endpoint: Some(endpoint),
        last: candidate.standing.rank() == Rank::Last,
        ..v1::Candidate::default()
    };
    match &candidate.verdict {
        Verdict::Direct(socket) => v1::Candidate {
            verdict: "Direct".to_owned(),
            reached_at: vec![socket.to_string()],
            ..message
        },
        Verdict::Via(gateways) => v1::Candidate {
            verdict: "Via".to_owned(),
            reached_at: gateways.iter().map(|gateway| gateway.socket().to_string()).collect(),
            ..message
        },
        Verdict::Withheld(reason) => v1::Candidate {
            verdict: "Withheld".to_owned(),
            reason_code: reason.code().to_owned(),
            reason: reason.to_string(),
            ..message
        },
    }
}

fn withheld(candidates: &[Candidate], said: &Said<'_>) -> Vec<v1::Withheld> {
    let mut counts: BTreeMap<&WithheldReason, u32> = BTreeMap::new();
    for candidate in candidates {
        if let Verdict::Withheld(reason) = &candidate.verdict {
            *counts.entry(reason).or_default() += 1;
        }
    }
    let messages = counts.into_iter().map(|(reason, count)| v1::Withheld {
        reason_code: reason.code().to_owned(),
        reason: said.why(reason),
        count,
    });
    messages.collect()
}

/// Where a gateway comes from; nothing for the address of an endpoint.
fn through(gateways: &GatewaySet, socket: SocketAddr) -> String {
    let all = gateways.networks().flat_map(|network| gateways.of(network));
    let ways = all.filter(|gateway| gateway.socket() == socket);
    let ways = ways.flat_map(|gateway| gateways.ways(gateway)).map(|way| {
        let member = way.source.member.as_ref().map(|member| format!(" of {member}"));
        let host = way.host.as_ref().map(|host| format!(" at {host}"));
        let node = way.node.as_ref().map(|node| format!(" on Node {node}"));
        let more = [member, host, node].into_iter().flatten().collect::<String>();
        format!("{}{more}", way.source.origin)
    });
    let ways: std::collections::BTreeSet<_> = ways.collect();
    match ways.is_empty() {
        true => String::new(),
        false => format!("; gateway: {}", ways.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

/// How an address came to its weight, for people.
fn how(explanation: &Explanation, port: &PortEndpoints, socket: SocketAddr, weight: u32) -> String {
    let word = if port.draining_serves() { "draining" } else { "ready" };
    let mut direct: BTreeMap<(&ClusterId, GroupStanding), u128> = BTreeMap::new();
    for candidate in &explanation.candidates {
        if candidate.verdict == Verdict::Direct(socket) {
            *direct.entry((&candidate.member, candidate.standing)).or_default() +=
                u128::from(candidate.endpoint.weight);
        }
    }
    let behind = || {
        let shares = explanation.gateways.iter().filter(|share| share.socket == socket);
        shares.flat_map(|share| &share.parts)
    };
    // What comes last adds nothing to an address that is served first.
    let ranks = direct.keys().map(|(_, standing)| standing.rank());
    let first = ranks.chain(behind().map(|part| part.standing.rank())).min();
    let counts = |standing: &GroupStanding| (first == Some(standing.rank())).then(|| explanation.counts(*standing));
    // What stands there, and how much it adds.
    let mut parts = Vec::new();
    for ((member, standing), ready) in direct {
        if let Some(scale) = counts(&standing) {
            parts.push((format!("{ready} {word} in {member}{}", times(scale)), ready * scale));
        }
    }
    for part in behind() {
        if let Some(scale) = counts(&part.standing) {
            let (ready, ways) = (part.ready, part.ways);
            let (member, network) = (&part.group.member, &part.group.network);
            let over = if ways > 1 {
                format!(", over {ways} gateways,")
            } else {
                String::new()
            };
            let text = format!("{ready} {word} in {member} on {network}{over}{}", times(scale));
            parts.push((text, u128::from(ready) * scale / ways.max(1) as u128));
        }
    }
    let sum: u128 = parts.iter().map(|(_, adds)| adds).sum();
    let mut text = match parts.as_slice() {
        [(text, adds)] => format!("{text} = {adds}"),
        parts => {
            let parts: Vec<_> = parts.iter().map(|(text, adds)| format!("{text} = {adds}")).collect();
            format!("{}; together {sum}", parts.join("; "))
        }
    };
    let weight = u128::from(weight);
    if sum != weight {
        text += &match sum.checked_rem(weight) {
            Some(0) => format!(", ÷ {} as for all", sum / weight),
            _ => format!(", rounded to {weight} to fit 32 bits"),
        };
    }
    text
}

fn times(scale: u128) -> String {
    if scale == 1 {
        String::new()
    } else {
        format!(" × {scale}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::samples;
    use super::*;
    use crate::model::{AddressFamilies, Health, Mtls, NetworkGroup};

    fn key(network: &str, families: AddressFamilies) -> ViewKey {
        ViewKey::endpoints(samples::network(network), families)
    }

    fn explained(network: &str) -> v1::ExplainResponse {
        let service = samples::service();
        let viewer = v1::Viewer {
            network: network.to_owned(),
            ..v1::Viewer::default()
        };
        explain(
            viewer,
            &key(network, AddressFamilies::Dual),
            &service,
            &service.ports[0],
            &Said {
                gateways: &samples::gateways(),
                members: &[],
            },
        )
    }

    #[test]
    fn every_endpoint_has_a_verdict_and_every_weight_a_story() {
        let answer = explained("net1");
        let verdicts: Vec<_> = answer.candidates.iter().map(|each| each.verdict.as_str()).collect();
        assert_eq!(
            verdicts,
            [
                "Direct", "Withheld", "Via", "Via", "Via", "Withheld", "Withheld", "Withheld"
            ]
        );
        assert_eq!(
            answer.candidates[2].reached_at,
            ["203.0.113.7:15443", "203.0.113.8:15443"]
        );
        let lines = answer
            .assignment
            .iter()
            .map(|each| (each.address.as_str(), each.weight, &*each.how));
        let lines: Vec<_> = lines.collect();
        assert_eq!(
            lines,
            [
                ("10.1.0.1:8080", 2, "1 ready in west × 2 = 2"),
                (
                    "203.0.113.7:15443",
                    3,
                    "3 ready in east on net2, over 2 gateways, × 2 = 3"
                ),
                (
                    "203.0.113.8:15443",
                    3,
                    "3 ready in east on net2, over 2 gateways, × 2 = 3"
                ),
            ]
        );
        let share: f64 = answer.assignment.iter().map(|each| each.share).sum();
        assert!((share - 1.0).abs() < 1e-9);
        let withheld: Vec<_> = answer
            .withheld
            .iter()
            .map(|each| (each.reason_code.as_str(), each.count))
            .collect();
        assert_eq!(
            withheld,
            [("no_gateway", 1), ("not_ready", 1), ("draining", 1), ("plaintext", 1)]
        );
    }

    #[test]
    fn why_a_network_has_no_gateway_is_told_with_the_endpoints_it_withholds() {
        let withheld = explained("net1").withheld;
        let told = withheld.iter().find(|each| each.reason_code == "no_gateway").unwrap();
        assert!(
            told.reason
                .ends_with("(service istio-system/eastwest of north: none of its pods is ready)"),
            "{}",
            told.reason
        );
    }

    #[test]
    fn a_weight_made_smaller_says_so() {
        // From net2 nothing goes over a gateway of net2, so nothing is scaled.
        let lines = explained("net2").assignment;
        assert!(
            lines
                .iter()
                .all(|each| each.weight == 1 && each.how == "1 ready in east = 1"),
            "{lines:?}"
        );
        // Four behind two gateways, and nothing else: scaling was not needed after all.
        let mut service = samples::service();
        let held = &mut service.ports[0];
        let groups = held.groups().iter();
        let mut groups: BTreeMap<_, _> = groups.map(|(key, group)| (key.clone(), Arc::clone(group))).collect();
        groups.retain(|key, _| key.network.as_str() == "net2");
        for group in groups.values_mut() {
            let one = group
                .endpoints()
                .iter()
                .find(|one| one.health == Health::Ready && one.mtls == Mtls::Yes);
            *group = Arc::new(NetworkGroup::new(vec![one.unwrap().clone(); 4]));
        }
        *held = PortEndpoints::new(held.port.clone(), groups);
        let key = key("net9", AddressFamilies::Dual);
        let answer = explain(
            v1::Viewer::default(),
            &key,
            &service,
            &service.ports[0],
            &Said {
                gateways: &samples::gateways(),
                members: &[],
            },
        );
        assert_eq!(
            answer.assignment[0].how,
            "4 ready in east on net2, over 2 gateways, × 2 = 4, ÷ 2 as for all"
        );
    }

    #[test]
    fn a_view_has_the_names_and_versions_of_the_wire() {
        let service = samples::service();
        let gateways = samples::gateways();
        let of = |network: &str| {
            let key = key(network, AddressFamilies::V4);
            assignment(&key, &service, &service.ports[0], &gateways, "cluster.local")
        };
        let net1 = of("net1");
        assert_eq!(net1.cluster, "outbound|8080||web.shop.svc.cluster.local");
        assert_eq!(net1.addresses.len(), 3);
        assert_eq!(net1.version, of("net1").version);
        assert_ne!(net1.version, of("net2").version);
        assert_eq!(of("net8").version, of("net9").version, "equal content, equal version");
    }
}
