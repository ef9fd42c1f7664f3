//! The harness itself: that the real programs start, tell what they are, and end.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::harness::{
    Dialect, Envoy, EnvoyOptions, Kubernetes, NodeLocality, envoy_versions, eventually, free_port, get,
};

#[tokio::test]
async fn every_envoy_starts_without_a_control_plane_and_tells_its_version() {
    for version in envoy_versions() {
        for dialect in [Dialect::Sotw, Dialect::Delta] {
            let dir = tempfile::tempdir().unwrap();
            let nobody: SocketAddr = (Ipv4Addr::LOCALHOST, free_port()).into();
            let options = EnvoyOptions {
                version: version.to_owned(),
                dialect,
                locality: Some(NodeLocality {
                    region: "north".to_owned(),
                    ..NodeLocality::default()
                }),
                ..EnvoyOptions::new(
                    "sidecar~10.0.0.1~pod.default~default.svc.cluster.local",
                    nobody,
                    dir.path(),
                )
            };
            let mut envoy = Envoy::start(options.with_metadata("NETWORK", "one")).await.unwrap();
            assert_eq!(envoy.version().await.unwrap(), version);
            assert_eq!(
                envoy.clusters().await.unwrap().len(),
                0,
                "clusters of the bootstrap are not listed"
            );
            assert_eq!(envoy.stat("control_plane.connected_state").await.unwrap(), Some(0));
            assert_eq!(envoy.stat("no.such.stat").await.unwrap(), None);

            // It tries and is refused.
            envoy
                .wait_for_stat("cluster.xds.upstream_cx_connect_fail", Duration::from_secs(10), |n| {
                    n > 0
                })
                .await
                .unwrap();
            assert_eq!(envoy.config_dump("dynamic_active_clusters").await.unwrap().len(), 0);
            let bootstrap = envoy.get("/config_dump?resource=bootstrap").await;
            assert!(bootstrap.is_err(), "a single message is no list, so Envoy refuses it");

            // A wait that fails says what was awaited and ends when it said.
            let message = envoy
                .wait_for("clusters from nowhere", Duration::from_millis(50), |held| {
                    !held.is_empty()
                })
                .await
                .unwrap_err()
                .to_string();
            assert!(message.contains("clusters from nowhere; seen last: {}"), "{message}");
            assert!(message.contains("envoy.log"), "{message}");

            let admin = envoy.admin();
            drop(envoy);
            assert!(get(admin, "/ready").await.is_err(), "it is gone when its value is");
        }
    }
}

#[tokio::test]
async fn an_envoy_that_cannot_start_shows_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let nobody: SocketAddr = (Ipv4Addr::LOCALHOST, free_port()).into();
    let mut options = EnvoyOptions::new("", nobody, dir.path());
    let message = Envoy::start(options.clone()).await.unwrap_err().to_string();
    assert!(message.contains("node"), "it refuses an empty node id: {message}");

    options.version = "0.0.1".to_owned();
    let message = Envoy::start(options).await.unwrap_err().to_string();
    assert!(message.contains("run `make tools`"), "{message}");
}

#[tokio::test]
async fn a_real_member_keeps_its_state_over_a_restart_of_its_api_server() {
    use k8s_openapi::api::core::v1::{Namespace, Service};
    use k8s_openapi::api::discovery::v1::EndpointSlice;
    use kube::Api;
    use kube::api::{ListParams, PostParams};

    let kubernetes = Kubernetes::start().await.unwrap();
    let mut east = kubernetes.start_member("east").await.unwrap();
    assert_eq!(east.version().await.unwrap().git_version, "v1.36.3");
    assert!(east.kubeconfig().unwrap().contains(&east.server_url()));

    east.kill_apiserver();
    assert!(east.version().await.is_err());
    east.restart_apiserver().await.unwrap();

    let client = east.client().await.unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(serde_json::json!({ "metadata": { "name": "shop" } })).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let services: Api<Service> = Api::namespaced(client.clone(), "shop");
    let service = serde_json::from_value(serde_json::json!({
        "metadata": { "name": "cart" },
        "spec": { "selector": { "app": "cart" }, "ports": [{ "port": 80 }] },
    }))
    .unwrap();
    services.create(&PostParams::default(), &service).await.unwrap();

    let slices: Api<EndpointSlice> = Api::namespaced(client, "shop");
    eventually("the controller's empty slice", Duration::from_secs(30), async || {
        let found = slices
            .list(&ListParams::default())
            .await
            .map_err(|error| error.to_string())?
            .items;
        if found.len() == 1 {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await
    .unwrap();
}
