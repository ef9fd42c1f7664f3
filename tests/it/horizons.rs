//! One service from two networks, in real Envoys of two versions and both dialects, while things happen to it.

use super::control_plane::ControlPlane;
use super::envoys::{Envoys, WEB};
use super::manifests::{Members, Pod};

const EAST_1: &str = "10.1.0.1:8080*1@east/z1";
const EAST_2: &str = "10.1.0.2:8080*1@east/z1";
const WEST_1: &str = "10.2.0.1:8080*1@west/z1";
const WEST_2: &str = "10.2.0.2:8080*1@west/z1";

fn east_pods() -> Vec<Pod> {
    vec![Pod::new("a", "10.1.0.1"), Pod::new("b", "10.1.0.2")]
}

fn two_networks() -> Members {
    let members = Members::new();
    members.place("east", "net1");
    members.place("west", "net2");
    members.web("east", &east_pods());
    members.web("west", &[Pod::new("a", "10.2.0.1")]);
    members.gateway("east", "net1", "192.0.2.1");
    members.gateway("west", "net2", "192.0.2.2");
    members
}

#[tokio::test]
async fn each_envoy_holds_the_service_as_its_network_sees_it() {
    let members = two_networks();
    let control_plane = ControlPlane::on_members(members.path()).await;
    let mut east = Envoys::start(&control_plane, "east", "10.1.0.50").await;
    let mut west = Envoys::start(&control_plane, "west", "10.2.0.50").await;
    let gateway_1 = |weight| format!("192.0.2.1:15443*{weight}@east/z1");
    let gateway_2 = |weight| format!("192.0.2.2:15443*{weight}@west/z1");
    east.hold(&[EAST_1, EAST_2, &gateway_2(1)]).await;
    west.hold(&[WEST_1, &gateway_1(2)]).await;

    // Scale up behind the gateway.
    let three = || {
        vec![
            Pod::new("a", "10.2.0.1"),
            Pod::new("b", "10.2.0.2"),
            Pod::new("c", "10.2.0.3"),
        ]
    };
    members.web("west", &three());
    east.hold(&[EAST_1, EAST_2, &gateway_2(3)]).await;
    west.hold(&[WEST_1, WEST_2, "10.2.0.3:8080*1@west/z1", &gateway_1(2)])
        .await;

    // One becomes unready, one turns out to speak plaintext: home keeps the latter, abroad loses both.
    let [a, b, c] = <[Pod; 3]>::try_from(three()).expect("three pods");
    members.web("west", &[a, b.plaintext(), c.unready()]);
    east.hold(&[EAST_1, EAST_2, &gateway_2(1)]).await;
    west.hold(&[WEST_1, WEST_2, &gateway_1(2)]).await;
    let why = control_plane.say(&["explain", "web.shop", "--network", "net1"]);
    assert!(why.contains("not ready") && why.contains("mutual TLS"), "{why}");

    // The gateway goes: withheld, never the foreign pod's address; and comes back.
    members.remove("west", "gateway.yaml");
    east.hold(&[EAST_1, EAST_2]).await;
    let why = control_plane.say(&["explain", "web.shop", "--network", "net1"]);
    assert!(why.contains("network net2 has no usable gateway"), "{why}");
    members.gateway("west", "net2", "192.0.2.2");
    east.hold(&[EAST_1, EAST_2, &gateway_2(1)]).await;

    // Nothing left at home: an Envoy with an empty list, and everything over the gateway abroad.
    members.web("east", &[]);
    east.hold(&[&gateway_2(1)]).await;
    west.hold(&[WEST_1, WEST_2]).await;
    members.web("west", &[]);
    east.hold(&[]).await;
    west.hold(&[]).await;

    // The service goes, and its cluster with it; then it comes back.
    members.remove("east", "web.yaml");
    members.remove("west", "web.yaml");
    for envoys in [&mut east, &mut west] {
        envoys.wait("web to be gone", |held| !held.contains_key(WEB)).await;
    }
    members.web("east", &east_pods());
    east.hold(&[EAST_1, EAST_2]).await;
    west.hold(&[&gateway_1(2)]).await;
    east.are_content().await;
    west.are_content().await;

    // All eight are seen by those who look in, in sync.
    let proxies = control_plane.json(&["get", "proxies"]);
    assert_eq!(proxies["proxies"].as_array().map(Vec::len), Some(8), "{proxies:#}");
}

#[tokio::test]
async fn two_members_of_one_network_reach_each_other_directly() {
    let members = Members::new();
    for (member, address) in [("east", "10.1.0.1"), ("west", "10.2.0.1")] {
        members.place(member, "flat");
        members.web(member, &[Pod::new("a", address)]);
    }
    let control_plane = ControlPlane::on_members(members.path()).await;
    let mut east = Envoys::start(&control_plane, "east", "10.1.0.50").await;
    east.hold(&[EAST_1, WEST_1]).await;

    // A member joins while traffic runs, and its network changes under the proxies' feet.
    members.place("north", "flat");
    members.web("north", &[Pod::new("a", "10.3.0.1")]);
    east.hold(&[EAST_1, WEST_1, "10.3.0.1:8080*1@north/z1"]).await;
    members.place("north", "island");
    east.hold(&[EAST_1, WEST_1]).await;
    members.place("east", "island");
    east.hold(&[EAST_1, "10.3.0.1:8080*1@north/z1"]).await;
    east.are_content().await;
}
