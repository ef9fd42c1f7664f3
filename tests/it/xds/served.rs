//! The binary and scripted clients: what only the whole line from manifests to the wire can break.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::super::control_plane::ControlPlane;
use super::super::envoys::{DEADLINE, WEB};
use super::super::harness::{Dialect, Envoy, EnvoyOptions, eventually};
use super::super::manifests::{Members, Pod};
use super::client::{BOTH, CDS, Client, EDS, channel};

fn east(pods: &[Pod]) -> Members {
    let members = Members::new();
    members.place("east", "net1");
    members.web("east", pods);
    members
}

fn one() -> Vec<Pod> {
    vec![Pod::new("a", "10.1.0.1")]
}

#[tokio::test]
async fn r8_r29_r114_two_servers_are_told_apart_and_their_content_is_not() {
    let pods = [
        Pod::new("a", "10.1.0.1"),
        Pod::new("b", "10.1.0.2"),
        Pod::new("c", "10.1.0.3"),
    ];
    let (members, shuffled) = (east(&pods), Members::new());
    // The same in another order, over other files.
    let [a, b, c] = pods;
    shuffled.write("east", "cluster.yaml", "apiVersion: v1\nkind: List\nitems: []\n");
    shuffled.web("east", &[c, a, b]);
    shuffled.place("east", "net1");
    let servers = [
        ControlPlane::on_members(members.path()).await,
        ControlPlane::on_members(shuffled.path()).await,
    ];
    let mut seen = Vec::new();
    for server in &servers {
        let mut client = Client::connect(server.xds, Dialect::Delta, "east").await;
        client.ask(CDS, &[]).await;
        let clusters = client.take(CDS).await;
        client.ask(EDS, &[WEB]).await;
        let assignments = client.take(EDS).await;
        assert_eq!(
            clusters.control_plane, assignments.control_plane,
            "constant in one process"
        );
        assert!(!clusters.control_plane.is_empty());
        seen.push((clusters, assignments));
    }
    let [(clusters, assignments), (other_clusters, other_assignments)] = &seen[..] else {
        panic!("two servers")
    };
    assert_ne!(clusters.control_plane, other_clusters.control_plane);
    assert_eq!(clusters.versions, other_clusters.versions);
    assert_eq!(assignments.versions, other_assignments.versions);
    assert_eq!(assignments.resources, other_assignments.resources, "byte for byte");

    // Who moves from one to the other is sent nothing: the first word is about what is new.
    let mut moved = Client::connect(servers[1].xds, Dialect::Delta, "east").await;
    moved.resume(EDS, &[WEB], assignments.versions.clone()).await;
    moved.resume(CDS, &[], clusters.versions.clone()).await;
    moved.ask(EDS, &["nobody"]).await;
    assert_eq!(moved.take(EDS).await.removed, ["nobody"]);
}

#[tokio::test]
async fn r53_r58_r116_every_change_of_readiness_is_told_and_nothing_else_is() {
    let members = east(&one());
    let server = ControlPlane::on_members(members.path()).await;
    for dialect in BOTH {
        members.web("east", &one());
        server.says(&["get", "services"], "web.shop").await;
        let mut client = Client::connect(server.xds, dialect, "east").await;
        client.ask(EDS, &[WEB]).await;
        let mut hosts = client.take(EDS).await.hosts();
        while hosts != ["10.1.0.1:8080*1"] {
            hosts = client.take(EDS).await.hosts();
        }
        let ready = ["10.1.0.1:8080*1"];
        let unready = || vec![Pod::new("a", "10.1.0.1").unready()];
        // Healthy to unhealthy, to deleted and back unseen, to healthy, to deleted, to healthy.
        members.web("east", &unready());
        assert!(client.take(EDS).await.hosts().is_empty());
        members.web("east", &[]);
        members.web("east", &unready());
        members.web("east", &one());
        assert_eq!(client.take(EDS).await.hosts(), ready);
        members.web("east", &[]);
        assert!(client.take(EDS).await.hosts().is_empty());
        members.web("east", &one());
        assert_eq!(client.take(EDS).await.hosts(), ready);
    }
}

