//! A network that drops everything between Parallax and an API server: no connection ends, and nothing arrives any more.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::control::ControlPlane;
use super::ground::Ground;
use super::harness::{
    Clusters, Dialect, Envoy, EnvoyOptions, Fault, Kubernetes, Watch, XdsAddress, apply, apply_text, eventually,
    seconds,
};
use super::mesh::DEADLINE;
use super::space::need_namespaces;
use super::wire::Wire;

const WEB: &str = "outbound|80||web.shop.svc.cluster.local";
/// Where the API server is reached, beyond a link of its own.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 100, 60);
/// What docs/faults.md promises.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);
/// In all: longer than it takes to notice, and to give up every connection.
const SILENT: Duration = Duration::from_secs(40);

const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: istio-system, labels: {topology.istio.io/network: net1}}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{name: http, port: 80, targetPort: 8080}]}
";

/// The Service's slice, as if these were its pods.
fn slice(addresses: &[&str]) -> serde_json::Value {
    let endpoint = |address: &&str| json!({"addresses": [address], "conditions": {"ready": true}});
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": addresses.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

/// Waits until a metric says whether the member is up to date, and tells how long after `begun` that was.
async fn until_synced_is(control_plane: &ControlPlane, value: u8, begun: Instant) -> Duration {
    let wanted = format!("parallax_registry_synced{{member=\"east\"}} {value}");
    eventually(&wanted, DEADLINE, async || {
        let metrics = control_plane.ask("/metrics").map_err(|error| error.to_string())?.body;
        let found = metrics.lines().any(|line| line == wanted);
        if found { Ok(()) } else { Err("another value".to_owned()) }
    })
    .await
    .expect("it gets there");
    begun.elapsed()
}

async fn hold(envoys: &mut [Envoy], expected: &[&str]) {
    let holds = |held: &Clusters| {
        let hosts = held.get(WEB).into_iter().flatten();
        hosts.map(|host| host.address.as_str()).eq(expected.iter().copied())
    };
    for envoy in envoys {
        let held = envoy.wait_for(&format!("web at {expected:?}"), DEADLINE, holds).await;
        held.unwrap_or_else(|error| panic!("{error:#}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_drops_everything_is_noticed_and_empties_nobody() {
    need_namespaces();
    let kubernetes = Kubernetes::start().await.expect("etcd starts");
    let east = kubernetes.start_member("east").await.expect("the API server starts");
    let client = east.client().await.expect("a client");
    apply_text(&client, OBJECTS).await.expect("it is taken");
    apply(&client, &slice(&["10.1.0.1", "10.1.0.2"]))
        .await
        .expect("it is taken");

    let ground = Ground::new(&[]);
    let far = ground.outside("api", &ADDRESS.to_string());
    let _way = Wire::at(&far, ADDRESS, east.port());
    let near = ground.outside("parallax", "192.168.100.50");
    let folder = ground.folder("control-plane");
    let mut kubeconfig: serde_json::Value =
        serde_json::from_str(&east.kubeconfig().expect("it can be read")).expect("it is JSON");
    let cluster = &mut kubeconfig["clusters"][0]["cluster"];
    cluster["server"] = format!("https://{ADDRESS}:{}", east.port()).into();
    cluster["tls-server-name"] = "localhost".into();
    fs::write(folder.join("east.kubeconfig"), kubeconfig.to_string()).expect("it can be written");
    // Envoys are on this machine, where a path leads to it.
    let socket = folder.join("xds");
    let settings = format!(
        "listen: unix:{}\nmembers:\n  - name: east\n    kubeconfig: {}\n",
        socket.display(),
        folder.join("east.kubeconfig").display()
    );
    fs::write(folder.join("parallax.yaml"), settings).expect("it can be written");
    let mut control_plane = ControlPlane::new(near, "192.168.100.50", folder, std::iter::empty());
    control_plane.start().await;
    let mut envoys = Vec::new();
    for dialect in [Dialect::Sotw, Dialect::Delta] {
        let name = format!("client-{dialect:?}").to_lowercase();
        let id = format!("sidecar~10.1.0.50~{name}.shop~shop.svc.cluster.local");
        let mut options = EnvoyOptions::new(id, XdsAddress::Unix(socket.clone()), ground.folder(&name));
        options = options.with_metadata("CLUSTER_ID", "east");
        options.dialect = dialect;
        envoys.push(Envoy::start(options).await.expect("Envoy starts"));
    }
    hold(&mut envoys, &["10.1.0.1", "10.1.0.2"]).await;
    until_synced_is(&control_plane, 1, Instant::now()).await;

    let admins = envoys.iter().map(Envoy::admin);
    let watched = Watch::begin(Fault::NetworkSilent, WEB, admins).await;
    let watched = watched.expect("the Envoys answer");
    far.shell("ip link set eth0 down");
    let begun = Instant::now();
    let noticed = until_synced_is(&control_plane, 0, begun).await;
    println!("noticed after {noticed:?}");
    assert!(noticed <= NOTICED_WITHIN, "{noticed:?}");
    let said = super::fleet::succeeds(control_plane.command(&["get", "members"]));
    assert!(said.contains("east is stale since"), "{said}");
    // What can't be heard of yet.
    apply(&client, &slice(&["10.1.0.2", "10.1.0.3"]))
        .await
        .expect("it is taken");
    tokio::time::sleep(SILENT.saturating_sub(begun.elapsed())).await;
    let seen = watched.end().await.expect("the Envoys answer");
    assert!(seen.nothing(), "{seen:#?}");

    far.shell("ip link set eth0 up");
    let back = Instant::now();
    let synced = until_synced_is(&control_plane, 1, back).await;
    hold(&mut envoys, &["10.1.0.2", "10.1.0.3"]).await;
    println!(
        "synced {synced:?} after it was over, and the change arrived after {:?}",
        back.elapsed()
    );
    let over = format!(
        "synced after {}, what changed meanwhile is there after {}",
        seconds(synced),
        seconds(back.elapsed())
    );
    seen.record(&seconds(noticed), &over).expect("it can be written");
    control_plane.was_refused_nothing();
}
