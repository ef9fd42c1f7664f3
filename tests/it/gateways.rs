//! Gateways with host names and on Nodes, on real API servers, seen in real Envoys.

use k8s_openapi::api::core::v1::{Node, Service};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::control_plane::ControlPlane;
use super::envoys::{DEADLINE, Envoys};
use super::harness::{DnsAnswer, DnsServer, Fault, Kubernetes, envoy_versions, eventually, seconds};
use super::kubernetes::{create, furnish, run_pod};
use super::outages::watch;

const EAST: &str = "10.1.0.1:8080*1@net1/z1";
const NAME: &str = "gateway.west.example";

fn west(address: &str) -> String {
    format!("{address}*1@net2/z1")
}

async fn change_gateway(client: &Client, part: &str, change: Value) {
    let gateways: Api<Service> = Api::namespaced(client.clone(), "istio-system");
    let (params, change) = (PatchParams::default(), Patch::Merge(change));
    let changed = match part {
        "status" => gateways.patch_status("eastwest", &params, &change).await,
        _ => gateways.patch("eastwest", &params, &change).await,
    };
    changed.expect("the change is taken");
}

async fn run_node(client: &Client, name: &str, addresses: Value) {
    let nodes: Api<Node> = Api::all(client.clone());
    create(&nodes, json!({"metadata": {"name": name, "labels": {"role": "edge"}}})).await;
    report_node(client, name, addresses, "True").await;
}

async fn report_node(client: &Client, name: &str, addresses: Value, ready: &str) {
    let nodes: Api<Node> = Api::all(client.clone());
    let report = json!({"status": {
        "addresses": addresses,
        "conditions": [{"type": "Ready", "status": ready}],
    }});
    nodes
        .patch_status(name, &PatchParams::default(), &Patch::Merge(report))
        .await
        .expect("the report is taken");
}

