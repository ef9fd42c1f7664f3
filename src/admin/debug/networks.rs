//! Networks, their members and gateways, as messages. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{v1, words};
use crate::model::{ClusterId, GatewaySet, HostName, NetworkGateway, NetworkId, ServiceEndpoints};
use crate::registry::HostReport;

/// All networks that a member, an endpoint or a gateway names.
pub(super) fn networks<'a>(
    members: impl IntoIterator<Item = (&'a ClusterId, &'a NetworkId)>,
    services: &'a [Arc<ServiceEndpoints>],
    gateways: &'a GatewaySet,
    hosts: &BTreeMap<HostName, HostReport>,
) -> v1::ListNetworksResponse {
    #[derive(Default)]
    struct Found<'a> {
        members: BTreeSet<&'a ClusterId>,
        endpoints: usize,
    }
    let mut found: BTreeMap<&NetworkId, Found<'_>> = BTreeMap::new();
    for (member, network) in members {
        found.entry(network).or_default().members.insert(member);
    }
    for (key, group) in services
        .iter()
        .flat_map(|service| &service.ports)
        .flat_map(|port| port.groups())
    {
        // What is outside of the mesh is on none.
        if key.network.is_anywhere() {
            continue;
        }
        let network = found.entry(&key.network).or_default();
        network.members.insert(&key.member);
        network.endpoints += group.endpoints().len();
    }
    for network in gateways.networks() {
        found.entry(network).or_default();
    }
    for unusable in gateways.unusable() {
        found.entry(&unusable.source.network).or_default();
    }
    let networks = found.into_iter().map(|(name, found)| v1::Network {
        name: name.to_string(),
        members: found.members.iter().map(ToString::to_string).collect(),
        gateways: gateways
            .of(name)
            .iter()
            .map(|each| gateway(each, gateways, hosts))
            .collect(),
        endpoints: words::count(found.endpoints),
    });
    let unusable_gateways = gateways.unusable().iter().map(|unusable| {
        let source = &unusable.source;
        v1::UnusableGateway {
            network: source.network.to_string(),
            member: text(source.member.as_ref()),
            service: text(source.origin.service()),
            reason: unusable.reason.to_string(),
            source: source.origin.to_string(),
        }
    });
    v1::ListNetworksResponse {
        networks: networks.collect(),
        unusable_gateways: unusable_gateways.collect(),
    }
}

/// One address, with everything that leads to it.
fn gateway(gateway: &NetworkGateway, gateways: &GatewaySet, hosts: &BTreeMap<HostName, HostReport>) -> v1::Gateway {
    let ways = gateways.ways(gateway);
    let host = ways.iter().find_map(|way| way.host.as_ref());
    let report = host.and_then(|host| hosts.get(host));
    let mut sources: Vec<_> = ways.iter().map(|way| way.source.origin.to_string()).collect();
    sources.dedup();
    v1::Gateway {
        address: gateway.socket().to_string(),
        member: text(gateway.member.as_ref()),
        network: gateway.network.to_string(),
        sources,
        host: text(host),
        resolved_at: report
            .and_then(|report| report.resolved_at)
            .map(words::time)
            .unwrap_or_default(),
        problem: report
            .and_then(|report| report.problem.as_ref())
            .map(|(problem, since)| format!("{problem}, since {}", words::time(*since)))
            .unwrap_or_default(),
        node: text(ways.iter().find_map(|way| way.node.as_ref())),
    }
}

fn text(what: Option<impl ToString>) -> String {
    what.map(|what| what.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use crate::model::{GatewayOrigin, GatewaySource, GatewayWay};

    #[test]
    fn a_network_is_listed_whoever_names_it() {
        let (south, net0) = (samples::member("south"), samples::network("net0"));
        let answer = networks(
            [(&south, &net0)],
            &samples::services(),
            &samples::gateways(),
            &BTreeMap::new(),
        );
        let lines: Vec<_> = answer
            .networks
            .iter()
            .map(|network| {
                (
                    &*network.name,
                    network.members.join(","),
                    network.gateways.len(),
                    network.endpoints,
                )
            })
            .collect();
        let of = |name, members: &str, gateways, endpoints| (name, members.to_owned(), gateways, endpoints);
        assert_eq!(
            lines,
            [
                of("net0", "south", 0, 0),
                of("net1", "west", 0, 2),
                of("net2", "east", 2, 4),
                of("net3", "north", 0, 2)
            ]
        );
        assert_eq!(answer.unusable_gateways[0].service, "istio-system/eastwest");
        assert_eq!(answer.unusable_gateways[0].reason, "none of its pods is ready");
    }

    #[test]
    fn a_gateway_tells_what_leads_to_it_and_how_old_that_is() {
        let host = HostName::new("gw.example.com").unwrap();
        let network = samples::network("net2");
        let gateway = NetworkGateway {
            network: network.clone(),
            member: None,
            address: "203.0.113.7".parse().unwrap(),
            port: 443,
        };
        let source = GatewaySource {
            network,
            member: None,
            origin: GatewayOrigin::Address("gw.example.com:443".into()),
        };
        let way = GatewayWay {
            source,
            host: Some(host.clone()),
            node: None,
        };
        let set = GatewaySet::with_ways([(gateway, way)], Vec::new());
        let at = |seconds| std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let report = HostReport {
            resolved_at: Some(at(0)),
            problem: Some(("no answer".to_owned(), at(60))),
            ..HostReport::default()
        };
        let answer = networks([], &[], &set, &BTreeMap::from([(host, report)]));
        let shown = &answer.networks[0].gateways[0];
        assert_eq!((shown.member.as_str(), shown.host.as_str()), ("", "gw.example.com"));
        assert_eq!(shown.sources, ["settings: gw.example.com:443"]);
        assert_eq!(shown.resolved_at, "1970-01-01T00:00:00.000Z");
        assert_eq!(shown.problem, "no answer, since 1970-01-01T00:01:00.000Z");
    }
}
