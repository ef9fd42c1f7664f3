//! Two networks, three members (east and east2 on net1, west on net2), a control plane that reads folders of manifests.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::certificates::{Authority, Credentials};
pub(crate) use super::client::told;
use super::cluster::PodSpec;
use super::control::ControlPlane;
pub(crate) use super::fleet::DEADLINE;
use super::fleet::{Fleet, Running};
use super::ground::{APART, Ground};
use super::harness::envoy_versions;
use super::manifests;
use super::pod::{self, Envoy, FOLDER, Workload};
use super::space::Space;

/// The only control plane.
pub(crate) const HOME: &str = "home";
pub(crate) const CONTROL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 100, 50));
pub(crate) const GATEWAY_1: &str = "192.168.100.11";
pub(crate) const GATEWAY_2: &str = "192.168.100.12";

const TRAFFIC: &str = "traffic:
  enabled: true
  accessLog: /mnt/access.log
  requestsPerConnection: 1
";

/// In each member the same Service has another address, and the same address is another Service.
pub(crate) const WEB_IN_EAST: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
pub(crate) const WEB_IN_WEST: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 20);

pub(crate) fn workload(name: &'static str, member: &'static str, address: &'static str) -> Workload {
    Workload {
        name,
        member,
        address,
        sidecar: true,
        version: envoy_versions()[0],
    }
}

/// Where workloads have their certificates from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificates {
    /// From files that somebody puts beside their Envoys.
    Files,
    /// From the control plane, over the same stream as everything else, for whoever they prove to be. All of it is made by the
    /// commands that a person types.
    Issued,
    /// Nowhere.
    None,
}

/// What runs, and the authority of its files.
#[derive(Debug)]
pub(crate) struct World {
    fleet: Fleet,
    pub(crate) root: Authority,
    certificates: Certificates,
}

impl Deref for World {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Fleet {
        &mut self.fleet
    }
}

impl World {
    /// The networks and a control plane with these settings of `traffic`; no pods yet.
    pub(crate) async fn new(traffic: &str) -> Self {
        Self::with(Certificates::Files, traffic).await
    }

    pub(crate) async fn with(certificates: Certificates, traffic: &str) -> Self {
        let mut world = Self {
            fleet: Fleet::on(Ground::new(&APART)),
            root: Authority::root("root of the mesh"),
            certificates,
        };
        for (member, network) in [("east", "net1"), ("east2", "net1"), ("west", "net2")] {
            world.say(member, "member.yaml", &manifests::system_namespace(network));
        }
        world.say("east", "gateway.yaml", &manifests::gateway("net1", GATEWAY_1));
        world.say("west", "gateway.yaml", &manifests::gateway("net2", GATEWAY_2));
        let security = match certificates {
            Certificates::None => format!("xds: {{allowPlaintext: true}}\n{TRAFFIC}"),
            Certificates::Files => {
                format!("xds: {{allowPlaintext: true}}\n{TRAFFIC}  certificates: {FOLDER}/certificates\n")
            }
            Certificates::Issued => {
                world.make_authorities();
                format!(
                    "tls: {{certificate: server/tls.crt, key: server/tls.key, clientCa: server/ca.crt}}
identity:
  ca: ca/east
  trustDomainAliases: [old.example]
  proxies: {{require: certificate}}
{TRAFFIC}"
                )
            }
        };
        let settings = format!(
            "listen: {CONTROL}:15010
admin: {{listen: 0.0.0.0:15080}}
membersFolder: members
{security}{traffic}"
        );
        fs::write(world.path("parallax.yaml"), settings).expect("it can be written");
        let address = CONTROL.to_string();
        let space = world.ground.outside("cp", &address);
        let mut control_plane = ControlPlane::new(space, &address, world.path(""), std::iter::empty());
        control_plane.start().await;
        world.control_planes.insert(HOME, control_plane);
        world
    }

    /// What a command says that a person types where the control plane runs.
    pub(crate) fn ask_by_command(&self, arguments: &[&str]) -> String {
        let output = self.command_at(HOME, arguments).output().expect("it starts");
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.ground.path(name)
    }

    /// Changes the settings while they are followed.
    pub(crate) fn change_settings(&self, change: impl FnOnce(&str) -> String) {
        let (path, written) = (self.path("parallax.yaml"), self.path(".settings"));
        let text = fs::read_to_string(&path).expect("it is there");
        fs::write(&written, change(&text)).expect("it can be written");
        fs::rename(written, path).expect("it can be moved");
    }

    /// Puts a manifest in place.
    pub(crate) fn say(&self, member: &str, file: &str, text: &str) {
        let folder = self.path("members").join(member);
        fs::create_dir_all(&folder).expect("it can be made");
        let written = self.path(".written");
        fs::write(&written, text).expect("it can be written");
        fs::rename(written, folder.join(file)).expect("it can be moved");
    }

    /// A machine between the networks, with an application and no part of the mesh.
    pub(crate) fn stranger(&self, name: &'static str, address: &str) -> Space {
        let space = self.ground.outside(name, address);
        pod::application(&space, name, "0.0.0.0");
        space
    }

