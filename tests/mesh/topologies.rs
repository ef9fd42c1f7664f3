//! The four topologies of `config/topologies`, from what a person applies to requests between pods: who answers, which way, and
//! who is said to have asked. On two networks once with ranges of addresses of their own and once with the same.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::client::{self, told};
use super::cluster::{Cluster, PodSpec};
use super::ground::{APART, Network};
use super::harness::{
    self, Kubernetes, PEER_AUTHENTICATION, SERVICE_ENTRY, WORKLOAD_ENTRY, eventually, install_kind, kubeconfig_of,
};
use super::mesh::{DEADLINE, Mesh};
use super::pod;
use super::resolved::{self, Names, Service};
use super::space::need_namespaces;

const TOGETHER: [Network; 1] = [("net1", "10.1.0", "192.168.100.1")];
const ALIKE: [Network; 2] = [("net1", "10.1.0", "192.168.100.1"), ("net2", "10.1.0", "192.168.100.2")];
const CONTROL_PLANES: [(&str, &str); 2] = [("east", "192.168.100.50"), ("west", "192.168.100.51")];

fn config(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config/topologies")
        .join(path)
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Where the pods are. What each is for says its name: two that ask, three that answer and a virtual machine that does too, one
/// that isn't ready.
struct Layout {
    pods: Vec<PodSpec>,
    gateways: Vec<PodSpec>,
}

impl Layout {
    fn of(networks: &[Network]) -> Self {
        let east = |name, address| PodSpec::new(name, "east", "net1", address);
        let far = networks.get(1).map(|(_, addresses, _)| *addresses);
        let west = |name, [together, apart, alike]: [&'static str; 3]| match far {
            None => PodSpec::new(name, "west", "net1", together),
            Some("10.1.0") => PodSpec::new(name, "west", "net2", alike),
            Some(_) => PodSpec::new(name, "west", "net2", apart),
        };
        // With the same ranges even the addresses of pods are the same.
        let pods = vec![
            east("client-1", "10.1.0.10"),
            east("web-1", "10.1.0.20"),
            west("client-2", ["10.1.0.110", "10.2.0.10", "10.1.0.10"]),
            west("web-2", ["10.1.0.120", "10.2.0.20", "10.1.0.20"]),
            west("web-3", ["10.1.0.121", "10.2.0.21", "10.1.0.21"]),
            west("web-vm", ["10.1.0.130", "10.2.0.30", "10.1.0.30"]).is_machine(),
            west("web-4", ["10.1.0.122", "10.2.0.22", "10.1.0.22"]),
        ];
        let gateways = match far {
            None => Vec::new(),
            Some(_) => vec![
                east("eastwest-1", "10.1.0.2").reached_at("192.168.100.11"),
                west("eastwest-2", ["", "10.2.0.2", "10.1.0.2"]).reached_at("192.168.100.12"),
            ],
        };
        Self { pods, gateways }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_flow_in_each_of_the_four_topologies() {
    need_namespaces();
    let kubernetes = Kubernetes::start().await.expect("etcd starts");
    let (east, west) = tokio::join!(kubernetes.start_member("east"), kubernetes.start_member("west"));
    let members = [east.expect("it starts"), west.expect("it starts")];
    let clusters = [
        Cluster::of("east", &members[0]).await,
        Cluster::of("west", &members[1]).await,
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let people = kubeconfig_of(folder.path(), &[&members[0], &members[1]]).expect("it can be written");
    let mut accounts = BTreeMap::new();
    for (cluster, member) in clusters.iter().zip(&members) {
        cluster.furnish(&["z1"]).await;
        for kind in [WORKLOAD_ENTRY, SERVICE_ENTRY, PEER_AUTHENTICATION] {
            let installed = install_kind(&cluster.client, kind, "v1").await;
            installed.expect("the kind is taken");
        }
        let account = harness::account(member, &cluster.client, folder.path()).await;
        accounts.insert(cluster.name, account.expect("it is made"));
    }
    // Those of one network first: they need nothing applied that the others would have to take back.
    for (topology, networks) in [
        ("primary-remote-one-network", &TOGETHER[..]),
        ("multi-primary-one-network", &TOGETHER),
        ("primary-remote-two-networks", &APART),
        ("multi-primary-two-networks", &ALIKE),
    ] {
        let began = tokio::time::Instant::now();
        let mut mesh = Mesh::new(networks, &clusters);
        let layout = Layout::of(networks);
        build(&mut mesh, topology, &layout, &accounts, &people).await;
        check(&mesh, &layout).await;
        names_resolve(&mut mesh, &layout).await;
        somebody_elses_service_is_reached(&mesh, &layout).await;
        if topology == "multi-primary-two-networks" {
            policies_count(&mesh, layout.pods[0].name, layout.pods[1]).await;
        }
        mesh.refuses_a_stolen_name(layout.pods[0], layout.pods[1]).await;
        mesh.nobody_refused_anything();
        for control_plane in mesh.control_planes.keys() {
            members_command(&mesh, control_plane, "detach", &people);
        }
        for pod in layout.pods.iter().chain(&layout.gateways) {
            mesh.clusters[pod.member].delete_pod(pod).await;
        }
        eprintln!("==> {topology}: {:.1} s", began.elapsed().as_secs_f64());
    }
}

/// Lets the other cluster join, or leave.
fn members_command(mesh: &Mesh, home: &str, what: &str, people: &Path) {
    let other = if home == "east" { "west" } else { "east" };
    let people = people.display().to_string();
    let contexts = ["--context", other, "--home-context", home, "--kubeconfig", &people];
    mesh.parallax_at(home, &[&["members", what, other], &contexts[..]].concat());
}

/// Does what docs/topologies.md says, with what a pod has replaced by what this machine has: an account, certificates, a disk.
async fn build(mesh: &mut Mesh, topology: &str, layout: &Layout, accounts: &BTreeMap<&str, PathBuf>, people: &Path) {
    for cluster in mesh.clusters.values() {
        let folder = config(topology).join(cluster.name);
        for file in ["namespace.yaml", "gateway.yaml", "remote.yaml"] {
            let file = folder.join(file);
            if file.exists() {
                let applied = harness::apply_file(&cluster.client, &file).await;
                applied.expect("it is taken");
            }
        }
    }
    for gateway in &layout.gateways {
        let outside = gateway.outside.expect("a gateway has one");
        mesh.clusters[gateway.member]
            .balances("eastwest-gateway", outside)
            .await;
    }
    for (name, address) in CONTROL_PLANES {
        let file = config(topology).join(name).join("parallax.yaml");
        if !file.exists() {
            mesh.served_by.insert(name, "east");
            continue;
        }
        let folder = mesh.folder_of(name).display().to_string();
        let account = format!("kubeconfig: {}", accounts[name].display());
        let settings = text(&file) + &text(&config("traffic.yaml"));
        let settings = settings
            .replace(
                "/etc/parallax/ca",
                &mesh.ground.path("ca").join(name).display().to_string(),
            )
            .replace("/etc/parallax/tls", &format!("{folder}/tls"))
            .replace("/var/lib/parallax", &folder)
            .replace("inCluster: true", &account);
        // Each request on a connection of its own, so that each is balanced.
        let settings = settings + "  accessLog: /mnt/access.log\n  requestsPerConnection: 1\n";
        mesh.start_control_plane(name, address, &settings).await;
    }
    let homes: Vec<_> = mesh.control_planes.keys().copied().collect();
    for home in homes {
        members_command(mesh, home, "attach", people);
    }
    for pod in layout.pods.iter().chain(&layout.gateways) {
        mesh.start_pod(*pod).await;
    }
    let unready = layout.pods.last().expect("there are pods");
    mesh.clusters[unready.member].report_pod(unready, false).await;
}

async fn check(mesh: &Mesh, layout: &Layout) {
    let ready = ["web-1", "web-2", "web-3", "web-vm"];
    for client in layout.pods.iter().filter(|pod| pod.account() == "client") {
        let ip = mesh.clusters[client.member].cluster_ip("web").await;
        mesh.answered_by(client.name, (ip, 80), &ready).await;
        let before = settled_log(mesh, client.name).await;

        // Each answers a quarter, wherever it is.
        let counts = mesh.count(client.name, (ip, 80), 60);
        for pod in ready {
            let share = counts.get(pod).copied().unwrap_or(0);
            assert!(
                (12..=18).contains(&share),
                "{}: {counts:?}\n{}",
                client.name,
                mesh.accesses(client.name, 60)
            );
        }
        // Who asked arrives, and is the client's own identity.
        let answer = mesh
            .get(client.name, (ip, 80), "web.shop.svc.cluster.local")
            .expect("it answers");
        let peer = told(&answer)["peer"].as_str().unwrap_or_default().to_owned();
        assert!(peer.contains(&format!("URI={}", client.spiffe_id())), "{peer}");

        // Direct where the network is shared, and nowhere else: by the address if need be, through the gateway of the other network.
        let log = lines_after(mesh, client.name, before, 61).await;
        let mut expected = BTreeMap::new();
        for pod in layout.pods.iter().filter(|pod| ready.contains(&pod.name)) {
            let way = if pod.network == client.network {
                format!("{}:8080", pod.address)
            } else {
                let gateway = layout.gateways.iter().find(|gateway| gateway.network == pod.network);
                format!(
                    "{}:15443",
                    gateway.and_then(|gateway| gateway.outside).expect("it has a gateway")
                )
            };
            *expected.entry(way).or_insert(0) += 1;
        }
        let mut ways = BTreeMap::new();
        for line in &log {
            let way = line.split(" upstream=").nth(1).and_then(|rest| rest.split(' ').next());
            *ways.entry(way.unwrap_or_default().to_owned()).or_insert(0) += 1;
        }
        assert!(
            ways.keys().eq(expected.keys()),
            "{}: {ways:?}, not {expected:?}",
            client.name
        );
        for (way, pods) in expected {
            let share = ways[&way];
            assert!((12 * pods..=19 * pods).contains(&share), "{}: {ways:?}", client.name);
        }
    }
    // What a gateway is for.
    for gateway in &layout.gateways {
        assert!(
            mesh.stat(gateway.name, &["15443", "downstream_cx_total"]) > 0,
            "{}",
            gateway.name
        );
    }
}

/// Clients ask for names as applications do, and go where these lead: a Service of both clusters by its short name and by the one
/// for all of the mesh, and what only the other cluster has.
async fn names_resolve(mesh: &mut Mesh, layout: &Layout) {
    let ready = ["web-1", "web-2", "web-3", "web-vm"];
    let [east, west] = [("desk", &ready[..1]), ("till", &ready[1..])];
    for (member, (name, _)) in [("east", east), ("west", west)] {
        let spec =
            json!({ "selector": { "app": "web" }, "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] });
        let metadata = json!({ "name": name, "namespace": "shop" });
        let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec });
        mesh.clusters[member].apply(&service).await;
    }
    for client in layout.pods.iter().filter(|pod| pod.account() == "client") {
        let (own, other) = if client.member == "east" {
            (east, west)
        } else {
            (west, east)
        };
        let names = Names::of(mesh, client, &["web", own.0]).await;
        for (name, service, pods) in [
            ("web", Service::Own("web"), &ready[..]),
            ("web.shop.global", Service::Own("web"), &ready),
            (own.0, Service::Own(own.0), own.1),
            (other.0, Service::Others, other.1),
            (&format!("{}.shop.svc.cluster.local", other.0), Service::Others, other.1),
            (&format!("{}.shop.global", other.0), Service::Others, other.1),
        ] {
            names.lead_to(mesh, name, service, pods).await;
        }
    }
}

/// A machine of nobody in the mesh, between the networks, by the name that a `ServiceEntry` in east gives it: directly, from all.
async fn somebody_elses_service_is_reached(mesh: &Mesh, layout: &Layout) {
    let machine = mesh.ground.outside("api", "192.168.100.80");
    pod::application(&machine, "api", "0.0.0.0");
    let entry = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": { "name": "api", "namespace": "shop" },
        "spec": {
            "hosts": ["api.example.com"],
            "location": "MESH_EXTERNAL",
            "resolution": "STATIC",
            "ports": [
                { "number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8080 },
                { "number": 9000, "name": "first", "protocol": "TCP" },
            ],
            "endpoints": [{ "address": "192.168.100.80" }],
        },
    });
    mesh.clusters["east"].apply(&entry).await;
    for client in layout.pods.iter().filter(|pod| pod.account() == "client") {
        let ip = mesh.clusters[client.member].cluster_ip("web").await;
        let look = async || match mesh.get(client.name, (ip, 80), "api.example.com") {
            Ok(answer) if told(&answer)["pod"] == "api" => Ok(()),
            other => Err(format!("{other:?}")),
        };
        let what = format!("api.example.com to answer {}", client.name);
        if let Err(late) = eventually(&what, DEADLINE, look).await {
            panic!("{late:#}\n{}", mesh.accesses(client.name, 5));
        }
        let logged = async || match mesh
            .log(client.name)
            .iter()
            .any(|line| line.contains("upstream=192.168.100.80:8080"))
        {
            true => Ok(()),
            false => Err(mesh.accesses(client.name, 5)),
        };
        eventually("its way to be logged", DEADLINE, logged)
            .await
            .expect("it is direct");
        // The entry says no address: the name leads to a virtual one, at which bytes get there that say no name.
        let address = resolved::virtual_address(mesh, client.name, "api.example.com").await;
        let answer = mesh.get(client.name, (address, 80), "api.example.com");
        assert_eq!(told(&answer.expect("it answers"))["pod"], "api");
        let space = &mesh.pods[client.name].space;
        let said = space.within(|| super::client::listen_to((address, 9000).into()));
        assert_eq!(said.expect("it speaks"), "api", "{}", mesh.accesses(client.name, 5));
    }
}

/// Policies that a person applies in a pod's cluster, one after the other: whoever has no sidecar gets in or not, and sidecars follow.
async fn policies_count(mesh: &Mesh, client: &str, pod: PodSpec) {
    let cluster = &mesh.clusters[pod.member];
    let to = (cluster.cluster_ip("web").await, 80);
    let plain = mesh.ground.inside("plain", pod.network, "10.1.0.99");
    let at = |port: u16| SocketAddr::new(pod.address.parse().expect("an address"), port);
    let policy = |spec: Value| {
        json!({
            "apiVersion": "security.istio.io/v1",
            "kind": "PeerAuthentication",
            "metadata": { "name": "web", "namespace": "shop" },
            "spec": spec,
        })
    };
    let of_port = |mode: &str| {
        json!({
            "selector": { "matchLabels": { "app": "web" } },
            "mtls": { "mode": "STRICT" },
            "portLevelMtls": { "8080": { "mode": mode } },
        })
    };
    let enters = async |plaintext: bool, peer: bool, said: &str| {
        let what = format!("plaintext {plaintext} and a peer {peer} by {said}");
        let look = async || {
            let entered = plain.within(|| client::get(at(8080), "web", "/"));
            if entered.as_ref().is_ok_and(|answer| answer.status == 200) != plaintext {
                return Err(format!("{entered:?}"));
            }
            match mesh.get(client, to, "web") {
                Ok(answer) if told(&answer)["pod"] != pod.name => Err("another pod answers".to_owned()),
                Ok(answer) if told(&answer)["peer"].as_str().is_some_and(|told| !told.is_empty()) == peer => Ok(()),
                other => Err(format!("{other:?}")),
            }
        };
        mesh.until(&what, look).await;
    };
    enters(false, true, "the settings").await;
    for (spec, plaintext, peer) in [
        (json!({ "mtls": { "mode": "PERMISSIVE" } }), true, true),
        (json!({ "mtls": { "mode": "STRICT" } }), false, true),
        (of_port("PERMISSIVE"), true, true),
        (of_port("DISABLE"), true, false),
    ] {
        cluster.apply(&policy(spec.clone())).await;
        enters(plaintext, peer, &spec.to_string()).await;
        if spec.get("portLevelMtls").is_some() {
            // Of the other port nothing is said.
            let said = plain.within(|| client::listen_to(at(9000)));
            assert!(said.as_ref().is_ok_and(String::is_empty) || said.is_err(), "{said:?}");
        }
    }
    let deleted = harness::delete(&cluster.client, &policy(json!({}))).await;
    deleted.expect("it is deleted");
    enters(false, true, "nothing any more").await;
}

/// How many lines a pod's access log has, once all requests so far are in it: the last one that was made for this.
async fn settled_log(mesh: &Mesh, pod: &str) -> usize {
    let ip = mesh.clusters[mesh.pods[pod].spec.member].cluster_ip("web").await;
    mesh.ask(pod, (ip, 80), "web", "/the-last-one").expect("it answers");
    let look = async || match mesh.log(pod).iter().rposition(|line| line.contains("/the-last-one")) {
        Some(position) => Ok(position + 1),
        None => Err("not there".to_owned()),
    };
    eventually("a request to be logged", DEADLINE, look)
        .await
        .expect("it is")
}

/// Waits until a pod's access log has this many lines more than before, which takes some milliseconds.
async fn lines_after(mesh: &Mesh, pod: &str, before: usize, count: usize) -> Vec<String> {
    let look = async || {
        let log = mesh.log(pod);
        match log.len() {
            length if length >= before + count => Ok(log[before..].to_vec()),
            length => Err(format!("{length} lines")),
        }
    };
    let what = format!("{count} lines after {before} in the log of {pod}");
    eventually(&what, DEADLINE, look).await.expect("they come")
}
