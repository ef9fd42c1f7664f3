//! A gRPC client with xDS built in resolves `xds:///…` through Parallax and balances over what it gets: real calls to real
//! servers, on addresses of the loopback network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::control_plane::ControlPlane;
use super::harness::{Answers, Dialect, Envoy, EnvoyOptions, GrpcBackends, GrpcClient, eventually, free_port};
use super::manifests::{Members, Pod};

const DEADLINE: Duration = Duration::from_secs(30);
const FULL: &str = "xds:///web.shop.svc.cluster.local:80";
const SHORT: &str = "xds:///web.shop:80";

struct Mesh {
    members: Members,
    control_plane: ControlPlane,
    client: GrpcClient,
    /// Three addresses of pods, and that of a gateway.
    pods: [String; 3],
    gateway: String,
    _backends: GrpcBackends,
}

impl Mesh {
    /// `web` at the first pod in member east, where the client stands too; west is another network behind the gateway.
    async fn start() -> Self {
        // Pods listen on one port, so each test has addresses of its own: a port number that nobody else has makes them.
        let [x, y] = free_port().to_be_bytes();
        let pods = [11, 12, 13].map(|last| format!("127.{x}.{y}.{last}:8080"));
        let gateway = format!("127.{x}.{y}.21:15443");
        let members = Members::new();
        members.place("east", "net1");
        members.place("west", "net2");
        members.gateway("west", "net2", ip(&gateway));
        members.web("east", &[pod(&pods[0])]);
        let control_plane = ControlPlane::on_members(members.path()).await;
        let folder = control_plane.folder("grpc");
        let addresses: Vec<SocketAddr> = pods
            .iter()
            .chain([&gateway])
            .map(|address| address.parse().expect("an address"))
            .collect();
        let backends = GrpcBackends::start(&addresses, &folder).await.expect("they start");
        let client = client(&control_plane, "east").await;
        Self {
            members,
            control_plane,
            client,
            pods,
            gateway,
            _backends: backends,
        }
    }

    /// Waits until the client's calls are answered as wanted.
    async fn answered(&mut self, target: &str, what: &str, mut holds: impl FnMut(&Answers) -> bool) {
        let client = &self.client;
        let seen = eventually(what, DEADLINE, async || {
            let answers = client.call(target, 60).await.map_err(|error| format!("{error:#}"))?;
            if holds(&answers) {
                Ok(())
            } else {
                Err(format!("{answers:?}"))
            }
        });
        if let Err(late) = seen.await {
            panic!("{:#}", self.client.process().failure(&format!("{late:#}")));
        }
    }

    /// Waits until just these backends answer, and no call fails.
    async fn answered_by(&mut self, target: &str, backends: &[&String]) {
        let expected: BTreeSet<&String> = backends.iter().copied().collect();
        self.answered(target, &format!("calls to be answered by {backends:?}"), |answers| {
            answers.errors.is_empty() && answers.backends.keys().collect::<BTreeSet<_>>() == expected
        })
        .await;
    }
}

/// A client in a member.
async fn client(control_plane: &ControlPlane, member: &str) -> GrpcClient {
    let metadata = BTreeMap::from([("CLUSTER_ID", member)]);
    let id = format!("sidecar~127.0.0.50~client-{member}.shop~shop.svc.cluster.local");
    let folder = control_plane.folder(&format!("grpc-{member}"));
    let client = GrpcClient::start(control_plane.xds, &id, &metadata, &folder).await;
    client.expect("it starts")
}

fn ip(address: &str) -> &str {
    address.split_once(':').expect("an address has a port").0
}

fn pod(address: &str) -> Pod {
    Pod::new(&ip(address).replace('.', "-"), ip(address))
}

#[tokio::test]
async fn a_grpc_client_resolves_and_balances_as_the_service_changes() {
    let mut mesh = Mesh::start().await;
    let [a, b, c] = &mesh.pods.clone();
    for target in [FULL, SHORT] {
        mesh.answered_by(target, &[a]).await;
    }

    // Up, one unready, down, away, and back.
    mesh.members.web("east", &[pod(a), pod(b), pod(c)]);
    for target in [FULL, SHORT] {
        mesh.answered_by(target, &[a, b, c]).await;
    }
    mesh.members.web("east", &[pod(a), pod(b).unready(), pod(c)]);
    mesh.answered_by(FULL, &[a, c]).await;
    mesh.members.web("east", &[pod(c)]);
    mesh.answered_by(FULL, &[c]).await;
    mesh.members.web("east", &[]);
    mesh.answered(FULL, "calls to fail for want of endpoints", |answers| {
        answers.errors.keys().any(|error| error.contains("Unavailable"))
    })
    .await;
    mesh.members.web("east", &[pod(b)]);
    mesh.answered_by(FULL, &[b]).await;
    mesh.members.remove("east", "web.yaml");
    mesh.answered(FULL, "calls to fail as the service is gone", |answers| {
        answers.backends.is_empty() && !answers.errors.is_empty()
    })
    .await;
    mesh.members.web("east", &[pod(a)]);
    for target in [FULL, SHORT] {
        mesh.answered_by(target, &[a]).await;
    }

    // It refused nothing, and whoever looks sees what it asked for.
    assert_eq!(mesh.control_plane.metric("parallax_xds_nacks_total").await, 0.0);
    let proxies = mesh.control_plane.say(&["get", "proxies"]);
    assert!(proxies.contains("client-east"), "{proxies}");
}

