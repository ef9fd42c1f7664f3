//! Three members on two networks: east and east2 share one, west has the other and two gateways. One control plane, in east,
//! on the files of `config/topologies/primary-remote-two-networks`.
//!
//! ```text
//! net1: east   client-1, web-1 (z1), web-2 (z2), eastwest-1        net2: west   client-2, web-4, web-5, eastwest-2, eastwest-3
//!       east2  web-3
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::cluster::{Cluster, PodSpec};
use super::ground::APART;
use super::harness::{Kubernetes, Member, SERVICE_ENTRY, WORKLOAD_ENTRY, account, install_kind, kubeconfig_of};
use super::load::Load;
use super::mesh::Mesh;

pub(crate) const PODS: [PodSpec; 10] = [
    PodSpec::new("eastwest-1", "east", "net1", "10.1.0.2").reached_at("192.168.100.11"),
    PodSpec::new("eastwest-2", "west", "net2", "10.2.0.2").reached_at("192.168.100.12"),
    PodSpec::new("eastwest-3", "west", "net2", "10.2.0.3").reached_at("192.168.100.13"),
    PodSpec::new("client-1", "east", "net1", "10.1.0.10"),
    PodSpec::new("client-2", "west", "net2", "10.2.0.10"),
    PodSpec::new("web-1", "east", "net1", "10.1.0.20"),
    PodSpec::new("web-2", "east", "net1", "10.1.0.21").in_zone("z2"),
    PodSpec::new("web-3", "east2", "net1", "10.1.0.22"),
    PodSpec::new("web-4", "west", "net2", "10.2.0.20"),
    PodSpec::new("web-5", "west", "net2", "10.2.0.21"),
];

/// All pods of `web`.
pub(crate) const WEB: [&str; 5] = ["web-1", "web-2", "web-3", "web-4", "web-5"];

const MEMBERS: [(&str, &str); 3] = [("east", "net-east"), ("east2", "net-east"), ("west", "net-west")];

/// All of it. Processes end in the order of the fields.
pub(crate) struct Three {
    pub(crate) mesh: Mesh,
    pub(crate) members: BTreeMap<&'static str, Member>,
    /// What a person with rights in all of them has.
    pub(crate) people: PathBuf,
    _kubernetes: Kubernetes,
}

impl Three {
    /// Starts the API servers and the control plane, with more lines for the section `traffic` of its settings; `lifetime` is
    /// that of certificates. No pods yet, but two members have joined.
    pub(crate) async fn start(lifetime: &str, traffic: &str) -> Self {
        let kubernetes = Kubernetes::start().await.expect("etcd starts");
        let start = |name| kubernetes.start_member(name);
        let (east, east2, west) = tokio::join!(start("east"), start("east2"), start("west"));
        let mut members = BTreeMap::new();
        let mut clusters = Vec::new();
        for ((name, network), member) in MEMBERS.into_iter().zip([east, east2, west]) {
            let member = member.expect("the API server starts");
            let cluster = Cluster::of(name, &member).await;
            cluster.furnish(&["z1", "z2"]).await;
            for kind in [WORKLOAD_ENTRY, SERVICE_ENTRY] {
                let installed = install_kind(&cluster.client, kind, "v1").await;
                installed.expect("the kind is taken");
            }
            let labels = json!({ "topology.istio.io/network": network });
            cluster.namespace("istio-system", &labels).await;
            for gateway in PODS.iter().filter(|pod| pod.is_gateway() && pod.member == name) {
                cluster.gateway_service(network, gateway).await;
            }
            clusters.push(cluster);
            members.insert(name, member);
        }
        let mut mesh = Mesh::new(&APART, &clusters);
        mesh.served_by.extend([("east2", "east"), ("west", "east")]);
        let folder = mesh.ground.path("");
        let people = kubeconfig_of(&folder, &members.values().collect::<Vec<_>>()).expect("it can be written");
        let account = account(&members["east"], &clusters[0].client, &folder).await;
        let settings = settings(&mesh, &account.expect("it is made"), lifetime, traffic);
        mesh.start_control_plane("east", "192.168.100.50", &settings).await;
        let three = Self {
            mesh,
            members,
            people,
            _kubernetes: kubernetes,
        };
        for member in ["east2", "west"] {
            three.members_command("attach", member, &[]);
        }
        three
    }

    /// Starts all pods.
    pub(crate) async fn start_pods(&mut self) {
        for pod in PODS {
            self.mesh.start_pod(pod).await;
        }
    }

    /// `parallax members WHAT MEMBER …`, as a person types it.
    pub(crate) fn members_command(&self, what: &str, member: &str, more: &[&str]) -> String {
        let people = self.people.display().to_string();
        let contexts = ["--context", member, "--home-context", "east", "--kubeconfig", &people];
        self.mesh
            .parallax_at("east", &[&["members", what, member], &contexts[..], more].concat())
    }

    /// The API server of a member, to kill it and to start it again.
    pub(crate) fn api_server(&mut self, member: &str) -> &mut Member {
        self.members.get_mut(member).expect("it is one of three")
    }

    /// Where a member's applications find `web`.
    pub(crate) async fn web(&self, member: &str) -> (Ipv4Addr, u16) {
        (self.mesh.clusters[member].cluster_ip("web").await, 80)
    }

    /// Starts to ask from a client.
    pub(crate) async fn load(&self, client: &str) -> Load {
        let running = &self.mesh.pods[client];
        let to = SocketAddr::from(self.web(running.spec.member).await);
        Load::start(&running.space, to, "web")
    }
}

fn settings(mesh: &Mesh, account: &Path, lifetime: &str, traffic: &str) -> String {
    let topologies = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/topologies");
    let text = |file: &str| fs::read_to_string(topologies.join(file)).expect("it is there");
    let here = mesh.folder_of("east").display().to_string();
    let authority = format!(
        "{}\n  workloadCertificateLifetime: {lifetime}",
        mesh.ground.path("ca/east").display()
    );
    let settings = text("primary-remote-two-networks/east/parallax.yaml") + &text("traffic.yaml");
    settings
        .replace("/etc/parallax/ca", &authority)
        .replace("/etc/parallax/tls", &format!("{here}/tls"))
        .replace("/var/lib/parallax", &here)
        .replace("inCluster: true", &format!("kubeconfig: {}", account.display()))
        + "  accessLog: /mnt/access.log\n"
        + traffic
}
