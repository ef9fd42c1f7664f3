//! The split horizon by tables and by properties.

mod export;
mod locality;
mod properties;
mod standing;

use std::net::{IpAddr, SocketAddr};

use super::*;
use crate::model::*;

fn network(name: &str) -> NetworkId {
    NetworkId::new(name).unwrap()
}

fn member(name: &str) -> ClusterId {
    ClusterId::new(name).unwrap()
}

fn viewer(name: &str) -> ViewKey {
    ViewKey::endpoints(network(name), AddressFamilies::V4)
}

fn endpoint(address: &str, on: &str) -> Endpoint {
    Endpoint {
        addresses: address.parse::<IpAddr>().unwrap().into(),
        port: 8080,
        health: Health::Ready,
        mtls: Mtls::Yes,
        network: network(on),
        locality: Locality::new("r", "z1", ""),
        weight: 1,
        pod: Some((&ObjectName::new("shop", "web-1")).into()),
    }
}

fn port(endpoints: Vec<(&str, Endpoint)>) -> PortEndpoints {
    let port = ServicePort {
        number: 80,
        name: "http".into(),
        app_protocol: "".into(),
    };
    PortEndpoints::from_endpoints(
        port,
        endpoints.into_iter().map(|(name, endpoint)| (member(name), endpoint)),
    )
}

fn gateway(on: &str, of: &str, address: &str) -> NetworkGateway {
    NetworkGateway {
        network: network(on),
        member: Some(member(of)),
        address: address.parse().unwrap(),
        port: 15443,
    }
}

fn gateways(list: Vec<NetworkGateway>) -> GatewaySet {
    GatewaySet::new(list, Vec::new())
}

/// With what each group counts.
fn with_standings(port: &PortEndpoints, of: impl Fn(&GroupKey) -> GroupStanding) -> PortEndpoints {
    let standings = port.groups().keys().map(|key| (key.clone(), of(key)));
    let terms = port.terms().cloned().map(std::sync::Arc::new);
    let standings = Standings {
        groups: standings.collect(),
        ..Standings::default()
    };
    PortEndpoints::with_terms(port.port.clone(), port.groups().clone(), standings, terms)
}

/// With what each zone counts: `(region, zone, percent)`.
fn with_zones(port: &PortEndpoints, said: &[(&str, &str, u16)]) -> PortEndpoints {
    let said = said.iter().map(|(region, zone, percent)| ZoneWeight {
        zone: Locality::new(region, zone, ""),
        weight: MemberWeight::new(*percent).unwrap(),
    });
    let said: ZoneWeights = said.collect();
    let endpoints = port.groups().values().flat_map(|group| group.endpoints());
    let zones = endpoints.filter_map(|each| Some((each.locality.clone(), said.of(&each.locality)?.clone())));
    let standings = Standings {
        zones: zones.collect(),
        groups: standings_of(port),
    };
    let terms = port.terms().cloned().map(std::sync::Arc::new);
    PortEndpoints::with_terms(port.port.clone(), port.groups().clone(), standings, terms)
}

fn standings_of(port: &PortEndpoints) -> std::collections::BTreeMap<GroupKey, GroupStanding> {
    let standings = port.groups().keys().map(|key| (key.clone(), port.standing(key)));
    standings.collect()
}

/// On these terms.
fn with_terms(port: &PortEndpoints, terms: ServiceTerms) -> PortEndpoints {
    let standings = Standings {
        groups: standings_of(port),
        ..Standings::default()
    };
    PortEndpoints::with_terms(
        port.port.clone(),
        port.groups().clone(),
        standings,
        Some(std::sync::Arc::new(terms)),
    )
}

/// The same with the priority before each.
fn ranked(assignment: &Assignment) -> Vec<String> {
    let groups = assignment.localities.iter();
    let entries = groups.flat_map(|group| group.endpoints.iter().map(|endpoint| (group.priority, endpoint)));
    entries
        .map(|(priority, endpoint)| format!("{priority}: {}*{}", endpoint.address, endpoint.weight))
        .collect()
}