#[tokio::test]
async fn envoys_follow_a_gateways_host_name_and_its_nodes() {
    let dns = DnsServer::start().await.expect("it starts");
    dns.leads_to(NAME, &["192.0.2.2"]);
    let (_kubernetes, east, west_member) = Kubernetes::start_two(["east", "west"])
        .await
        .expect("etcd and API servers start");
    let east_client = furnish(&east, "net1", "192.0.2.1").await;
    let west_client = furnish(&west_member, "net2", "198.51.100.1").await;
    let ingress = json!([{"hostname": NAME}]);
    change_gateway(
        &west_client,
        "status",
        json!({"status": {"loadBalancer": {"ingress": ingress}}}),
    )
    .await;
    run_pod(&east_client, "web-1", "10.1.0.1", true).await;
    run_pod(&west_client, "web-1", "10.2.0.1", true).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut settings = format!(
        "dns: {{servers: ['{}']}}\nstore: {{path: {}}}\nmembers:\n",
        dns.address(),
        folder.path().join("known.redb").display()
    );
    for (name, member) in [("east", &east), ("west", &west_member)] {
        settings += &format!(
            "  - name: {name}\n    kubeconfig: {}\n",
            member.kubeconfig_path().display()
        );
    }
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    let mut envoys = Envoys::start(&control_plane, "east", "10.1.0.50").await;
    envoys.hold(&[EAST, &west("192.0.2.2:15443")]).await;

    // The load balancer moves; IPv6 that comes with it is none of a proxy that has IPv4 only.
    dns.leads_to(NAME, &["192.0.2.9", "2001:db8::9"]);
    envoys.hold(&[EAST, &west("192.0.2.9:15443")]).await;
    let said = control_plane.says(&["get", "networks"], "[2001:db8::9]:15443").await;
    assert!(
        said.contains(NAME) && said.contains("service istio-system/eastwest"),
        "{said}"
    );
    let explained = control_plane.say(&["explain", "web.shop", "--network", "net1", "--families", "v4"]);
    assert!(explained.contains(NAME), "{explained}");
    // A proxy that has IPv6 only gets just that, and none of the pods with IPv4; one that has both gets both, for half each.
    let newest = &envoy_versions()[..1];
    let mut six = Envoys::start_versions(&control_plane, newest, "east", "fd00:1::50").await;
    six.hold(&[&west("2001:db8::9:15443")]).await;
    six.are_content().await;
    drop(six);
    let mut both = Envoys::start_versions(&control_plane, newest, "east", "10.1.0.52,fd00:1::52").await;
    both.hold(&[
        "10.1.0.1:8080*2@net1/z1",
        &west("192.0.2.9:15443"),
        &west("2001:db8::9:15443"),
    ])
    .await;
    both.are_content().await;
    drop(both);

    let watched = watch(Fault::DnsGone, &mut envoys).await;
    let begun = Instant::now();
    let mut noticed = None;
    // The server fails, says that there is no such name, falls silent: what is known stays, and is shown.
    for (answer, shown) in [
        (DnsAnswer::Failure, "the DNS server says"),
        (DnsAnswer::NoSuchName, "NXDOMAIN"),
        (DnsAnswer::Silence, "don't answer"),
    ] {
        dns.say(NAME, answer);
        control_plane.says(&["get", "networks"], shown).await;
        noticed.get_or_insert(begun.elapsed());
        envoys.hold(&[EAST, &west("192.0.2.9:15443")]).await;
        assert!(control_plane.metric("parallax_gateway_host_failing").await > 0.5);
    }

    // A restart while the server is silent: what is known stays for those who come now too, with its age.
    control_plane
        .says_metric("parallax_store_waiting", |waiting| waiting == 0.0)
        .await;
    let mut control_plane = control_plane.again();
    control_plane.ready().await;
    let mut newcomers = Envoys::start(&control_plane, "east", "10.1.0.51").await;
    newcomers.hold(&[EAST, &west("192.0.2.9:15443")]).await;
    newcomers.are_content().await;
    drop(newcomers);
    control_plane.says(&["get", "networks"], "don't answer").await;
    let resolved = control_plane
        .metric("parallax_gateway_host_resolved_timestamp_seconds")
        .await;
    assert!(resolved > 1.0, "the age of the answer from before is lost: {resolved}");
    envoys.hold(&[EAST, &west("192.0.2.9:15443")]).await;

    let seen = watched.end().await.expect("the Envoys answer");
    assert!(seen.nothing(), "{seen:#?}");
    dns.leads_to(NAME, &["192.0.2.10"]);
    let begun = Instant::now();
    envoys.hold(&[EAST, &west("192.0.2.10:15443")]).await;
    let noticed = format!("{}, with since when", seconds(noticed.unwrap_or_default()));
    let over = format!("the new address is there after {}", seconds(begun.elapsed()));
    seen.record(&noticed, &over).expect("it can be written");
    let asked = dns.asked(NAME);
    assert!(asked < 200, "asked {asked} times");

    // The same Service on Nodes: those that it chooses, at the port that the API server gave it.
    let spec = json!({
        "metadata": {"annotations": {"traffic.istio.io/nodeSelector": "{\"role\": \"edge\"}"}},
        "spec": {"type": "NodePort", "ports": [{"name": "tls", "port": 15443, "nodePort": 31443}]},
    });
    change_gateway(&west_client, "spec", spec).await;
    change_gateway(&west_client, "status", json!({"status": {"loadBalancer": null}})).await;
    control_plane
        .says(&["get", "networks"], "no Node that its annotation")
        .await;
    envoys.hold(&[EAST]).await;
    let external = |address: &str| json!([{"type": "InternalIP", "address": "10.99.0.1"}, {"type": "ExternalIP", "address": address}]);
    run_node(&west_client, "edge-1", external("203.0.113.1")).await;
    envoys.hold(&[EAST, &west("203.0.113.1:31443")]).await;
    run_node(
        &west_client,
        "edge-2",
        json!([{"type": "InternalIP", "address": "10.99.0.2"}]),
    )
    .await;
    // Two gateways for one endpoint: it counts half at each, so that one here counts two.
    let here = "10.1.0.1:8080*2@net1/z1";
    envoys
        .hold(&[here, &west("203.0.113.1:31443"), &west("10.99.0.2:31443")])
        .await;
    report_node(&west_client, "edge-1", external("203.0.113.7"), "True").await;
    envoys
        .hold(&[here, &west("203.0.113.7:31443"), &west("10.99.0.2:31443")])
        .await;
    report_node(&west_client, "edge-1", external("203.0.113.7"), "Unknown").await;
    envoys.hold(&[EAST, &west("10.99.0.2:31443")]).await;
    let nodes: Api<Node> = Api::all(west_client.clone());
    nodes
        .delete("edge-2", &DeleteParams::default())
        .await
        .expect("it is deleted");
    envoys.hold(&[EAST]).await;
    let look = async || {
        let withheld = control_plane.say(&["explain", "web.shop", "--network", "net1"]);
        if withheld.contains("no Node that its annotation") {
            Ok(())
        } else {
            Err(withheld)
        }
    };
    eventually("the reason to be shown", DEADLINE, look)
        .await
        .expect("it is");
    envoys.are_content().await;
}