    /// What the namespace of a pod will be called.
    pub(crate) fn name_of(&self, pod: &str) -> String {
        self.ground.name_of(pod)
    }

    /// A pod with an application, and a sidecar if it has one.
    pub(crate) async fn add(&mut self, workload: Workload, applications_at: &str) {
        let authority = self.root.intermediate(workload.member);
        let credentials = authority.workload(&workload.spec().spiffe_id());
        self.add_as(workload, applications_at, &credentials).await;
    }

    /// The same with these credentials.
    pub(crate) async fn add_as(&mut self, workload: Workload, applications_at: &str, credentials: &Credentials) {
        let spec = workload.spec();
        let space = self.ground.inside(spec.name, spec.network, spec.address);
        pod::application(&space, spec.name, applications_at);
        let envoy = if workload.sidecar {
            pod::capture(&space);
            let node = json!({
                "id": format!("sidecar~{0}~{1}.shop~shop.svc.cluster.local", workload.address, workload.name),
                "cluster": format!("{}.shop", workload.name),
                "metadata": { "CLUSTER_ID": workload.member, "NAMESPACE": "shop" },
            });
            // Half of them speak the other dialect.
            let delta = self.pods.len().is_multiple_of(2);
            let version = workload.version;
            Some(self.envoy(&space, &spec, version, node, delta, Some(credentials)).await)
        } else {
            None
        };
        self.pods.insert(spec.name, Running { envoy, space, spec });
    }

    /// An east-west gateway with a leg outside.
    pub(crate) async fn add_gateway(&mut self, workload: Workload, outside: &'static str) {
        let spec = workload.spec().reached_at(outside);
        let space = self.ground.inside(spec.name, spec.network, spec.address);
        self.ground.reach_out(&space, outside);
        let node = json!({
            "id": format!("router~{0}~{1}.istio-system~istio-system.svc.cluster.local", workload.address, workload.name),
            "cluster": "eastwest",
            "metadata": { "CLUSTER_ID": workload.member },
        });
        let delta = self.pods.len().is_multiple_of(2);
        let version = workload.version;
        let envoy = Some(self.envoy(&space, &spec, version, node, delta, None).await);
        self.pods.insert(spec.name, Running { envoy, space, spec });
    }

    async fn envoy(
        &self,
        space: &Space,
        spec: &PodSpec,
        version: &str,
        node: Value,
        delta: bool,
        credentials: Option<&Credentials>,
    ) -> Envoy {
        let folder = self.ground.folder(spec.name);
        match self.certificates {
            Certificates::Files | Certificates::None => {
                if let Some(credentials) = credentials.filter(|_| self.certificates == Certificates::Files) {
                    pod::put_credentials(&folder, credentials);
                }
                let xds = SocketAddr::new(CONTROL, 15010);
                let bootstrap = pod::bootstrap(&node, xds, delta).to_string();
                fs::write(folder.join("bootstrap.json"), bootstrap).expect("it can be written");
            }
            Certificates::Issued => self.bootstrap(spec),
        }
        Envoy::start_version(space, &folder, spec.name, version).await
    }

    /// The usual pods: a client on each network, and two of `web` on each, those of net1 in two members.
    pub(crate) async fn usual(traffic: &str) -> Self {
        Self::usual_with(Certificates::Files, traffic).await
    }

    pub(crate) async fn usual_with(certificates: Certificates, traffic: &str) -> Self {
        let mut world = Self::with(certificates, traffic).await;
        let web = world.web();
        world.say_web(&web);
        for (client, member, address) in [("client-1", "east", "10.1.0.10"), ("client-2", "west", "10.2.0.10")] {
            world.add(workload(client, member, address), "0.0.0.0").await;
        }
        for pod in web {
            world.add(pod, "0.0.0.0").await;
        }
        world.add_gateway(workload("gw-1", "east", "10.1.0.2"), GATEWAY_1).await;
        world.add_gateway(workload("gw-2", "west", "10.2.0.2"), GATEWAY_2).await;
        world
    }

    pub(crate) fn web(&self) -> Vec<Workload> {
        vec![
            workload("web-1", "east", "10.1.0.20"),
            workload("web-2", "east2", "10.1.0.21"),
            workload("web-3", "west", "10.2.0.20"),
            workload("web-4", "west", "10.2.0.21"),
        ]
    }

    /// The Service `web`: HTTP on 80, on 81 the same undeclared, on 9000 bytes of a server that speaks first.
    pub(crate) fn say_web(&self, pods: &[Workload]) {
        for (member, ip) in [("east", WEB_IN_EAST), ("east2", WEB_IN_EAST), ("west", WEB_IN_WEST)] {
            let here: Vec<_> = pods.iter().filter(|pod| pod.member == member).collect();
            let ports = [("http", 80, 8080), ("any", 81, 8080), ("tcp-first", 9000, 9000)];
            self.say(
                member,
                "web.yaml",
                &manifests::service("web", &ip.to_string(), &ports, &here),
            );
        }
    }
}

/// The identity of a pod.
pub(crate) fn spiffe_id(pod: &'static str) -> String {
    workload(pod, "", "").spec().spiffe_id()
}
