//! A mesh on real API servers: control planes and pods in namespaces, all of it by the commands and files of a user.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use super::client::{self, Answer, told};
use super::cluster::{Cluster, Kind, PodSpec};
use super::ground::{Ground, Network};
use super::harness::{Process, Stop, eventually};
use super::held::Held;
use super::parallax;
use super::pod::{self, Envoy, FOLDER};
use super::space::{Space, shell};
use super::wire::Wire;

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// The file with the root that proxies know the control plane by.
const ROOT: &str = "root-cert.pem";

/// A control plane in a namespace of its own, which is a machine between the networks.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    pub(crate) space: Space,
    pub(crate) address: &'static str,
    process: Option<Process>,
    folder: PathBuf,
    /// To the API servers.
    _wires: Vec<Wire>,
}

/// A pod that runs, or ran.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) spec: PodSpec,
    pub(crate) space: Space,
    pub(crate) envoy: Option<Envoy>,
}

/// Processes end before namespaces go.
pub(crate) struct Mesh {
    pub(crate) control_planes: BTreeMap<&'static str, ControlPlane>,
    pub(crate) pods: BTreeMap<&'static str, Running>,
    pub(crate) clusters: BTreeMap<&'static str, Cluster>,
    /// By member, the control plane that serves its proxies.
    pub(crate) served_by: BTreeMap<&'static str, &'static str>,
    pub(crate) ground: Ground,
}

impl Mesh {
    /// The networks, the clusters, and authorities for these.
    pub(crate) fn new(networks: &[Network], clusters: &[Cluster]) -> Self {
        let ground = Ground::new(networks);
        let mesh = Self {
            control_planes: BTreeMap::new(),
            pods: BTreeMap::new(),
            clusters: clusters.iter().map(|cluster| (cluster.name, cluster.clone())).collect(),
            served_by: BTreeMap::new(),
            ground,
        };
        mesh.parallax(&["ca", "init", "--dir", "ca"]);
        for cluster in clusters {
            mesh.parallax(&["ca", "issue-intermediate", "--dir", "ca", "--member", cluster.name]);
        }
        mesh
    }

    /// What a person types in the folder of the mesh, which must succeed.
    pub(crate) fn parallax(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(parallax());
        command.args(arguments).current_dir(self.ground.path(""));
        succeeds(command)
    }

    /// The same where a control plane is, so that the API servers and its admin port are there too.
    pub(crate) fn parallax_at(&self, control_plane: &str, arguments: &[&str]) -> String {
        succeeds(self.command_at(control_plane, arguments))
    }

    pub(crate) fn command_at(&self, control_plane: &str, arguments: &[&str]) -> Command {
        let at = &self.control_planes[control_plane];
        let mut command = at.space.command(&parallax());
        command.args(arguments).current_dir(self.ground.path(""));
        command.args(["--server", "127.0.0.1:15080"]);
        command
    }

    /// The folder with settings, certificates and store of a control plane. `HERE` in its settings is that folder.
    pub(crate) fn folder_of(&self, control_plane: &str) -> PathBuf {
        self.ground.folder(&format!("control-plane-{control_plane}"))
    }

    /// Starts a control plane on these settings, which say `listen: 0.0.0.0:15012`, and waits until it is ready.
    pub(crate) async fn start_control_plane(&mut self, name: &'static str, address: &'static str, settings: &str) {
        let folder = self.folder_of(name);
        let out = format!("control-plane-{name}/tls");
        let from = format!("ca/{name}");
        let mut arguments = vec!["ca", "issue", "--from", &from, "--namespace", "istio-system"];
        arguments.extend(["--service-account", "parallax", "--hours", "24"]);
        arguments.extend(["--host", address, "--out", &out]);
        self.parallax(&arguments);
        fs::write(folder.join("parallax.yaml"), settings).expect("it can be written");
        let space = self.ground.outside(&format!("cp-{name}"), address);
        let wires = self.clusters.values().map(|cluster| Wire::new(&space, cluster.port));
        let control_plane = ControlPlane {
            _wires: wires.collect(),
            space,
            address,
            process: None,
            folder,
        };
        self.control_planes.insert(name, control_plane);
        self.restart_control_plane(name).await;
    }

    /// Kills it at once.
    pub(crate) fn kill_control_plane(&mut self, name: &str) {
        self.control_planes.get_mut(name).expect("it is there").process = None;
    }

