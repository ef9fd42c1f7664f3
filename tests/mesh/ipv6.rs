//! Pods with IPv6, alone and beside IPv4, captured by the rules of docs/traffic.md, and one on another network behind a gateway.
//!
//! ```text
//! west:  both, six ── r6 (control plane) ── gateway ── r7 ── far   :far
//!                      └───────────────────────────────┘ for far's control plane only
//! ```

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde_json::json;

use super::certificates::Authority;
use super::client::{get, told};
use super::control::ControlPlane;
use super::fleet::DEADLINE;
use super::ground::Ground;
use super::harness::eventually;
use super::lookup::{AAAA, ask};
use super::manifests;
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
---
{apiVersion: v1, kind: Service, metadata: {name: far, namespace: shop},
 spec: {clusterIP: 10.97.0.3, clusterIPs: [10.97.0.3], ports: [{name: http, port: 80, targetPort: 8080}]}}
"#;

/// On the other network.
const OTHER_MEMBER: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: istio-system, labels: {topology.istio.io/network: far}}}
---
{apiVersion: v1, kind: Service, metadata: {name: far, namespace: shop},
 spec: {clusterIP: "fd00:98::1", clusterIPs: ["fd00:98::1"], ports: [{name: http, port: 80, targetPort: 8080}]}}
---
"#;
const GATEWAY: &str = "fd00:66::12";

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
        let (length, flag) = if address.contains(':') { (64, "nodad") } else { (24, "") };
        let (net, _) = address.rsplit_once([':', '.']).expect("an address");
        let gateway = format!("{net}{}1", &address[net.len()..=net.len()]);
        space.shell(&format!(
            "ip addr add {address}/{length} dev eth0 {flag}; ip route add default via {gateway}"
        ));
    }
}