/// The assignment as `address:port*weight`, by locality.
fn shown(assignment: &Assignment) -> Vec<String> {
    let entries = assignment.iter().map(|(_, endpoint)| {
        format!(
            "{}*{}",
            SocketAddr::new(endpoint.address, endpoint.port),
            endpoint.weight
        )
    });
    entries.collect()
}

/// An endpoint on net1, and three on net2.
fn one_here_three_there() -> PortEndpoints {
    port(vec![
        ("east", endpoint("10.1.0.1", "net1")),
        ("west", endpoint("10.2.0.1", "net2")),
        ("west", endpoint("10.2.0.2", "net2")),
        ("west", endpoint("10.2.0.3", "net2")),
    ])
}

fn reasons(explanation: &Explanation) -> Vec<&'static str> {
    let verdicts = explanation.candidates.iter().map(|candidate| match &candidate.verdict {
        Verdict::Direct(_) => "direct",
        Verdict::Via(_) => "via",
        Verdict::Withheld(reason) => reason.code(),
    });
    verdicts.collect()
}

#[test]
fn the_same_service_from_two_networks() {
    let port = one_here_three_there();
    let gateways = gateways(vec![
        gateway("net1", "east", "192.0.2.1"),
        gateway("net2", "west", "192.0.2.2"),
    ]);
    assert_eq!(
        shown(&assign(&viewer("net1"), &port, &gateways)),
        ["10.1.0.1:8080*1", "192.0.2.2:15443*3"]
    );
    assert_eq!(
        shown(&assign(&viewer("net2"), &port, &gateways)),
        [
            "10.2.0.1:8080*1",
            "10.2.0.2:8080*1",
            "10.2.0.3:8080*1",
            "192.0.2.1:15443*1"
        ]
    );
}

#[test]
fn without_a_gateway_the_endpoints_are_withheld_and_it_says_so() {
    let port = port(vec![
        ("east", endpoint("10.1.0.1", "net1")),
        ("west", endpoint("10.2.0.1", "net2")),
    ]);
    let explanation = explain(&viewer("net1"), &port, &GatewaySet::default());
    assert_eq!(reasons(&explanation), ["direct", "no_gateway"]);
    assert_eq!(shown(&explanation.assignment), ["10.1.0.1:8080*1"]);
}

#[test]
fn two_gateways_split_without_a_rest_and_a_gateway_elsewhere_changes_nothing() {
    let port = one_here_three_there();
    let mut list = vec![
        gateway("net2", "west", "192.0.2.2"),
        gateway("net2", "west", "192.0.2.3"),
    ];
    let expected = ["10.1.0.1:8080*2", "192.0.2.2:15443*3", "192.0.2.3:15443*3"];
    assert_eq!(
        shown(&assign(&viewer("net1"), &port, &gateways(list.clone()))),
        expected
    );
    for last in 1..=7 {
        list.push(gateway("net9", "south", &format!("192.0.2.10{last}")));
    }
    assert_eq!(shown(&assign(&viewer("net1"), &port, &gateways(list))), expected);
}

#[test]
fn a_members_own_gateways_come_first_and_the_networks_stand_in() {
    let port = port(vec![
        ("west", endpoint("10.2.0.1", "net2")),
        ("north", endpoint("10.2.0.9", "net2")),
    ]);
    let own = gateways(vec![
        gateway("net2", "west", "192.0.2.2"),
        gateway("net2", "south", "192.0.2.3"),
    ]);
    // west has its own; north has none and is split over both of the network.
    let explanation = explain(&viewer("net1"), &port, &own);
    assert_eq!(
        shown(&explanation.assignment),
        ["192.0.2.2:15443*3", "192.0.2.3:15443*1"]
    );
    assert_eq!(explanation.scale, 2);
    let parts: Vec<_> = explanation.gateways[0]
        .parts
        .iter()
        .map(|part| (part.ready, part.ways))
        .collect();
    assert_eq!(parts, [(1, 2), (1, 1)], "north's half and west's whole");
}

