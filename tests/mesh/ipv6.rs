//! Pods with IPv6, alone and beside IPv4, captured by the rules of docs/traffic.md.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;

use super::certificates::Authority;
use super::client::{get, told};
use super::control::ControlPlane;
use super::fleet::DEADLINE;
use super::ground::Ground;
use super::harness::eventually;
use super::pod::{self, Envoy, FOLDER};
use super::space::{Space, need_namespaces};

const MEMBER: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Service, metadata: {name: both, namespace: shop},
 spec: {clusterIP: 10.97.0.1, clusterIPs: [10.97.0.1, "fd00:97::1"], ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: six, namespace: shop},
 spec: {clusterIP: "fd00:97::2", clusterIPs: ["fd00:97::2"], ports: [{name: http, port: 80, targetPort: 8080}]}}
"#;

/// What Kubernetes knows of a pod, and of the one service that it belongs to.
fn manifest(name: &str, addresses: &[&str]) -> String {
    let ips: Vec<_> = addresses.iter().map(|ip| json!({ "ip": ip })).collect();
    let labels = json!({ "security.istio.io/tlsMode": "istio" });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "shop", "labels": labels },
        "spec": { "serviceAccountName": "web" }, "status": { "phase": "Running", "podIP": addresses[0], "podIPs": ips },
    });
    let slices = addresses.iter().map(|ip| {
        let family = if ip.contains(':') { "IPv6" } else { "IPv4" };
        let labels = json!({ "kubernetes.io/service-name": name });
        let target = json!({ "kind": "Pod", "name": name, "namespace": "shop" });
        let named = format!("{name}-{}", family.to_lowercase());
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
            "metadata": { "name": named, "namespace": "shop", "labels": labels },
            "ports": [{ "name": "http", "port": 8080 }],
            "endpoints": [{ "addresses": [ip], "conditions": { "ready": true }, "targetRef": target }],
        });
        format!("---\n{slice}\n")
    });
    format!("---\n{pod}\n") + &slices.collect::<String>()
}

/// Plugs a namespace in, with these addresses and default routes.
fn plug(space: &Space, port: &str, addresses: &[&str], router: &Space) {
    let other = router.name();
    space.shell(&format!(
        "ip link add eth0 type veth peer name {port} netns {other}; ip link set eth0 up"
    ));
    router.shell(&format!("ip link set {port} master br0 up"));
    for address in addresses {
        let (length, flag, gateway) = if address.contains(':') {
            (64, "nodad", "fd00:66::1")
        } else {
            (24, "", "10.66.0.1")
        };
        space.shell(&format!(
            "ip addr add {address}/{length} dev eth0 {flag}; ip route add default via {gateway}"
        ));
    }
}

async fn start(space: &Space, folder: &Path, name: &'static str, addresses: &[&str], authority: &Authority) -> Envoy {
    pod::application(space, name, "[::]");
    space.shell(pod::capture_rules());
    fs::create_dir_all(folder).expect("it can be made");
    pod::put_credentials(folder, &authority.workload("spiffe://cluster.local/ns/shop/sa/web"));
    let node = json!({
        "id": format!("sidecar~{}~{name}.shop~shop.svc.cluster.local", addresses[0]),
        "cluster": name,
        "metadata": { "CLUSTER_ID": "west", "INSTANCE_IPS": addresses.join(",") },
    });
    let bootstrap = pod::bootstrap(&node, "[fd00:66::1]:15010".parse().expect("an address"), true);
    fs::write(folder.join("bootstrap.json"), bootstrap.to_string()).expect("it can be written");
    Envoy::start(space, folder, name).await
}

/// Asks until the application of this pod answers, from outside or with the identity of another.
async fn answers(space: &Space, to: &str, pod: &str, peer: &str) {
    let address: SocketAddr = to.parse().expect("an address");
    let look = async || match space.within(|| get(address, &format!("{pod}.shop"), "/")) {
        Ok(answer) if answer.status == 200 => {
            let told = told(&answer);
            let heard = told["peer"].as_str().unwrap_or_default();
            let right = told["pod"] == pod && heard.is_empty() == peer.is_empty() && heard.contains(peer);
            if right { Ok(()) } else { Err(told.to_string()) }
        }
        other => Err(format!("{other:?}")),
    };
    let asked = eventually(&format!("{pod} to answer at {to}"), DEADLINE, look).await;
    asked.unwrap_or_else(|error| panic!("{error:#}"));
}

#[tokio::test]
async fn pods_with_ipv6_are_captured_in_and_out() {
    need_namespaces();
    let ground = Ground::new(&[]);
    let folder = ground.folder("control-plane");
    let west = folder.join("members/west");
    fs::create_dir_all(&west).expect("it can be made");
    let (both, six) = (["10.66.0.2", "fd00:66::2"], ["fd00:66::3"]);
    let member = format!("{MEMBER}{}{}", manifest("both", &both), manifest("six", &six));
    fs::write(west.join("all.yaml"), member).expect("it can be written");
    let settings = format!(
        "listen: '[::]:15010'\nadmin: {{listen: '0.0.0.0:15080'}}\nmembersFolder: members\nxds: {{allowPlaintext: true}}
traffic: {{enabled: true, certificates: {FOLDER}/certificates, accessLog: {FOLDER}/access.log}}\n"
    );
    fs::write(folder.join("parallax.yaml"), settings).expect("it can be written");

    let router = Space::new(ground.name_of("r6"));
    router.bridge();
    router.shell("ip addr add 10.66.0.1/24 dev br0; ip addr add fd00:66::1/64 dev br0 nodad");
    let spaces = ["b6", "s6"].map(|name| Space::new(ground.name_of(name)));
    plug(&spaces[0], "both", &both, &router);
    plug(&spaces[1], "six", &six, &router);
    let mut control_plane = ControlPlane::new(router, "10.66.0.1", folder, std::iter::empty());
    control_plane.start().await;
    let router = &control_plane.space;

    let authority = Authority::root("mesh");
    let _both = start(&spaces[0], &ground.path("both"), "both", &both, &authority).await;
    let _six = start(&spaces[1], &ground.path("six"), "six", &six, &authority).await;
    for (to, name) in [
        ("10.66.0.2:8080", "both"),
        ("[fd00:66::2]:8080", "both"),
        ("[fd00:66::3]:8080", "six"),
    ] {
        answers(router, to, name, "").await;
    }
    let peer = "URI=spiffe://cluster.local/ns/shop/sa/web";
    for (from, to, name) in [
        (&spaces[0], "[fd00:97::2]:80", "six"),
        (&spaces[1], "[fd00:97::1]:80", "both"),
        (&spaces[0], "10.97.0.1:80", "both"),
    ] {
        answers(from, to, name, peer).await;
    }
    for space in &spaces {
        assert!(pod::stat(space, &["InboundPassthroughCluster.upstream_cx_total"]) > 0);
    }
}
