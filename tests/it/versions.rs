//! Every Envoy version that is to be had, in both dialects, all at one control plane.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use prost::Message;
use serde_json::json;

use super::control_plane::ControlPlane;
use super::envoys::{DEADLINE, Envoys, WEB};
use super::harness::{Envoy, EnvoyOptions, envoy_versions};
use super::manifests::{Members, Pod};
use super::raw::{CDS, RawConnection, first, framed};

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

/// Hosts that proxies look up: there is a newer way to say so, and an older one.
const LOOKED_UP: &str = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: all, namespace: shop}
spec:
  hosts: [all.example.com]
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  endpoints: [{address: 192.0.2.9, weight: 3}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: one, namespace: shop}
spec:
  hosts: [one.example.com]
  resolution: DNS_ROUND_ROBIN
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  endpoints: [{address: 192.0.2.9}]
";
const NAMES: [&str; 2] = ["outbound|80||all.example.com", "outbound|80||one.example.com"];

/// The clusters of these hosts, as an Envoy of this version is told of them.
async fn told(control_plane: &ControlPlane, version: &str) -> DiscoveryResponse {
    let mut request = first("old", CDS, NAMES.map(str::to_owned));
    let node = request.node.as_mut().expect("it has one");
    node.user_agent_name = "envoy".to_owned();
    node.user_agent_version_type = Some(UserAgentVersionType::UserAgentVersion(version.to_owned()));
    let connection = RawConnection::open(control_plane.xds, 1 << 20).await;
    let mut stream = connection.stream().await.expect("a stream");
    stream.send(framed(&request)).await.expect("it is taken");
    let answer = stream.answer().await.expect("an answer").expect("an answer");
    assert_eq!(answer.removed_resources, Vec::<String>::new());
    DiscoveryResponse {
        version_info: "1".to_owned(),
        type_url: CDS.to_owned(),
        resources: answer
            .resources
            .into_iter()
            .map(|resource| resource.resource.expect("it has content"))
            .collect(),
        ..DiscoveryResponse::default()
    }
}

/// How the endpoints of each are found.
fn ways(answer: &DiscoveryResponse) -> Vec<Option<ClusterDiscoveryType>> {
    let clusters = answer.resources.iter();
    let clusters = clusters.map(|any| Cluster::decode(&*any.value).expect("a cluster"));
    let mut clusters: Vec<_> = clusters.collect();
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    clusters
        .into_iter()
        .map(|cluster| cluster.cluster_discovery_type)
        .collect()
}

/// There is none to be had that is older than was tried, so what one is told is held before those that are: from a file.
#[tokio::test]
async fn an_older_version_is_told_in_words_that_it_knows() {
    let members = Members::new();
    members.place("east", "net1");
    members.write("east", "hosts.yaml", LOOKED_UP);
    let control_plane = ControlPlane::on_members(members.path()).await;
    let newer = ways(&told(&control_plane, "1.36.0").await);
    let is_extension = |way: &Option<_>| matches!(way, Some(ClusterDiscoveryType::ClusterType(_)));
    assert!(newer.len() == 2 && newer.iter().all(is_extension), "{newer:?}");
    let older = told(&control_plane, "1.35.7").await;
    let kinds = [DiscoveryType::StrictDns, DiscoveryType::LogicalDns];
    let expected = kinds.map(|kind| Some(ClusterDiscoveryType::Type(kind.into())));
    assert_eq!(ways(&older), expected);

    for version in envoy_versions() {
        let folder = control_plane.folder(version);
        let file = folder.join("clusters.pb");
        std::fs::write(&file, older.encode_to_vec()).expect("it can be written");
        let mut options = EnvoyOptions::new("", control_plane.xds, folder);
        version.clone_into(&mut options.version);
        options.bootstrap = Some(json!({
            "node": { "id": "old", "cluster": "old" },
            "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
            "dynamic_resources": { "cds_config": { "resource_api_version": "V3", "path_config_source": { "path": file } } },
        }));
        let mut envoy = Envoy::start(options).await.expect("Envoy starts");
        let held = envoy
            .wait_for("both hosts to be found", DEADLINE, |held| {
                NAMES
                    .iter()
                    .all(|name| held.get(*name).is_some_and(|hosts| !hosts.is_empty()))
            })
            .await
            .unwrap_or_else(|error| panic!("{version}: {error:#}"));
        for name in NAMES {
            let found: BTreeSet<_> = held[name]
                .iter()
                .map(|host| (host.address.as_str(), host.port))
                .collect();
            assert_eq!(found, [("192.0.2.9", 8080)].into(), "{version}: {name}");
        }
        let refused = envoy.stat("cluster_manager.cds.update_rejected").await;
        assert_eq!(refused.expect("it answers"), Some(0), "{version}");
    }
}