#[tokio::test]
async fn r82_r83_an_edit_that_changes_nothing_is_not_told() {
    let members = east(&one());
    let server = ControlPlane::on_members(members.path()).await;
    for dialect in BOTH {
        members.web("east", &one());
        let mut client = Client::connect(server.xds, dialect, "east").await;
        client.ask(CDS, &[]).await;
        client.take(CDS).await;
        client.ask(EDS, &[WEB]).await;
        client.take(EDS).await;
        let file = members.member("east").join("web.yaml");
        let text = std::fs::read_to_string(&file).expect("it is there");
        let noted = text.replacen("metadata:\n", "metadata:\n  annotations: {note: changed}\n", 1);
        members.write("east", "web.yaml", &noted);
        // What comes next is about the endpoints alone.
        members.web("east", &[Pod::new("a", "10.1.0.1"), Pod::new("b", "10.1.0.2")]);
        let mut hosts = client.take(EDS).await.hosts();
        while hosts.len() != 2 {
            hosts = client.take(EDS).await.hosts();
        }
        members.web("east", &one());
        while client.take(EDS).await.hosts().len() != 1 {}
    }
}

#[tokio::test]
async fn r52_r96_a_source_that_is_lost_takes_nothing_away() {
    let members = east(&one());
    members.place("west", "net1");
    members.web("west", &[Pod::new("a", "10.2.0.1")]);
    let server = ControlPlane::on_members(members.path()).await;
    let mut clients = Vec::new();
    for dialect in BOTH {
        let mut client = Client::connect(server.xds, dialect, "east").await;
        client.ask(CDS, &[]).await;
        client.take(CDS).await;
        client.ask(EDS, &[WEB]).await;
        assert_eq!(client.take(EDS).await.hosts().len(), 2);
        clients.push(client);
    }
    std::fs::remove_dir_all(members.member("west")).expect("it was there");
    server.says(&["get", "members"], "Stale").await;
    members.web("east", &[Pod::new("a", "10.1.0.1"), Pod::new("b", "10.1.0.2")]);
    for client in &mut clients {
        // The very next word: one more, and none less.
        assert_eq!(client.take(EDS).await.hosts().len(), 3);
    }
}

#[tokio::test]
async fn r11_streams_are_refused_until_members_are_read_or_late() {
    let members = east(&one());
    let kubeconfig = members.path().join("kubeconfig");
    // Nobody listens on port 1.
    let text = "{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}], \
         clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}], users: [{name: a, user: {token: none}}]}";
    std::fs::write(&kubeconfig, text).expect("it can be written");
    let settings = format!(
        "readiness:\n  memberSyncDeadline: 4s\nmembers:\n  - name: east\n    folder: {}\n  - name: dead\n    kubeconfig: {}\n",
        members.member("east").display(),
        kubeconfig.display(),
    );
    let mut server = ControlPlane::on_settings(&settings);
    server.answers("/readyz", 503).await;
    for dialect in BOTH {
        let refused = Client::open(channel(server.xds).await, dialect, "east").await.err();
        assert_eq!(refused.expect("it is too early").code(), Code::Unavailable);
    }
    server.ready().await;
    for dialect in BOTH {
        let mut client = Client::connect(server.xds, dialect, "east").await;
        client.ask(EDS, &[WEB]).await;
        assert_eq!(client.take(EDS).await.hosts(), ["10.1.0.1:8080*1"]);
    }
}

#[tokio::test]
async fn r94_m24_many_streams_share_one_connection() {
    let members = east(&one());
    let server = ControlPlane::on_members(members.path()).await;
    let channel = channel(server.xds).await;
    let mut clients = Vec::new();
    for dialect in BOTH.into_iter().cycle().take(400) {
        let mut client = Client::open(channel.clone(), dialect, "east").await.expect("one more");
        client.ask(EDS, &[WEB]).await;
        client.take(EDS).await;
        clients.push(client);
    }
    members.web("east", &[]);
    for client in &mut clients {
        assert!(client.take(EDS).await.hosts().is_empty());
    }
}

