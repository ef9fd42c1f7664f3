//! Every Envoy version that is to be had, in both dialects, all at one control plane.

use super::control_plane::ControlPlane;
use super::envoys::{Envoys, WEB};
use super::harness::envoy_versions;
use super::manifests::{Members, Pod};

const A: &str = "10.1.0.1:8080*1@east/z1";
const B: &str = "10.1.0.2:8080*1@east/z1";

fn gateway(weight: u32) -> String {
    format!("192.0.2.2:15443*{weight}@west/z1")
}

#[tokio::test]
async fn every_version_in_both_dialects_goes_through_the_life_of_a_service() {
    let members = Members::new();
    members.place("east", "net1");
    members.place("west", "net2");
    members.gateway("west", "net2", "192.0.2.2");
    let mut control_plane = ControlPlane::on_members(members.path()).await;
    let versions = envoy_versions();
    let minors: Vec<_> = versions.iter().filter_map(|version| version.rsplit_once('.')).collect();
    assert!(minors.len() >= 5 && minors.is_sorted_by(|a, b| a.0 > b.0), "{minors:?}");
    let mut envoys = Envoys::start_versions(&control_plane, &versions, "east", "10.1.0.50").await;
    for (name, envoy) in envoys.each() {
        let version = envoy.version().await.expect("the admin interface answers");
        assert!(name.contains(&version), "{name} is {version}");
    }

    // Added while they run, scaled up, then behind a gateway too.
    members.web("east", &[Pod::new("a", "10.1.0.1")]);
    envoys.hold(&[A]).await;
    members.web("east", &[Pod::new("a", "10.1.0.1"), Pod::new("b", "10.1.0.2")]);
    envoys.hold(&[A, B]).await;
    let west = [Pod::new("a", "10.2.0.1"), Pod::new("b", "10.2.0.2")];
    members.web("west", &west);
    envoys.hold(&[A, B, &gateway(2)]).await;
    members.web("west", &west[..1]);
    envoys.hold(&[A, B, &gateway(1)]).await;

    // The gateway goes and comes back; then nothing is left at home, and then nowhere.
    members.remove("west", "gateway.yaml");
    envoys.hold(&[A, B]).await;
    members.gateway("west", "net2", "192.0.2.2");
    members.web("east", &[]);
    envoys.hold(&[&gateway(1)]).await;
    members.web("west", &[]);
    envoys.hold(&[]).await;

    // Removed, and there again as if nothing had been.
    members.remove("east", "web.yaml");
    members.remove("west", "web.yaml");
    envoys.wait("web to be gone", |held| !held.contains_key(WEB)).await;
    members.web("east", &[Pod::new("b", "10.1.0.2")]);
    envoys.hold(&[B]).await;
    envoys.are_content().await;

    // Seen from here: all in sync, none refused anything.
    let proxies = control_plane.json(&["get", "proxies"]);
    let proxies = proxies["proxies"].as_array().expect("a list");
    assert_eq!(proxies.len(), 2 * versions.len());
    assert_eq!(control_plane.metric("parallax_xds_nacks_total").await, 0.0);
}
