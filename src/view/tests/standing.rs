//! Members that count more, less, last or not at all.

use super::*;

/// With these members at this weight in percent and this rank.
fn standing(port: &PortEndpoints, standings: &[(&str, u16, Rank)]) -> PortEndpoints {
    with_standings(port, |key| {
        let said = standings.iter().find(|(name, ..)| key.member == member(name));
        let member = said.map(|(_, percent, rank)| MemberStanding {
            weight: MemberWeight::new(*percent).unwrap(),
            rank: *rank,
        });
        GroupStanding {
            member: member.unwrap_or_default(),
            ..GroupStanding::default()
        }
    })
}

#[test]
fn a_member_of_another_weight_has_its_exact_share() {
    let port = one_here_three_there();
    let gateways = gateways(vec![
        gateway("net2", "west", "192.0.2.2"),
        gateway("net2", "west", "192.0.2.3"),
    ]);
    for (percent, expected) in [
        (50, ["0: 10.1.0.1*4", "0: 192.0.2.2*3", "0: 192.0.2.3*3"]),
        (33, ["0: 10.1.0.1*200", "0: 192.0.2.2*99", "0: 192.0.2.3*99"]),
        (1000, ["0: 10.1.0.1*1", "0: 192.0.2.2*15", "0: 192.0.2.3*15"]),
    ] {
        let port = standing(&port, &[("west", percent, Rank::Normal)]);
        assert_eq!(
            ranked(&assign(&viewer("net1"), &port, &gateways)),
            expected,
            "{percent}"
        );
    }
}

#[test]
fn a_drained_member_gets_nothing_even_where_nothing_else_is_ready() {
    let mut draining = endpoint("10.1.0.1", "net1");
    draining.health = Health::Draining;
    let port = port(vec![("east", draining), ("west", endpoint("10.2.0.1", "net1"))]);
    let drained = standing(&port, &[("west", 0, Rank::Normal)]);
    let explanation = explain(&viewer("net1"), &drained, &GatewaySet::default());
    assert_eq!(reasons(&explanation), ["direct", "drained"]);
    assert_eq!(
        ranked(&explanation.assignment),
        ["0: 10.1.0.1*1"],
        "what is draining serves: nothing that counts is ready"
    );
    let both = standing(&port, &[("west", 0, Rank::Normal), ("east", 0, Rank::Last)]);
    assert_eq!(
        assign(&viewer("net1"), &both, &GatewaySet::default()),
        Assignment::default()
    );
}

#[test]
fn a_member_that_is_demoted_comes_last_and_one_that_is_dropped_not_at_all() {
    let port = port(vec![
        ("east", endpoint("10.1.0.1", "net1")),
        ("west", endpoint("10.2.0.1", "net1")),
        ("north", endpoint("10.3.0.1", "net2")),
    ]);
    // north has no gateway of its own: both of the network stand for it, one of them is west's.
    let gateways = gateways(vec![gateway("net2", "west", "192.0.2.2")]);
    let shown =
        |standings: &[(&str, u16, Rank)]| ranked(&assign(&viewer("net1"), &standing(&port, standings), &gateways));
    assert_eq!(
        shown(&[("east", 100, Rank::Last)]),
        ["0: 10.2.0.1*1", "0: 192.0.2.2*1", "1: 10.1.0.1*1"]
    );
    let all = ["east", "west", "north"].map(|name| (name, 100, Rank::Last));
    assert_eq!(
        shown(&all),
        ["0: 10.1.0.1*1", "0: 10.2.0.1*1", "0: 192.0.2.2*1"],
        "the last are the first where there is nothing else"
    );
    let explanation = explain(
        &viewer("net1"),
        &standing(&port, &[("east", 100, Rank::Out)]),
        &gateways,
    );
    assert_eq!(reasons(&explanation), ["member_stale", "direct", "via"]);
}

#[test]
fn what_comes_last_adds_nothing_to_a_gateway_that_is_served_first() {
    let port = port(vec![
        ("north", endpoint("10.3.0.1", "net2")),
        ("south", endpoint("10.4.0.1", "net2")),
    ]);
    let gateways = gateways(vec![gateway("net2", "west", "192.0.2.2")]);
    let port = standing(&port, &[("south", 100, Rank::Last)]);
    assert_eq!(ranked(&assign(&viewer("net1"), &port, &gateways)), ["0: 192.0.2.2*1"]);
}