#[tokio::test]
async fn r101_clients_with_certificates_are_served_and_others_are_not() {
    let members = east(&one());
    let key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("no names");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&key).expect("it signs itself").pem();
    let issuer = Issuer::new(ca, key);
    let signed = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new([name.to_owned()]).expect("a name");
        (
            leaf.signed_by(&key, &issuer).expect("signed").pem(),
            key.serialize_pem(),
        )
    };
    let (certificate, key) = signed("localhost");
    for (file, text) in [("tls.crt", &certificate), ("tls.key", &key), ("ca.crt", &ca_pem)] {
        std::fs::write(members.path().join(file), text).expect("it can be written");
    }
    let path = members.path().display();
    let settings = format!(
        "tls: {{certificate: {path}/tls.crt, key: {path}/tls.key, clientCa: {path}/ca.crt}}\n\
         members: [{{name: east, folder: {}}}]\n",
        members.member("east").display()
    );
    let mut server = ControlPlane::on_settings(&settings);
    server.ready().await;
    let config = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&ca_pem))
        .domain_name("localhost");
    let endpoint = |config: ClientTlsConfig| {
        let endpoint = Endpoint::from_shared(format!("https://{}", server.xds)).expect("an address");
        endpoint.tls_config(config).expect("good settings")
    };
    let (certificate, key) = signed("client");
    let known = config.clone().identity(Identity::from_pem(certificate, key));
    for dialect in BOTH {
        let channel = endpoint(known.clone()).connect().await.expect("it is let in");
        let mut client = Client::open(channel, dialect, "east").await.expect("it is served");
        client.ask(EDS, &[WEB]).await;
        assert_eq!(client.take(EDS).await.hosts(), ["10.1.0.1:8080*1"]);
        // TLS 1.3 tells a client only on its first read that its certificate is missing.
        if let Ok(channel) = endpoint(config.clone()).connect().await {
            assert!(Client::open(channel, dialect, "east").await.is_err());
        }
    }
}

#[tokio::test]
async fn r102_answers_are_not_packed_even_for_who_could_read_it() {
    let members = east(&one());
    let server = ControlPlane::on_members(members.path()).await;
    for dialect in BOTH {
        let mut client = Client::connect(server.xds, dialect, "east").await;
        client.ask(CDS, &[]).await;
        // Not packed: the client here has no means to read anything else.
        client.take(CDS).await;
        let encoding = client.headers.get("grpc-encoding");
        assert!(encoding.is_none_or(|encoding| encoding == "identity"), "{encoding:?}");
    }
}

#[tokio::test]
async fn r97_r106_load_reports_and_other_services_are_unimplemented() {
    let members = east(&one());
    let server = ControlPlane::on_members(members.path()).await;
    for path in [
        "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats",
        "/envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters",
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamNothing",
    ] {
        let mut client = tonic::client::Grpc::new(channel(server.xds).await);
        client.ready().await.expect("it listens");
        let codec: tonic_prost::ProstCodec<DiscoveryRequest, DiscoveryResponse> = tonic_prost::ProstCodec::new();
        let request = tonic::Request::new(DiscoveryRequest::default());
        let path = http::uri::PathAndQuery::from_static(path);
        let status = client.unary(request, path, codec).await.expect_err("nobody is there");
        assert_eq!(status.code(), Code::Unimplemented);
    }
}

#[tokio::test]
async fn r93_a_client_that_answers_no_ping_is_let_go() {
    let members = east(&one());
    let server = ControlPlane::on_members(members.path()).await;
    let id = "sidecar~10.1.0.50~mute.shop~shop.svc.cluster.local";
    let options = EnvoyOptions::new(id, server.xds, server.folder("envoy")).with_metadata("CLUSTER_ID", "east");
    let mut envoy = Envoy::start(options).await.expect("Envoy starts");
    server.says(&["get", "proxies"], "mute").await;
    // Its kernel still takes every byte; only the process is silent.
    envoy.process().pause();
    let gone = eventually("the mute proxy to be gone", DEADLINE, async || {
        let said = server.say(&["get", "proxies"]);
        if said.contains("mute") { Err(said) } else { Ok(()) }
    });
    gone.await.expect("it is let go");
    envoy.process().resume();
    server.says(&["get", "proxies"], "mute").await;
}

#[tokio::test]
async fn r57_an_absent_name_costs_no_wait() {
    let members = east(&one());
    let server = ControlPlane::on_members(members.path()).await;
    let mut client = Client::connect(server.xds, Dialect::Delta, "east").await;
    let held = BTreeMap::from([("gone".to_owned(), "1".to_owned())]);
    client.resume(CDS, &["gone", "never"], held).await;
    assert_eq!(client.take(CDS).await.removed, ["gone", "never"]);
}