#[test]
fn a_gateway_stands_once_for_all_zones_behind_it() {
    let mut far = endpoint("10.2.0.2", "net2");
    far.locality = Locality::new("r", "z2", "");
    let mut farther = endpoint("10.2.0.3", "net2");
    farther.locality = Locality::new("r", "z2", "");
    let port = port(vec![
        ("west", endpoint("10.2.0.1", "net2")),
        ("west", far),
        ("west", farther),
    ]);
    let assignment = assign(
        &viewer("net1"),
        &port,
        &gateways(vec![gateway("net2", "west", "192.0.2.2")]),
    );
    assert_eq!(shown(&assignment), ["192.0.2.2:15443*3"]);
    assert_eq!(assignment.localities[0].locality.zone(), "z2", "where most of it is");
}

#[test]
fn not_ready_plaintext_and_unknown_pods_have_no_weight_behind_a_gateway() {
    let with = |change: fn(&mut Endpoint), address| {
        let mut endpoint = endpoint(address, "net2");
        change(&mut endpoint);
        ("west", endpoint)
    };
    let port = port(vec![
        ("west", endpoint("10.2.0.1", "net2")),
        with(|endpoint| endpoint.health = Health::NotReady, "10.2.0.2"),
        with(|endpoint| endpoint.mtls = Mtls::No, "10.2.0.3"),
        with(|endpoint| endpoint.mtls = Mtls::PodUnknown, "10.2.0.4"),
        with(|endpoint| endpoint.health = Health::Draining, "10.2.0.5"),
    ]);
    let gateways = gateways(vec![gateway("net2", "west", "192.0.2.2")]);
    let abroad = explain(&viewer("net1"), &port, &gateways);
    assert_eq!(
        reasons(&abroad),
        ["via", "not_ready", "plaintext", "pod_unknown", "draining"]
    );
    assert_eq!(shown(&abroad.assignment), ["192.0.2.2:15443*1"]);
    let home = explain(&viewer("net2"), &port, &gateways);
    assert_eq!(
        reasons(&home),
        ["direct", "not_ready", "direct", "direct", "draining"],
        "plaintext is fine at home"
    );
}

#[test]
fn draining_endpoints_serve_where_nothing_is_ready() {
    let mut draining = endpoint("10.2.0.1", "net2");
    draining.health = Health::Draining;
    let mut dead = endpoint("10.1.0.1", "net1");
    dead.health = Health::NotReady;
    let port = port(vec![("west", draining), ("east", dead)]);
    let gateways = gateways(vec![gateway("net2", "west", "192.0.2.2")]);
    assert_eq!(shown(&assign(&viewer("net1"), &port, &gateways)), ["192.0.2.2:15443*1"]);
    assert_eq!(shown(&assign(&viewer("net2"), &port, &gateways)), ["10.2.0.1:8080*1"]);
}

#[test]
fn each_viewer_gets_the_families_it_can_use() {
    let mut dual = endpoint("10.1.0.1", "net1");
    dual.addresses = dual.addresses.with("fd00::1".parse().unwrap());
    let port = port(vec![("east", dual), ("west", endpoint("10.2.0.1", "net2"))]);
    let gateways = gateways(vec![gateway("net2", "west", "192.0.2.2")]);
    let v6 = ViewKey::endpoints(network("net1"), AddressFamilies::V6);
    let explanation = explain(&v6, &port, &gateways);
    assert_eq!(shown(&explanation.assignment), ["[fd00::1]:8080*1"]);
    assert_eq!(reasons(&explanation), ["direct", "no_gateway_of_family"]);
    let both = ViewKey::endpoints(network("net1"), AddressFamilies::Dual);
    assert_eq!(
        shown(&assign(&both, &port, &gateways)),
        ["10.1.0.1:8080*1", "192.0.2.2:15443*1"]
    );
}

#[test]
fn endpoints_that_share_an_address_are_one_with_their_sum() {
    let port = port(vec![
        ("east", endpoint("10.1.0.1", "net1")),
        ("west", endpoint("10.1.0.1", "net1")),
    ]);
    assert_eq!(
        shown(&assign(&viewer("net1"), &port, &GatewaySet::default())),
        ["10.1.0.1:8080*2"]
    );
}