#[tokio::test]
async fn a_grpc_client_gives_each_network_its_share() {
    let mut mesh = Mesh::start().await;
    let [a, _, c] = &mesh.pods.clone();
    let gateway = &mesh.gateway.clone();
    mesh.answered_by(FULL, &[a]).await;
    // Two pods behind the gateway, one here: two of three calls cross over.
    let behind = [Pod::new("a", "10.2.0.1"), Pod::new("b", "10.2.0.2")];
    mesh.members.web("west", &behind);
    mesh.answered_by(FULL, &[a, gateway]).await;
    let answers = mesh.client.call(FULL, 1500).await.expect("the client answers");
    assert_eq!(answers.errors, BTreeMap::new());
    // Localities are chosen at random: 1,000 are due, with a standard deviation of 18.
    let crossing = answers.backends[gateway];
    assert!((850..=1150).contains(&crossing), "{crossing} of 1500");

    // A client in west has it the other way round: at first nothing leads to east.
    mesh.client = client(&mesh.control_plane, "west").await;
    mesh.members.web("west", &[pod(c)]);
    mesh.answered_by(FULL, &[c]).await;
    mesh.members.gateway("east", "net1", ip(gateway));
    mesh.members.remove("west", "gateway.yaml");
    mesh.answered_by(FULL, &[c, gateway]).await;
    assert_eq!(mesh.control_plane.metric("parallax_xds_nacks_total").await, 0.0);
}

#[tokio::test]
async fn a_gateway_in_the_zone_of_pods_gets_its_share_of_grpc_calls_too() {
    let mut mesh = Mesh::start().await;
    let [a, b, _] = &mesh.pods.clone();
    let gateway = &mesh.gateway.clone();
    mesh.members.place_in("west", "net2", "east");
    mesh.members.web("east", &[pod(a), pod(b)]);
    let behind = ["10.2.0.1", "10.2.0.2", "10.2.0.3", "10.2.0.4"].map(|address| Pod::new(address, address));
    mesh.members.web("west", &behind);
    mesh.answered_by(FULL, &[a, b, gateway]).await;
    // In turn with the two pods it would get a third. Of 1,500 it is due 1,000, with a standard deviation of 18.
    mesh.answered(FULL, "the gateway to be in a group of its own", |answers| {
        answers.errors.is_empty() && answers.backends.get(gateway) > answers.backends.get(a)
    })
    .await;
    let answers = mesh.client.call(FULL, 1500).await.expect("the client answers");
    assert_eq!(answers.errors, BTreeMap::new());
    let crossing = answers.backends[gateway];
    assert!((850..=1150).contains(&crossing), "{crossing} of 1500");
    let evenly = answers.backends[a].abs_diff(answers.backends[b]);
    assert!(evenly <= 2, "{:?}", answers.backends);
    assert_eq!(mesh.control_plane.metric("parallax_xds_nacks_total").await, 0.0);
}

#[tokio::test]
async fn an_envoy_beside_a_grpc_client_gets_none_of_its_listeners() {
    let mut mesh = Mesh::start().await;
    let first = mesh.pods[0].clone();
    mesh.answered_by(SHORT, &[&first]).await;
    let dir = mesh.control_plane.folder("envoy");
    for dialect in [Dialect::Sotw, Dialect::Delta] {
        let id = "sidecar~127.0.0.51~web.shop~shop.svc.cluster.local";
        let mut options = EnvoyOptions::new(id, mesh.control_plane.xds, &dir).with_metadata("CLUSTER_ID", "east");
        options.dialect = dialect;
        options.listeners = true;
        let mut envoy = Envoy::start(options).await.expect("Envoy starts");
        // Answered, if with nothing: it would not be live without.
        envoy
            .wait_for_stat("listener_manager.lds.update_success", DEADLINE, |count| count > 0)
            .await
            .expect("LDS is answered");
        envoy
            .wait_for_stat("server.live", DEADLINE, |live| live == 1)
            .await
            .expect("it is live");
        assert_eq!(
            envoy.config_dump("dynamic_listeners").await.expect("it answers").len(),
            0
        );
        let rejected = envoy.stat("listener_manager.lds.update_rejected").await;
        assert_eq!(rejected.expect("it answers"), Some(0));
    }
}
