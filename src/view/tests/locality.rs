//! Priorities by what is near, where a service asks for them.

use super::*;

fn at(address: &str, on: &str, region: &str, zone: &str) -> Endpoint {
    Endpoint {
        locality: Locality::new(region, zone, ""),
        ..endpoint(address, on)
    }
}

fn viewer_at(on: &str, region: &str, zone: &str) -> ViewKey {
    let mut key = viewer(on);
    key.vantage.locality = Locality::new(region, zone, "");
    key
}

fn preferring(port: &PortEndpoints, preference: Preference) -> PortEndpoints {
    let terms = ServiceTerms {
        preference,
        ..ServiceTerms::default()
    };
    with_terms(port, terms)
}

fn levels() -> Preference {
    Preference::by(
        vec![Shared::Region, Shared::Zone, Shared::Subzone],
        [("r1".into(), vec!["r3".into()])].into(),
    )
}

#[test]
fn the_nearest_is_first_and_no_number_is_left_out() {
    let port = port(vec![
        ("east", at("10.1.0.1", "net1", "r1", "a")),
        ("east", at("10.1.0.2", "net1", "r1", "b")),
        ("east", at("10.1.0.3", "net1", "r2", "c")),
        ("east", at("10.1.0.4", "net1", "r3", "d")),
    ]);
    let gateways = GatewaySet::default();
    let seen = |port: &PortEndpoints, region: &str, zone: &str| {
        ranked(&assign(&viewer_at("net1", region, zone), port, &gateways))
    };
    let all = ["0: 10.1.0.1*1", "0: 10.1.0.2*1", "0: 10.1.0.3*1", "0: 10.1.0.4*1"];
    assert_eq!(seen(&port, "r1", "a"), all, "nobody asks");
    let asking = preferring(&port, levels());
    assert_eq!(
        seen(&asking, "r1", "a"),
        ["0: 10.1.0.1*1", "1: 10.1.0.2*1", "2: 10.1.0.4*1", "3: 10.1.0.3*1"],
        "r3 before all others, as r1 has it"
    );
    assert_eq!(
        seen(&asking, "r2", "x"),
        ["0: 10.1.0.3*1", "1: 10.1.0.1*1", "1: 10.1.0.2*1", "1: 10.1.0.4*1"]
    );
    assert_eq!(seen(&asking, "", ""), all, "who is nowhere is near to nothing");
}

#[test]
fn a_gateway_stands_at_the_nearest_behind_it_with_the_weight_of_all() {
    let port = port(vec![
        ("east", at("10.1.0.1", "net1", "r1", "b")),
        ("west", at("10.2.0.1", "net2", "r1", "a")),
        ("west", at("10.2.0.2", "net2", "r2", "c")),
        ("west", at("10.2.0.3", "net2", "r2", "c")),
    ]);
    let gateways = gateways(vec![gateway("net2", "west", "192.0.2.2")]);
    let asking = preferring(&port, levels());
    let seen = assign(&viewer_at("net1", "r1", "a"), &asking, &gateways);
    assert_eq!(ranked(&seen), ["0: 192.0.2.2*3", "1: 10.1.0.1*1"]);
    assert_eq!(seen.localities[0].locality.zone(), "a", "where the nearest of it is");
    // PreferSameZone stays in its own network first.
    let asking = preferring(&port, Preference::same_zone());
    let seen = assign(&viewer_at("net1", "r1", "a"), &asking, &gateways);
    assert_eq!(ranked(&seen), ["0: 10.1.0.1*1", "1: 192.0.2.2*3"]);
}

#[test]
fn what_is_stale_comes_behind_the_farthest() {
    let port = port(vec![
        ("east", at("10.1.0.1", "net1", "r1", "a")),
        ("west", at("10.2.0.1", "net1", "r2", "c")),
    ]);
    let asking = with_standings(&preferring(&port, levels()), |key| GroupStanding {
        member: MemberStanding {
            rank: if key.member == member("east") {
                Rank::Last
            } else {
                Rank::Normal
            },
            ..MemberStanding::default()
        },
        ..GroupStanding::default()
    });
    let seen = assign(&viewer_at("net1", "r1", "a"), &asking, &GatewaySet::default());
    assert_eq!(ranked(&seen), ["0: 10.2.0.1*1", "1: 10.1.0.1*1"]);
}
