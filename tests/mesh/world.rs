//! Two networks, three members (east and east2 on net1, west on net2), a control plane that reads folders of manifests.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::certificates::{Authority, Credentials};
pub(crate) use super::client::told;
use super::client::{self, Answer};
use super::ground::{APART, Ground};
use super::harness::{Process, Stop, envoy_versions, eventually};
use super::issued::{account, namespace};
use super::manifests;
use super::pod::{self, Envoy, FOLDER, Workload};
use super::space::Space;

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
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

/// A pod that runs.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) workload: Workload,
    pub(crate) space: Space,
    pub(crate) envoy: Option<Envoy>,
}

/// Where workloads have their certificates from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificates {
    /// From files that somebody puts beside their Envoys.
    Files,
    /// From the control plane, over the same stream as everything else, for whoever they prove to be. All of it is made by the
    /// commands that a person types.
    Issued,
}

/// Everything. Processes end first, then namespaces go.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) control_plane: Option<Process>,
    pub(crate) pods: BTreeMap<&'static str, Pod>,
    pub(crate) root: Authority,
    certificates: Certificates,
    control: Space,
    ground: Ground,
}

impl World {
    /// The networks and a control plane with these settings of `traffic`; no pods yet.
    pub(crate) async fn new(traffic: &str) -> Self {
        Self::with(Certificates::Files, traffic).await
    }

    pub(crate) async fn with(certificates: Certificates, traffic: &str) -> Self {
        let ground = Ground::new(&APART);
        let control = ground.outside("cp", &CONTROL.to_string());
        let mut world = Self {
            control_plane: None,
            pods: BTreeMap::new(),
            root: Authority::root("root of the mesh"),
            certificates,
            control,
            ground,
        };
        for (member, network) in [("east", "net1"), ("east2", "net1"), ("west", "net2")] {
            world.say(member, "member.yaml", &manifests::member(network));
        }
        world.say("east", "gateway.yaml", &manifests::gateway("net1", GATEWAY_1));
        world.say("west", "gateway.yaml", &manifests::gateway("net2", GATEWAY_2));
        let security = match certificates {
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
admin: {{listen: '{CONTROL}:15080'}}
membersFolder: members
{security}{traffic}"
        );
        fs::write(world.path("parallax.yaml"), settings).expect("it can be written");
        world.start_control_plane().await;
        world
    }