#[test]
fn weights_of_member_network_and_service_multiply_and_each_drains_for_its_own_reason() {
    let port = port(vec![
        ("east", endpoint("10.1.0.1", "net1")),
        ("west", endpoint("10.2.0.1", "net2")),
        ("west", endpoint("10.1.0.9", "net1")),
    ]);
    let gateways = gateways(vec![gateway("net2", "west", "192.0.2.2")]);
    let seen = |member_is: u16, network_is: u16, service_is: u16| {
        let weight = |percent| MemberWeight::new(percent).unwrap();
        let of = |key: &GroupKey| GroupStanding {
            member: MemberStanding {
                weight: weight(if key.member == member("west") { member_is } else { 100 }),
                ..MemberStanding::default()
            },
            network: weight(if key.network == network("net2") {
                network_is
            } else {
                100
            }),
            service: weight(if key.member == member("west") { service_is } else { 100 }),
            ..GroupStanding::default()
        };
        explain(&viewer("net1"), &with_standings(&port, of), &gateways)
    };
    assert_eq!(
        ranked(&seen(50, 50, 20).assignment),
        ["0: 10.1.0.1*20", "0: 10.1.0.9*2", "0: 192.0.2.2*1"]
    );
    for (weights, expected) in [
        ((0, 100, 100), ["direct", "drained", "drained"]),
        ((100, 0, 100), ["direct", "direct", "network_drained"]),
        ((100, 100, 0), ["direct", "service_drained", "service_drained"]),
    ] {
        let (of_member, of_network, of_service) = weights;
        assert_eq!(reasons(&seen(of_member, of_network, of_service)), expected);
    }
}

#[test]
fn a_zone_is_drained_direct_and_behind_gateways_and_its_weight_multiplies() {
    let at = |address: &str, on: &str, region: &str, zone: &str| Endpoint {
        locality: Locality::new(region, zone, ""),
        ..endpoint(address, on)
    };
    let port = port(vec![
        ("east", at("10.1.0.1", "net1", "r1", "a")),
        ("east", at("10.1.0.2", "net1", "r1", "b")),
        ("west", at("10.2.0.1", "net2", "r2", "a")),
        ("west", at("10.2.0.2", "net2", "r2", "b")),
    ]);
    let gateways = gateways(vec![gateway("net2", "west", "192.0.2.2")]);
    let seen = |zones: &[(&str, &str, u16)]| explain(&viewer("net1"), &with_zones(&port, zones), &gateways);
    let told = seen(&[("r1", "a", 0), ("r2", "b", 0)]);
    assert_eq!(reasons(&told), ["zone_drained", "direct", "via", "zone_drained"]);
    assert_eq!(ranked(&told.assignment), ["0: 10.1.0.2*1", "0: 192.0.2.2*1"]);
    let Verdict::Withheld(reason) = &told.candidates[0].verdict else {
        panic!("{told:?}");
    };
    assert_eq!(
        reason.to_string(),
        "zone r1/a is drained: its weight is 0 in `zones` of the settings"
    );
    // A region, but one zone of it; and a gateway stands for each as much as it counts.
    let told = seen(&[("r1", "", 0), ("r1", "b", 50), ("r2", "b", 250)]);
    assert_eq!(reasons(&told), ["zone_drained", "direct", "via", "via"]);
    assert_eq!(ranked(&told.assignment), ["0: 10.1.0.2*1", "0: 192.0.2.2*7"]);
    let behind: Vec<_> = told.gateways[0]
        .parts
        .iter()
        .map(|part| (part.ready, told.counts(part.standing)))
        .collect();
    assert_eq!(behind, [(1, 2), (1, 5)]);
    // Of a whole network nothing is left: no gateway of it, and no member of it either.
    assert_eq!(
        ranked(&seen(&[("r2", "", 0)]).assignment),
        ["0: 10.1.0.1*1", "0: 10.1.0.2*1"]
    );
}

#[test]
fn what_is_draining_serves_where_all_that_is_ready_is_in_a_drained_zone() {
    let mut draining = endpoint("10.1.0.1", "net1");
    draining.health = Health::Draining;
    draining.locality = Locality::new("r", "z2", "");
    let port = port(vec![("east", draining), ("west", endpoint("10.1.0.2", "net1"))]);
    let told = |port: &PortEndpoints| reasons(&explain(&viewer("net1"), port, &GatewaySet::default()));
    assert_eq!(told(&port), ["draining", "direct"]);
    assert_eq!(told(&with_zones(&port, &[("r", "z1", 0)])), ["direct", "zone_drained"]);
}

#[test]
fn priorities_of_a_drained_zone_are_not_there() {
    let at = |address: &str, zone: &str| Endpoint {
        locality: Locality::new("r", zone, ""),
        ..endpoint(address, "net1")
    };
    let port = port(vec![("east", at("10.1.0.1", "a")), ("east", at("10.1.0.2", "b"))]);
    let port = with_terms(
        &port,
        ServiceTerms {
            preference: Preference::same_zone(),
            ..ServiceTerms::default()
        },
    );
    let mut viewer = viewer("net1");
    viewer.vantage.locality = Locality::new("r", "a", "");
    let seen = |port: &PortEndpoints| ranked(&assign(&viewer, port, &GatewaySet::default()));
    assert_eq!(seen(&port), ["0: 10.1.0.1*1", "1: 10.1.0.2*1"]);
    assert_eq!(seen(&with_zones(&port, &[("r", "a", 0)])), ["0: 10.1.0.2*1"]);
}