    /// Starts it again.
    pub(crate) async fn restart_control_plane(&mut self, name: &str) {
        self.kill_control_plane(name);
        let at = self.control_planes.get_mut(name).expect("it is there");
        let mut command = at.space.command(&parallax());
        command
            .args(["serve", "--config"])
            .arg(at.folder.join("parallax.yaml"))
            .current_dir(&at.folder);
        let log = at.folder.join("parallax.log");
        let mut process = Process::start("parallax", command, &log, Stop::Kill).expect("it starts");
        let ready = process.until("it to be ready", DEADLINE, async || match at.ask("/readyz") {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        });
        ready.await.unwrap_or_else(|error| panic!("{error:#}"));
        at.process = Some(process);
    }

    /// Makes a pod in its member and in a namespace, with its Envoy, and reports it ready once that is live.
    pub(crate) async fn start_pod(&mut self, spec: PodSpec) {
        let folder = self.ground.folder(spec.name);
        match spec.kind {
            Kind::Pod => {
                let token = self.clusters[spec.member].create_pod(&spec).await;
                fs::write(folder.join("token"), token).expect("it can be written");
            }
            Kind::Machine => self.issue(&spec),
        }
        fs::copy(self.ground.path("ca").join(ROOT), folder.join(ROOT)).expect("it can be copied");
        self.type_bootstrap(&spec);
        let space = self.ground.inside(spec.name, spec.network, spec.address);
        match spec.outside {
            Some(outside) => self.ground.reach_out(&space, outside),
            None => {
                pod::application(&space, spec.name, "0.0.0.0");
                pod::capture(&space);
            }
        }
        let running = Running {
            spec,
            space,
            envoy: None,
        };
        self.pods.insert(spec.name, running);
        self.restart_envoy(spec.name).await;
    }

    /// Starts a pod's Envoy, again if it ran, and reports the pod ready.
    pub(crate) async fn restart_envoy(&mut self, pod: &str) {
        let folder = self.ground.path(pod);
        let running = self.pods.get_mut(pod).expect("it is there");
        running.envoy = None;
        running.envoy = Some(Envoy::start(&running.space, &folder, pod).await);
        self.clusters[running.spec.member].report_pod(&running.spec, true).await;
    }

    /// Kills a pod's Envoy at once; nobody says so to anybody.
    pub(crate) fn kill_envoy(&mut self, pod: &str) {
        self.pods.get_mut(pod).expect("it is there").envoy = None;
    }

    /// Lets nothing get to a machine or away from it, as when its cable is cut: nobody is told that connections are gone.
    pub(crate) fn cut_off(&self, pod: &str) {
        let rules = "iptables -w -I INPUT ! -i lo -j DROP; iptables -w -I OUTPUT ! -o lo -j DROP";
        self.pods[pod].space.shell(rules);
    }

    /// Ends that.
    pub(crate) fn reconnect(&self, pod: &str) {
        self.pods[pod]
            .space
            .shell("iptables -w -F INPUT; iptables -w -F OUTPUT");
    }

    /// Says that a pod is not ready, or is again.
    pub(crate) async fn report(&self, pod: &str, ready: bool) {
        let spec = &self.pods[pod].spec;
        self.clusters[spec.member].report_pod(spec, ready).await;
    }

    /// What a hook before the end does (docs/traffic.md): connections that are in use are given back by their next answer.
    pub(crate) fn drain(&self, pod: &str) {
        let hook = r"exec 3<>/dev/tcp/127.0.0.1/15000
            printf 'POST /drain_listeners?graceful&skip_exit HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n' >&3
            read -r said <&3
            [[ $said == *' 200 OK'* ]]";
        let mut command = self.pods[pod].space.command(Path::new("bash"));
        command.args(["-euc", hook]);
        succeeds(command);
    }

    /// Ends a pod, and its object.
    pub(crate) async fn stop_pod(&mut self, pod: &str) {
        let mut running = self.pods.remove(pod).expect("it is there");
        if let Some(envoy) = running.envoy.take() {
            envoy.end().await;
        }
        self.clusters[running.spec.member].delete_pod(&running.spec).await;
    }

    /// A certificate for a machine to show, where there is nobody that gives it a token.
    fn issue(&self, spec: &PodSpec) {
        let (from, out) = (format!("ca/{}", spec.member), format!("{}/own", spec.name));
        let identity = ["--namespace", spec.namespace(), "--service-account", spec.account()];
        let issue = ["ca", "issue", "--from", &from, "--hours", "720", "--out", &out];
        self.parallax(&[&issue[..], &identity].concat());
    }