    /// Starts it, or starts it again.
    pub(crate) async fn start_control_plane(&mut self) {
        self.control_plane = None;
        let mut command = Command::new("ip");
        command.args([
            "netns",
            "exec",
            self.control.name(),
            env!("CARGO_BIN_EXE_parallax"),
            "serve",
            "--config",
        ]);
        command.arg(self.path("parallax.yaml"));
        let log = self.path("parallax.log");
        let mut process = Process::start("parallax", command, &log, Stop::Kill).expect("it starts");
        let ready = process.until("it to be ready", DEADLINE, async || {
            match self.ask_control_plane("/readyz") {
                Ok(answer) if answer.status == 200 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        ready.await.unwrap_or_else(|error| panic!("{error:#}"));
        self.control_plane = Some(process);
    }

    /// What a command says that a person types where the control plane runs.
    pub(crate) fn ask_by_command(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", self.control.name()])
            .arg(env!("CARGO_BIN_EXE_parallax"));
        command
            .args(arguments)
            .env("PARALLAX_SERVER", format!("http://{CONTROL}:15080"));
        let output = command.output().expect("it starts");
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    }

    fn ask_control_plane(&self, path: &str) -> std::io::Result<Answer> {
        self.control
            .within(|| client::get(SocketAddr::new(CONTROL, 15080), "admin", path))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.ground.path(name)
    }

    /// Puts a manifest in place.
    pub(crate) fn say(&self, member: &str, file: &str, text: &str) {
        let folder = self.path("members").join(member);
        fs::create_dir_all(&folder).expect("it can be made");
        let written = self.path(".written");
        fs::write(&written, text).expect("it can be written");
        fs::rename(written, folder.join(file)).expect("it can be moved");
    }

    /// A namespace on a network, with a way out.
    fn place(&self, name: &str, address: &str) -> Space {
        let network = if address.starts_with("10.1.") { "net1" } else { "net2" };
        self.ground.inside(name, network, address)
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
        let credentials = authority.workload(&spiffe_id(workload.name));
        self.add_as(workload, applications_at, &credentials).await;
    }

    /// The same with these credentials.
    pub(crate) async fn add_as(&mut self, workload: Workload, applications_at: &str, credentials: &Credentials) {
        let space = self.place(workload.name, workload.address);
        pod::application(&space, workload.name, applications_at);
        let envoy = if workload.sidecar {
            pod::capture(&space);
            let node = json!({
                "id": format!("sidecar~{0}~{1}.shop~shop.svc.cluster.local", workload.address, workload.name),
                "cluster": format!("{}.shop", workload.name),
                "metadata": { "CLUSTER_ID": workload.member, "NAMESPACE": "shop" },
            });
            // Half of them speak the other dialect.
            let delta = self.pods.len().is_multiple_of(2);
            Some(self.envoy(&space, &workload, node, delta, Some(credentials)).await)
        } else {
            None
        };
        let pod = Pod { workload, space, envoy };
        self.pods.insert(pod.workload.name, pod);
    }

    /// An east-west gateway with a leg outside.
    pub(crate) async fn add_gateway(&mut self, workload: Workload, outside: &str) {
        let space = self.place(workload.name, workload.address);
        self.ground.reach_out(&space, outside);
        let node = json!({
            "id": format!("router~{0}~{1}.istio-system~istio-system.svc.cluster.local", workload.address, workload.name),
            "cluster": "eastwest",
            "metadata": { "CLUSTER_ID": workload.member },
        });
        let delta = self.pods.len().is_multiple_of(2);
        let envoy = Some(self.envoy(&space, &workload, node, delta, None).await);
        let pod = Pod { workload, space, envoy };
        self.pods.insert(pod.workload.name, pod);
    }

    async fn envoy(
        &self,
        space: &Space,
        workload: &Workload,
        node: Value,
        delta: bool,
        credentials: Option<&Credentials>,
    ) -> Envoy {
        let folder = self.path(workload.name);
        fs::create_dir_all(&folder).expect("it can be made");
        match self.certificates {
            Certificates::Files => {
                if let Some(credentials) = credentials {
                    pod::put_credentials(&folder, credentials);
                }
                let xds = SocketAddr::new(CONTROL, 15010);
                let bootstrap = pod::bootstrap(&node, xds, delta).to_string();
                fs::write(folder.join("bootstrap.json"), bootstrap).expect("it can be written");
            }
            Certificates::Issued => self.type_bootstrap(&folder, workload),
        }
        Envoy::start_version(space, &folder, workload.name, workload.version).await
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

    /// A request from a pod's application: a connection of its own.
    pub(crate) fn get(&self, from: &str, to: (Ipv4Addr, u16), host: &str) -> std::io::Result<Answer> {
        self.pods[from].space.within(|| client::get(to.into(), host, "/"))
    }

    /// Asks until the answer is 200 and from one of these pods: what was just said takes its time to arrive.
    pub(crate) async fn settled(&self, from: &str, to: (Ipv4Addr, u16), host: &str, pod: &str) {
        let what = format!("{from} to get to {pod}");
        let found = eventually(&what, DEADLINE, async || match self.get(from, to, host) {
            Ok(answer) if answer.status == 200 && told(&answer)["pod"] == pod => Ok(()),
            other => Err(format!("{other:?}")),
        });
        if let Err(late) = found.await {
            panic!("{late:#}\n{}", self.everything());
        }
    }

    /// How often each pod answered so many requests.
    pub(crate) fn count(
        &self,
        from: &str,
        to: (Ipv4Addr, u16),
        host: &str,
        requests: usize,
    ) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..requests {
            let pod = match self.get(from, to, host) {
                Ok(answer) if answer.status == 200 => told(&answer)["pod"].as_str().expect("a name").to_owned(),
                other => format!("{other:?}"),
            };
            *counts.entry(pod).or_default() += 1;
        }
        counts
    }

    pub(crate) fn stat(&self, pod: &str, parts: &[&str]) -> u64 {
        pod::stat(&self.pods[pod].space, parts)
    }

    pub(crate) fn accesses(&self, pod: &str) -> Vec<String> {
        self.pods[pod].envoy.as_ref().map(Envoy::accesses).unwrap_or_default()
    }

    /// Waits until a pod's access log has these words: it is written some milliseconds after the answer.
    pub(crate) async fn logged(&self, pod: &str, words: &str) {
        let look = async || match self.accesses(pod).join("\n") {
            log if log.contains(words) => Ok(()),
            log => Err(log),
        };
        if let Err(late) = eventually(&format!("{words:?} in the log of {pod}"), DEADLINE, look).await {
            panic!("{late:#}");
        }
    }

    /// What helps to understand a failure.
    pub(crate) fn everything(&self) -> String {
        let mut text = String::new();
        for (name, pod) in &self.pods {
            if let Some(envoy) = &pod.envoy {
                let accesses = envoy.accesses();
                let last = &accesses[accesses.len().saturating_sub(5)..];
                text += &format!("--- {name}\n{}\n", last.join("\n"));
            }
        }
        text
    }

    /// No Envoy ever refused anything that it was sent.
    pub(crate) fn nobody_refused_anything(&self) {
        for (name, pod) in self.pods.iter().filter(|(_, pod)| pod.envoy.is_some()) {
            for stat in ["update_rejected", "listener_create_failure"] {
                assert_eq!(pod::stat(&pod.space, &[stat]), 0, "{name}: {stat}");
            }
        }
        let metrics = self.ask_control_plane("/metrics").expect("it answers").body;
        let nacks = metrics
            .lines()
            .filter(|line| line.contains("nack") && !line.starts_with('#'));
        for line in nacks {
            assert!(line.ends_with(" 0"), "{line}");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.control_plane = None;
        self.pods.clear();
    }
}

/// The identity of a pod.
pub(crate) fn spiffe_id(pod: &str) -> String {
    format!("spiffe://cluster.local/ns/{}/sa/{}", namespace(pod), account(pod))
}
