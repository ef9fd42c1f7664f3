//! Who sees what a member does not show to all.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;

fn viewer_in(on: &str, of: &str, namespace: &str) -> ViewKey {
    let mut key = viewer(on);
    key.vantage.member = Some(member(of));
    key.vantage.namespace = namespace.into();
    key
}

fn shown_to(port: &PortEndpoints, of: &str, audience: Audience) -> PortEndpoints {
    let terms = ServiceTerms {
        audiences: [(member(of), audience)].into(),
        ..ServiceTerms::default()
    };
    with_terms(port, terms)
}

fn namespaces(names: &[&str]) -> Audience {
    let names: BTreeSet<Arc<str>> = names.iter().map(|name| (*name).into()).collect();
    Audience {
        namespaces: Some(Arc::new(names)),
        ..Audience::default()
    }
}

fn everywhere() -> (PortEndpoints, GatewaySet) {
    let port = port(vec![
        ("east", endpoint("10.1.0.1", "net1")),
        ("west", endpoint("10.1.0.9", "net1")),
        ("west", endpoint("10.2.0.1", "net2")),
    ]);
    let gateways = gateways(vec![
        gateway("net1", "east", "192.0.2.1"),
        gateway("net2", "west", "192.0.2.2"),
    ]);
    (port, gateways)
}

#[test]
fn what_is_local_to_its_member_is_for_that_member_and_passes_no_gateway() {
    let (port, gateways) = everywhere();
    let local = Audience {
        reach: Reach::Member,
        ..Audience::default()
    };
    let port = shown_to(&port, "west", local);
    let seen = |key: &ViewKey| reasons(&explain(key, &port, &gateways));
    assert_eq!(
        seen(&viewer_in("net1", "east", "shop")),
        ["direct", "cluster_local", "cluster_local"]
    );
    assert_eq!(
        seen(&viewer_in("net1", "west", "shop")),
        ["direct", "direct", "cluster_local"]
    );
    assert_eq!(
        seen(&viewer("net1")),
        ["direct", "cluster_local", "cluster_local"],
        "nobody knows who that is"
    );
    let mut at_gateway = viewer_in("net1", "west", "istio-system");
    at_gateway.role = Role::Gateway;
    assert_eq!(
        seen(&at_gateway),
        ["direct", "cluster_local", "other_network"].map(|reason| match reason {
            "other_network" => "cluster_local",
            other => other,
        })
    );
}

#[test]
fn what_is_exported_to_some_is_seen_by_these_and_carried_for_them() {
    let (port, gateways) = everywhere();
    let some = shown_to(&port, "west", namespaces(&["shop"]));
    let none = shown_to(&port, "west", namespaces(&[]));
    let seen = |port: &PortEndpoints, key: &ViewKey| reasons(&explain(key, port, &gateways));
    assert_eq!(
        seen(&some, &viewer_in("net1", "east", "shop")),
        ["direct", "direct", "via"]
    );
    assert_eq!(
        seen(&some, &viewer_in("net1", "east", "other")),
        ["direct", "not_exported", "not_exported"]
    );
    assert_eq!(
        seen(&none, &viewer_in("net1", "west", "shop")),
        ["direct", "not_exported", "not_exported"]
    );
    // A gateway can't tell who is behind a connection.
    let gateway = ViewKey {
        role: Role::Gateway,
        ..viewer_in("net2", "west", "istio-system")
    };
    assert_eq!(seen(&some, &gateway), ["other_network", "other_network", "direct"]);
    assert_eq!(seen(&none, &gateway), ["other_network", "not_exported", "not_exported"]);
    let of_west = |port: &PortEndpoints| port.groups().keys().any(|group| is_carried(&gateway, port, group));
    assert!(of_west(&some) && !of_west(&none));
}

#[test]
fn a_host_with_a_star_passes_no_gateway() {
    let (port, gateways) = everywhere();
    let terms = ServiceTerms {
        naming: Naming::Star,
        ..ServiceTerms::default()
    };
    let port = with_terms(&port, terms);
    let seen = |key: &ViewKey| reasons(&explain(key, &port, &gateways));
    assert_eq!(seen(&viewer("net1")), ["direct", "direct", "star_host"]);
    assert_eq!(seen(&viewer("net2")), ["star_host", "star_host", "direct"]);
    assert_eq!(shown(&assign(&viewer("net2"), &port, &gateways)), ["10.2.0.1:8080*1"]);
    let gateway = ViewKey {
        role: Role::Gateway,
        ..viewer("net2")
    };
    assert_eq!(seen(&gateway), ["star_host"; 3]);
    let carries = port.groups().keys().any(|group| is_carried(&gateway, &port, group));
    assert!(!carries, "it needs no cluster there");
}