    fn type_bootstrap(&self, spec: &PodSpec) {
        let control_plane = self.served_by.get(spec.member).copied().unwrap_or(spec.member);
        let xds = format!("{}:15012", self.control_planes[control_plane].address);
        let file = |name: &str| format!("{FOLDER}/{name}");
        let (key, certificate, token) = (file("own/tls.key"), file("own/tls.crt"), file("token"));
        let proof = match spec.kind {
            Kind::Pod => vec!["--token", &token],
            Kind::Machine => vec!["--certificate", &certificate, "--key", &key],
        };
        let pod = format!("{}/{}", spec.namespace(), spec.name);
        let (zone, root) = (format!("{}-{}", spec.member, spec.zone), file(ROOT));
        let more = [
            if spec.is_gateway() {
                "gateway-bootstrap"
            } else {
                "bootstrap"
            },
            "--pod",
            &pod,
            "--member",
            spec.member,
            "--service-account",
            spec.account(),
            "--ip",
            spec.address,
            "--region",
            spec.member,
            "--zone",
            &zone,
            "--xds",
            &xds,
            "--ca",
            &root,
            "--out",
            spec.name,
            "--mounted-at",
            FOLDER,
            "-o",
            "json",
        ];
        self.parallax(&[&more[..], &proof].concat());
        // Of another user than the one who types, as init containers are.
        shell(&format!("chmod -R a+rX {}", self.ground.path(spec.name).display()));
    }

    /// A request from a pod's application: a connection of its own.
    pub(crate) fn get(&self, from: &str, to: (Ipv4Addr, u16), host: &str) -> std::io::Result<Answer> {
        self.ask(from, to, host, "/")
    }

    pub(crate) fn ask(&self, from: &str, to: (Ipv4Addr, u16), host: &str, path: &str) -> std::io::Result<Answer> {
        self.pods[from].space.within(|| client::get(to.into(), host, path))
    }

    /// How often each pod answered so many requests.
    pub(crate) fn count(&self, from: &str, to: (Ipv4Addr, u16), requests: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.pods[from].space.within(|| {
            for _ in 0..requests {
                let pod = match client::get(to.into(), "web", "/") {
                    Ok(answer) if answer.status == 200 => told(&answer)["pod"].as_str().expect("a name").to_owned(),
                    other => format!("{other:?}"),
                };
                *counts.entry(pod).or_default() += 1;
            }
        });
        counts
    }

    /// Waits until just these pods answer. How often each answered until then, and what else came of requests.
    pub(crate) async fn answered_by(&self, from: &str, to: (Ipv4Addr, u16), pods: &[&str]) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        let look = async || {
            let counts = self.count(from, to, 4 * pods.len());
            for (answer, count) in &counts {
                *all.entry(answer.clone()).or_default() += count;
            }
            match counts.keys().map(String::as_str).eq(pods.iter().copied()) {
                true => Ok(()),
                false => Err(format!("{counts:?}")),
            }
        };
        if let Err(late) = eventually(&format!("{pods:?} to answer {from}"), DEADLINE, look).await {
            panic!("{late:#}\n{}", self.accesses(from, 12));
        }
        all
    }

    /// The last lines of a pod's access log.
    pub(crate) fn accesses(&self, pod: &str, count: usize) -> String {
        let lines = self.log(pod);
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// All lines of it.
    pub(crate) fn log(&self, pod: &str) -> Vec<String> {
        self.pods[pod].envoy.as_ref().map(Envoy::accesses).unwrap_or_default()
    }

    /// The sum of an Envoy's stats whose names have each of these parts.
    pub(crate) fn stat(&self, pod: &str, parts: &[&str]) -> u64 {
        pod::stat(&self.pods[pod].space, parts)
    }

    /// The certificates and roots that each sidecar has, by pod.
    pub(crate) fn secrets(&self) -> BTreeMap<&'static str, Held> {
        let sidecars = self
            .pods
            .values()
            .filter(|pod| !pod.spec.is_gateway() && pod.envoy.is_some());
        sidecars.map(|pod| (pod.spec.name, Held::by(&pod.space))).collect()
    }

    /// No Envoy ever refused anything that it was sent.
    pub(crate) fn nobody_refused_anything(&self) {
        for (name, _) in self.pods.iter().filter(|(_, pod)| pod.envoy.is_some()) {
            for stat in ["update_rejected", "listener_create_failure", "key_rotation_failed"] {
                assert_eq!(self.stat(name, &[stat]), 0, "{name}: {stat}");
            }
        }
    }
}

impl ControlPlane {
    /// A GET at its admin port.
    pub(crate) fn ask(&self, path: &str) -> std::io::Result<Answer> {
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, 15080));
        self.space.within(|| client::get(admin, "admin", path))
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.control_planes.clear();
        self.pods.clear();
    }
}

/// Standard output of a command.
fn succeeds(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&stdout).into_owned();
    assert!(
        status.success(),
        "{command:?}: {status}\n{said}{}",
        String::from_utf8_lossy(&stderr)
    );
    said
}
