//! Envoys of every version that is supported, beside each other: each takes what it is sent, and requests go between all of them.

use super::client;
use super::external::{EXTERNAL, NOWHERE, OUTSIDE};
use super::harness::envoy_versions;
use super::manifests;
use super::pod::{ADMIN, Workload};
use super::space::need_namespaces;
use super::tls::{first_byte, open};
use super::world::{WEB_IN_EAST, World, workload};

/// A sidecar and a gateway for each version: names and addresses.
const PLACES: [(&str, &str, &str, &str, &str); 5] = [
    ("web-1", "10.1.0.20", "gw-1", "10.1.0.2", "192.168.100.21"),
    ("web-2", "10.1.0.21", "gw-2", "10.1.0.3", "192.168.100.22"),
    ("web-3", "10.1.0.22", "gw-3", "10.1.0.4", "192.168.100.23"),
    ("web-4", "10.1.0.23", "gw-4", "10.1.0.5", "192.168.100.24"),
    ("web-5", "10.1.0.24", "gw-5", "10.1.0.6", "192.168.100.25"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_version_takes_what_it_is_sent_and_carries_traffic() {
    need_namespaces();
    let mut world = World::new("  mtls: strict\n").await;
    let versions = envoy_versions();
    assert_eq!(versions.len(), PLACES.len(), "a place for each");
    let of = |version, name, address| Workload {
        version,
        ..workload(name, "east", address)
    };
    let pods: Vec<_> = versions
        .iter()
        .zip(PLACES)
        .map(|(version, (name, address, ..))| of(*version, name, address))
        .collect();
    let ports = [("http", 80, 8080), ("any", 81, 8080), ("tcp-first", 9000, 9000)];
    let listed: Vec<_> = pods.iter().collect();
    let text = manifests::service("web", &WEB_IN_EAST.to_string(), &ports, &listed);
    let probed = "spec:
  containers:
    - readinessProbe: {httpGet: {path: /healthz, port: 8080}}
      livenessProbe: {grpc: {port: 8083}}
status:
  phase";
    world.say("east", "web.yaml", &text.replace("status:\n  phase", probed));
    // What is found in every way that there is.
    world.say("east", "external.yaml", EXTERNAL);
    let _outside = world.stranger("outside", &OUTSIDE.to_string());
    for pod in &pods {
        world.add(pod.clone(), "0.0.0.0").await;
    }
    for (version, (_, _, name, address, outside)) in versions.iter().zip(PLACES) {
        world.add_gateway(of(*version, name, address), outside).await;
    }
    for pod in &pods {
        let info = || client::get(ADMIN, "admin", "/server_info").expect("it answers");
        let info = world.pods[pod.name].space.within(info).body;
        assert!(info.contains(&format!("/{}/", pod.version)), "{info}");
        for other in &pods {
            world.settled(pod.name, (WEB_IN_EAST, 80), "web", other.name).await;
        }
        world
            .settled(pod.name, (NOWHERE, 80), "told.example.com", "outside")
            .await;
        for port in [80, 81] {
            let counts = world.count(pod.name, (WEB_IN_EAST, port), 20);
            let names = pods.iter().map(|pod| pod.name);
            assert!(counts.keys().eq(names), "Envoy {} on {port}: {counts:?}", pod.version);
        }
    }
    let visitor = Workload {
        sidecar: false,
        ..workload("visitor", "east", "10.1.0.99")
    };
    world.add(visitor, "0.0.0.0").await;
    let ours = world.root.workload("spiffe://cluster.local/ns/other/sa/visitor");
    for (_, _, name, address, _) in PLACES {
        let to = format!("{address}:15443").parse().expect("an address");
        let sni = "outbound_.80_._.web.shop.svc.cluster.local";
        let knock = || first_byte(open(to, sni, &["istio-http/1.1"], Some(&ours))?);
        let first = world.pods["visitor"].space.within(knock);
        assert_eq!(first.expect("the gateway passes it on"), b'H', "{name}");
    }
    world.nobody_refused_anything();
}
