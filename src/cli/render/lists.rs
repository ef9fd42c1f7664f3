//! `get services`, `get endpoints` and `get networks`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::super::Paint;
use super::explain::withheld;
use super::table::{Mood, age, cell, plain, sockets, table};
use super::v1;

/// The services, a line for each port, and below where members disagree.
pub(crate) fn services(answer: &v1::ListServicesResponse, paint: Paint) -> String {
    if answer.services.is_empty() {
        return "No services.\n".to_owned();
    }
    let mut rows = Vec::new();
    for service in &answer.services {
        let kind = if service.headless { "headless" } else { "normal" };
        let members = service.members.join(",");
        for port in &service.ports {
            let mood = match port.serving {
                0 => Mood::Bad,
                serving if serving < port.endpoints => Mood::Odd,
                _ => Mood::Good,
            };
            rows.push([
                plain(&service.service),
                plain(port.port),
                plain(&port.name),
                cell(format!("{}/{}", port.serving, port.endpoints), mood),
                plain(port.networks.join(",")),
                plain(&members),
                plain(kind),
            ]);
        }
        if service.ports.is_empty() {
            rows.push([
                plain(&service.service),
                plain("-"),
                plain("-"),
                plain("-"),
                plain("-"),
                plain(&members),
                plain(kind),
            ]);
        }
    }
    let mut text = table(
        ["SERVICE", "PORT", "NAME", "SERVING", "NETWORKS", "MEMBERS", "KIND"],
        rows,
        paint,
    );
    for service in answer.services.iter().filter(|service| !service.conflicts.is_empty()) {
        text += &format!("\nMembers disagree about {}:\n", service.service);
        for conflict in &service.conflicts {
            text += &format!("  {conflict}\n");
        }
    }
    text
}

/// The endpoints, and below why nobody at all is sent to some.
pub(crate) fn endpoints(answer: &v1::ListEndpointsResponse, paint: Paint) -> String {
    if answer.endpoints.is_empty() {
        return "No endpoints.\n".to_owned();
    }
    let rows = answer.endpoints.iter().map(|endpoint| {
        [
            plain(&endpoint.service),
            plain(endpoint.port),
            plain(&endpoint.network),
            plain(&endpoint.member),
            plain(sockets(&endpoint.addresses, endpoint.target_port)),
            cell(&endpoint.health, health(&endpoint.health)),
            cell(&endpoint.mtls, mtls(&endpoint.mtls)),
            plain(&endpoint.locality),
            plain(&endpoint.pod),
            cell(&endpoint.reason_code, Mood::Odd),
        ]
    });
    let headers = [
        "SERVICE", "PORT", "NETWORK", "MEMBER", "ADDRESS", "HEALTH", "MTLS", "ZONE", "POD", "WITHHELD",
    ];
    let mut text = table(headers, rows, paint);
    let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for endpoint in answer.endpoints.iter().filter(|each| !each.reason_code.is_empty()) {
        *counts.entry((&endpoint.reason_code, &endpoint.reason)).or_default() += 1;
    }
    let reasons = counts.into_iter().map(|((code, reason), count)| v1::Withheld {
        reason_code: code.to_owned(),
        reason: reason.to_owned(),
        count,
    });
    text += &withheld(&reasons.collect::<Vec<_>>(), paint);
    if !answer.notes.is_empty() {
        text += "\n";
    }
    for note in &answer.notes {
        text += &format!("Note: {note}\n");
    }
    text
}

/// The networks, and below the gateways with where each comes from, and those that can't be used.
pub(crate) fn networks(answer: &v1::ListNetworksResponse, now: SystemTime, paint: Paint) -> String {
    if answer.networks.is_empty() {
        return "No networks yet.\n".to_owned();
    }
    let rows = answer.networks.iter().map(|network| {
        [
            plain(&network.name),
            plain(network.members.join(",")),
            plain(network.endpoints),
            plain(network.gateways.len()),
        ]
    });
    let mut text = table(["NETWORK", "MEMBERS", "ENDPOINTS", "GATEWAYS"], rows, paint);
    let gateways: Vec<_> = answer.networks.iter().flat_map(|network| &network.gateways).collect();
    if !gateways.is_empty() {
        text += "\nGateways:\n";
        let headers = ["NETWORK", "ADDRESS", "MEMBER", "FROM", "NAME", "CONFIRMED"];
        let rows = gateways.iter().map(|gateway| {
            let name = if gateway.host.is_empty() {
                &gateway.node
            } else {
                &gateway.host
            };
            let mood = if gateway.problem.is_empty() {
                Mood::Plain
            } else {
                Mood::Bad
            };
            [
                plain(&gateway.network),
                plain(&gateway.address),
                plain(&gateway.member),
                plain(gateway.sources.join(", ")),
                plain(name),
                cell(age(&gateway.resolved_at, now), mood),
            ]
        });
        text += &table(headers, rows, paint);
    }
    let failing: BTreeMap<_, _> = gateways
        .iter()
        .filter(|gateway| !gateway.problem.is_empty())
        .map(|gateway| (&gateway.host, &gateway.problem))
        .collect();
    if !failing.is_empty() {
        text += "\nHost names that can't be looked up; what they led to before is used:\n";
        for (host, problem) in failing {
            text += &format!("  {host}: {problem}\n");
        }
    }
    if !answer.unusable_gateways.is_empty() {
        text += "\nGateways that can't be used:\n";
        let rows = answer.unusable_gateways.iter().map(|gateway| {
            [
                plain(&gateway.network),
                plain(&gateway.member),
                plain(&gateway.source),
                cell(&gateway.reason, Mood::Bad),
            ]
        });
        text += &table(["NETWORK", "MEMBER", "FROM", "WHY"], rows, paint);
    }
    text
}

