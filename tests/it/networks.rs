//! Networks that change while all runs: the label of a member's system namespace, and the settings file; seen in real Envoys.

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::control_plane::ControlPlane;
use super::envoys::Envoys;
use super::harness::{Kubernetes, Member};
use super::kubernetes::{furnish, run_pod};

const EAST: &str = "10.1.0.1:8080*1@net1/z1";
const WEST: &str = "10.2.0.1:8080*1@net2/z1";

fn gateway(address: &str) -> String {
    format!("{address}:15443*1@net2/z1")
}

fn members(members: &[(&str, &Member)]) -> String {
    let mut settings = "members:\n".to_owned();
    for (name, member) in members {
        settings += &format!(
            "  - name: {name}\n    kubeconfig: {}\n",
            member.kubeconfig_path().display()
        );
    }
    settings
}

#[tokio::test]
async fn what_places_endpoints_and_proxies_changes_while_all_runs() {
    let (_kubernetes, east, west) = Kubernetes::start_two(["east", "west"])
        .await
        .expect("etcd and API servers start");
    let east_client = furnish(&east, "net1", "192.0.2.1").await;
    let west_client = furnish(&west, "net2", "192.0.2.2").await;
    run_pod(&east_client, "web-1", "10.1.0.1", true).await;
    run_pod(&west_client, "web-1", "10.2.0.1", true).await;
    let both = members(&[("east", &east), ("west", &west)]);
    let mut control_plane = ControlPlane::on_settings(&both);
    control_plane.ready().await;
    let mut envoys = Envoys::start(&control_plane, "east", "10.1.0.50").await;
    envoys.hold(&[EAST, &gateway("192.0.2.2")]).await;

    // The label of the system namespace: the members share a network now, and don't again.
    let label = async |network: &str| {
        let namespaces: Api<Namespace> = Api::all(west_client.clone());
        let change = json!({"metadata": {"labels": {"topology.istio.io/network": network}}});
        namespaces
            .patch("istio-system", &PatchParams::default(), &Patch::Merge(change))
            .await
            .expect("it is taken");
    };
    label("net1").await;
    envoys.hold(&[EAST, WEST]).await;
    label("net2").await;
    envoys.hold(&[EAST, &gateway("192.0.2.2")]).await;

    // A range of the settings: west's pods are on net1 with those in east, then on a network that has no gateway.
    let mut settings = |networks: &str| control_plane.change_settings(&format!("{both}{networks}"));
    settings("networks: {net1: {cidrs: [10.2.0.0/16]}}\n");
    envoys.hold(&[EAST, WEST]).await;
    settings("networks: {net1: {cidrs: [10.2.0.0/16]}, net3: {cidrs: [10.2.0.0/24]}}\n");
    envoys.hold(&[EAST]).await;
    // And that one gets one, by address; then the proxies themselves are there too.
    settings("networks: {net3: {cidrs: [10.2.0.0/24], gateways: [{address: 203.0.113.3}]}}\n");
    envoys.hold(&[EAST, &gateway("203.0.113.3")]).await;
    settings(
        "networks: {net3: {cidrs: [10.2.0.0/24, 10.1.0.50/32, 10.1.0.1/32], gateways: [{address: 203.0.113.3}]}}\n",
    );
    envoys.hold(&[EAST, WEST]).await;
    assert!(control_plane.say(&["get", "proxies"]).contains("net3"));

    // A mistake leaves all as it was, and is shown; what needs a restart is named.
    control_plane.change_settings(&format!("{both}networks: {{net1: {{cidrs: [10.2.0.1/16]}}}}\n"));
    let said = control_plane.says(&["get", "settings"], "refused").await;
    assert!(said.contains("write 10.2.0.0/16"), "{said}");
    assert!(control_plane.metric("parallax_settings_mistakes").await > 0.5);
    envoys.hold(&[EAST, WEST]).await;
    control_plane.change_settings(&format!("{both}log: {{level: debug}}\n"));
    control_plane
        .says(&["get", "settings"], "Takes effect with a restart: log")
        .await;
    envoys.hold(&[EAST, &gateway("192.0.2.2")]).await;

    // A member leaves, and joins again.
    control_plane.change_settings(&members(&[("east", &east)]));
    envoys.hold(&[EAST]).await;
    assert!(!control_plane.say(&["get", "members"]).contains("west"));
    control_plane.change_settings(&both);
    envoys.hold(&[EAST, &gateway("192.0.2.2")]).await;
    let generation = control_plane.json(&["get", "settings"])["generation"].clone();
    assert_eq!(
        generation.to_string().trim_matches('"'),
        "8",
        "each change that took effect counts"
    );

    // Where nothing places a member, the mesh does, and anew when that changes.
    let namespaces: Api<Namespace> = Api::all(west_client.clone());
    let change = json!({"metadata": {"labels": {"topology.istio.io/network": null}}});
    namespaces
        .patch("istio-system", &PatchParams::default(), &Patch::Merge(change))
        .await
        .expect("it is taken");
    for (network, expected) in [
        ("net1", WEST.to_owned()),
        ("net2", gateway("192.0.2.2")),
        ("net1", WEST.to_owned()),
    ] {
        control_plane.change_settings(&format!("mesh: {{defaultNetwork: {network}}}\n{both}"));
        envoys.hold(&[EAST, &expected]).await;
    }
    envoys.are_content().await;
}