async fn start(space: &Space, folder: &Path, name: &'static str, addresses: &[&str], authority: &Authority) -> Envoy {
    let (kind, namespace) = match name {
        "gw" => ("router", "istio-system"),
        _ => ("sidecar", "shop"),
    };
    if kind == "sidecar" {
        pod::application(space, name, "[::]");
        space.shell(pod::capture_rules());
    }
    fs::create_dir_all(folder).expect("it can be made");
    pod::put_credentials(folder, &authority.workload("spiffe://cluster.local/ns/shop/sa/web"));
    let member = if matches!(name, "gw" | "far") { "far" } else { "west" };
    let node = json!({
        "id": format!("{kind}~{}~{name}.{namespace}~{namespace}.svc.cluster.local", addresses[0]),
        "cluster": name,
        "metadata": { "CLUSTER_ID": member, "INSTANCE_IPS": addresses.join(",") },
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
    let far = ["fd00:67::3"];
    let other = folder.join("members/far");
    fs::create_dir_all(&other).expect("it can be made");
    let member = format!(
        "{OTHER_MEMBER}{}{}",
        manifests::gateway("far", GATEWAY),
        manifest("far", &far)
    );
    fs::write(other.join("all.yaml"), member).expect("it can be written");
    let settings = format!(
        "listen: '[::]:15010'\nadmin: {{listen: '0.0.0.0:15080'}}\nmembersFolder: members\nxds: {{allowPlaintext: true}}
traffic: {{enabled: true, certificates: {FOLDER}/certificates, accessLog: {FOLDER}/access.log}}\n"
    );
    fs::write(folder.join("parallax.yaml"), settings).expect("it can be written");

    let router = Space::new(ground.name_of("r6"));
    router.bridge();
    router.shell("ip addr add 10.66.0.1/24 dev br0; ip addr add fd00:66::1/64 dev br0 nodad");
    let [b6, s6, gw, f6] = ["b6", "s6", "gw", "f6"].map(|name| Space::new(ground.name_of(name)));
    plug(&b6, "both", &both, &router);
    plug(&s6, "six", &six, &router);
    // The other network: its router leads to that of the control plane, which leads nowhere.
    let beyond = Space::new(ground.name_of("r7"));
    beyond.bridge();
    beyond.shell("ip addr add fd00:67::1/64 dev br0 nodad; sysctl -qw net.ipv6.conf.all.forwarding=1");
    beyond.shell(&format!(
        "ip link add up0 type veth peer name down0 netns {}; ip addr add fd00:68::2/64 dev up0 nodad; ip link set up0 up
         ip route add default via fd00:68::1 dev up0 onlink",
        router.name()
    ));
    router.shell(
        "ip addr add fd00:68::1/64 dev down0 nodad; ip link set down0 up; ip route add fd00:67::/64 via fd00:68::2 dev down0 onlink",
    );
    plug(&f6, "far", &far, &beyond);
    plug(&gw, "gw", &["fd00:67::2"], &beyond);
    gw.shell(&format!(
        "ip link add wan0 type veth peer name gate netns {}; ip addr add {GATEWAY}/64 dev wan0 nodad; ip link set wan0 up",
        router.name()
    ));
    router.shell("ip link set gate master br0 up");
    let mut control_plane = ControlPlane::new(router, "10.66.0.1", folder, std::iter::empty());
    control_plane.start().await;
    let router = &control_plane.space;

    let authority = Authority::root("mesh");
    let _both = start(&b6, &ground.path("both"), "both", &both, &authority).await;
    let _six = start(&s6, &ground.path("six"), "six", &six, &authority).await;
    let _gateway = start(&gw, &ground.path("gw"), "gw", &["fd00:67::2"], &authority).await;
    let far_envoy = start(&f6, &ground.path("far"), "far", &far, &authority).await;
    for (to, name) in [
        ("10.66.0.2:8080", "both"),
        ("[fd00:66::2]:8080", "both"),
        ("[fd00:66::3]:8080", "six"),
    ] {
        answers(router, to, name, "").await;
    }
    let peer = "URI=spiffe://cluster.local/ns/shop/sa/web";
    for (from, to, name) in [
        (&b6, "[fd00:97::2]:80", "six"),
        (&s6, "[fd00:97::1]:80", "both"),
        (&b6, "10.97.0.1:80", "both"),
        // By the name that a request gives, to the other network.
        (&s6, "[fd00:97::1]:80", "far"),
        (&b6, "10.97.0.3:80", "far"),
        (&f6, "[fd00:98::1]:80", "far"),
    ] {
        answers(from, to, name, peer).await;
    }
    // Its member gives `far` an address of IPv4 only, which a pod without can't use; its names lead to one that it can.
    let local = "fd00:66::1".parse().expect("an address");
    for name in ["far.shop.svc.cluster.local", "far.shop.global"] {
        let found = s6.within(|| ask(local, name, AAAA)).expect("its sidecar answers");
        let [IpAddr::V6(address)] = found.addresses[..] else {
            panic!("{name}: {found:?}")
        };
        assert!(address.to_string().starts_with("2001:2::"), "{name}: {address}");
        answers(&s6, &format!("[{address}]:80"), "far", peer).await;
    }
    let through = pod::stat(&gw, &["outbound_.80_._.far.shop", "upstream_cx_total"]);
    assert!(through >= 2, "a connection of each sidecar: {through}");
    let look = async || match far_envoy.accesses().join("\n") {
        log if log.contains(" inbound http [fd00:67::2]:") => Ok(()),
        log => Err(log),
    };
    let logged = eventually("requests to come from the gateway", DEADLINE, look).await;
    logged.unwrap_or_else(|error| panic!("{error:#}"));
    for space in [&b6, &s6, &f6] {
        assert!(pod::stat(space, &["InboundPassthroughCluster.upstream_cx_total"]) > 0);
    }
    for space in [&b6, &s6, &f6, &gw] {
        assert_eq!(pod::stat(space, &["update_rejected"]), 0, "{}", space.name());
    }
}