pub(super) fn health(health: &str) -> Mood {
    match health {
        "Ready" => Mood::Good,
        "Draining" => Mood::Odd,
        _ => Mood::Bad,
    }
}

pub(super) fn mtls(mtls: &str) -> Mood {
    if mtls == "Yes" { Mood::Plain } else { Mood::Odd }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_by_port_with_conflicts_below() {
        let port = |port, name: &str, serving, endpoints| v1::ServicePort {
            port,
            name: name.to_owned(),
            serving,
            endpoints,
            networks: vec!["net1".to_owned(), "net2".to_owned()],
            ..v1::ServicePort::default()
        };
        let web = v1::Service {
            service: "web.shop".to_owned(),
            members: vec!["west".to_owned(), "east".to_owned()],
            ports: vec![port(80, "http", 3, 4), port(9090, "", 0, 0)],
            conflicts: vec!["headless: false, true (west wins over east)".to_owned()],
            ..v1::Service::default()
        };
        let idle = v1::Service {
            service: "idle.shop".to_owned(),
            headless: true,
            ..v1::Service::default()
        };
        assert_eq!(
            services(
                &v1::ListServicesResponse {
                    services: vec![idle, web]
                },
                Paint::Plain
            ),
            "\
SERVICE     PORT   NAME   SERVING   NETWORKS    MEMBERS     KIND
idle.shop   -      -      -         -           -           headless
web.shop    80     http   3/4       net1,net2   west,east   normal
web.shop    9090   -      0/0       net1,net2   west,east   normal

Members disagree about web.shop:
  headless: false, true (west wins over east)
"
        );
    }

    #[test]
    fn endpoints_one_a_line() {
        let endpoint = v1::Endpoint {
            service: "web.shop".to_owned(),
            port: 80,
            network: "net1".to_owned(),
            member: "west".to_owned(),
            addresses: vec!["10.1.0.1".to_owned(), "fd00::1".to_owned()],
            target_port: 8080,
            health: "NotReady".to_owned(),
            mtls: "PodUnknown".to_owned(),
            locality: "r1/z1".to_owned(),
            pod: "shop/web-1".to_owned(),
            weight: 1,
            reason_code: "not_ready".to_owned(),
            reason: "not ready".to_owned(),
        };
        let fine = v1::Endpoint {
            addresses: vec!["10.1.0.2".to_owned()],
            health: "Ready".to_owned(),
            mtls: "Yes".to_owned(),
            reason_code: String::new(),
            reason: String::new(),
            ..endpoint.clone()
        };
        assert_eq!(
            endpoints(
                &v1::ListEndpointsResponse {
                    endpoints: vec![endpoint, fine],
                    notes: vec!["withheld from all other networks".to_owned()],
                },
                Paint::Plain
            ),
            "\
SERVICE    PORT   NETWORK   MEMBER   ADDRESS                        HEALTH     MTLS         ZONE    POD          WITHHELD
web.shop   80     net1      west     10.1.0.1:8080,[fd00::1]:8080   NotReady   PodUnknown   r1/z1   shop/web-1   not_ready
web.shop   80     net1      west     10.1.0.2:8080                  Ready      Yes          r1/z1   shop/web-1   -

Withheld:
COUNT   REASON      MEANING
1       not_ready   not ready

Note: withheld from all other networks
"
        );
        assert_eq!(
            endpoints(&v1::ListEndpointsResponse::default(), Paint::Plain),
            "No endpoints.\n"
        );
    }

    #[test]
    fn networks_with_their_gateways_and_what_is_wrong_below() {
        let gateway = |address: &str, host: &str, problem: &str| v1::Gateway {
            address: address.to_owned(),
            member: "east".to_owned(),
            network: "net2".to_owned(),
            sources: vec!["service istio-system/eastwest".to_owned()],
            host: host.to_owned(),
            resolved_at: if host.is_empty() { "" } else { "2026-01-31T12:00:00Z" }.to_owned(),
            problem: problem.to_owned(),
            node: String::new(),
        };
        let answer = v1::ListNetworksResponse {
            networks: vec![
                v1::Network {
                    name: "net1".to_owned(),
                    members: vec!["west".to_owned()],
                    ..v1::Network::default()
                },
                v1::Network {
                    name: "net2".to_owned(),
                    members: vec!["east".to_owned()],
                    gateways: vec![
                        gateway("203.0.113.7:15443", "", ""),
                        gateway("203.0.113.8:15443", "gw.example.com", "no answer, since noon"),
                    ],
                    endpoints: 4,
                },
            ],
            unusable_gateways: vec![v1::UnusableGateway {
                network: "net1".to_owned(),
                member: "west".to_owned(),
                service: "istio-system/eastwest".to_owned(),
                reason: "none of its pods is ready".to_owned(),
                source: "service istio-system/eastwest".to_owned(),
            }],
        };
        let now: jiff::Timestamp = "2026-01-31T12:00:30Z".parse().unwrap();
        assert_eq!(
            networks(&answer, now.into(), Paint::Plain),
            "\
NETWORK   MEMBERS   ENDPOINTS   GATEWAYS
net1      west      0           0
net2      east      4           2

Gateways:
NETWORK   ADDRESS             MEMBER   FROM                            NAME             CONFIRMED
net2      203.0.113.7:15443   east     service istio-system/eastwest   -                -
net2      203.0.113.8:15443   east     service istio-system/eastwest   gw.example.com   30s

Host names that can't be looked up; what they led to before is used:
  gw.example.com: no answer, since noon

Gateways that can't be used:
NETWORK   MEMBER   FROM                            WHY
net1      west     service istio-system/eastwest   none of its pods is ready
"
        );
    }
}
