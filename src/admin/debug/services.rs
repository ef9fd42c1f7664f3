//! Services and endpoints as the table has them, as messages. Pure.

use super::reasons::Said;
use super::{v1, words};
use crate::model::{ClusterId, Endpoint, NetworkId, PortEndpoints, ServiceEndpoints, ServiceKey};
use crate::view;

pub(super) fn service(service: &ServiceEndpoints) -> v1::Service {
    v1::Service {
        service: service.key.to_string(),
        headless: service.headless,
        members: service.defined_in.iter().map(ToString::to_string).collect(),
        ports: service.ports.iter().map(port).collect(),
        conflicts: service.conflicts.iter().map(ToString::to_string).collect(),
    }
}

fn port(port: &PortEndpoints) -> v1::ServicePort {
    let endpoints = || port.groups().values().flat_map(|group| group.endpoints());
    // Sorted by network, so that equal ones are neighbours.
    let mut networks: Vec<_> = port.groups().keys().map(|key| key.network.to_string()).collect();
    networks.dedup();
    v1::ServicePort {
        port: port.port.number.into(),
        name: port.port.name.to_string(),
        app_protocol: port.port.app_protocol.to_string(),
        serving: words::count(endpoints().filter(|endpoint| port.serves(endpoint)).count()),
        endpoints: words::count(endpoints().count()),
        networks,
    }
}

/// The endpoints of a service, of one port and one network only where these are given, with what keeps everybody away.
pub(super) fn endpoints(
    service: &ServiceEndpoints,
    port: Option<u16>,
    network: Option<&NetworkId>,
    said: &Said<'_>,
) -> Vec<v1::Endpoint> {
    let mut found = Vec::new();
    for held in service
        .ports
        .iter()
        .filter(|held| port.is_none_or(|number| number == held.port.number))
    {
        for (key, group) in held.groups() {
            if network.is_none_or(|network| *network == key.network) {
                found.extend(group.endpoints().iter().map(|each| {
                    let reason = view::withheld_from_all(held, key, each);
                    v1::Endpoint {
                        reason_code: reason.as_ref().map(|why| why.code().to_owned()).unwrap_or_default(),
                        reason: reason.map(|why| said.why(&why)).unwrap_or_default(),
                        ..endpoint(&service.key, held.port.number, &key.member, each)
                    }
                }));
            }
        }
    }
    found
}

pub(super) fn endpoint(service: &ServiceKey, port: u16, member: &ClusterId, endpoint: &Endpoint) -> v1::Endpoint {
    v1::Endpoint {
        service: service.to_string(),
        port: port.into(),
        network: endpoint.network.to_string(),
        member: member.to_string(),
        addresses: endpoint.addresses.iter().map(|address| address.to_string()).collect(),
        target_port: endpoint.port.into(),
        health: words::health(endpoint.health).to_owned(),
        mtls: words::mtls(endpoint.mtls).to_owned(),
        locality: words::locality(&endpoint.locality),
        pod: endpoint.pod.as_ref().map(ToString::to_string).unwrap_or_default(),
        weight: endpoint.weight.into(),
        ..v1::Endpoint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use crate::model::{GroupStanding, MemberWeight, Standings};

    #[test]
    fn a_service_counts_what_serves_and_names_each_network_once() {
        let message = service(&samples::service());
        assert_eq!(message.service, "web.shop");
        assert_eq!(message.members, ["west", "east"]);
        assert_eq!(message.conflicts.len(), 1);
        let port = &message.ports[0];
        assert_eq!((port.port, port.serving, port.endpoints), (8080, 6, 8));
        assert_eq!(port.networks, ["net1", "net2", "net3"]);
    }

    #[test]
    fn endpoints_are_chosen_by_port_and_network() {
        let held = samples::service();
        let gateways = samples::gateways();
        let said = Said {
            gateways: &gateways,
            members: &[],
        };
        let endpoints = |service, port, network| endpoints(service, port, network, &said);
        assert_eq!(endpoints(&held, None, None).len(), 8);
        assert_eq!(endpoints(&held, Some(80), None), []);
        let net2 = NetworkId::new("net2").unwrap();
        let found = endpoints(&held, Some(8080), Some(&net2));
        assert_eq!(found.len(), 4);
        assert!(
            found
                .iter()
                .all(|endpoint| endpoint.network == "net2" && endpoint.member == "east")
        );
        assert_eq!(found[3].health, "Ready");
        assert_eq!(found[3].mtls, "No");
        let dual = &endpoints(&held, None, Some(&NetworkId::new("net1").unwrap()))[0];
        assert_eq!(dual.addresses, ["10.1.0.1", "fd00::1"]);
        assert_eq!(dual.locality, "r1/z1");
    }

    #[test]
    fn what_nobody_is_sent_to_says_why_and_what_depends_on_who_asks_does_not() {
        let gateways = samples::gateways();
        let said = Said {
            gateways: &gateways,
            members: &[],
        };
        let held = samples::service();
        let reasons = |service: &ServiceEndpoints| -> Vec<_> {
            let found = endpoints(service, None, None, &said);
            found.into_iter().map(|each| each.reason_code).collect()
        };
        // Neither plaintext nor a network without a gateway: its own network is sent there.
        assert_eq!(reasons(&held), ["", "not_ready", "", "", "", "", "draining", ""]);
        let net2 = NetworkId::new("net2").unwrap();
        let mut drained = held.clone();
        let port = &mut drained.ports[0];
        let standings = port.groups().keys().filter(|key| key.network == net2).map(|key| {
            let standing = GroupStanding {
                network: MemberWeight::DRAINED,
                ..GroupStanding::default()
            };
            (key.clone(), standing)
        });
        let standings = Standings {
            groups: standings.collect(),
            ..Standings::default()
        };
        *port = PortEndpoints::with_terms(port.port.clone(), port.groups().clone(), standings, None);
        assert_eq!(reasons(&drained)[2..6], ["network_drained"; 4]);
        let told = &endpoints(&drained, None, Some(&net2), &said)[0].reason;
        assert!(told.ends_with("in `networks` of the settings"), "{told}");
    }
}
