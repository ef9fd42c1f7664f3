//! A mesh on real API servers: control planes and pods in namespaces, all of it by the commands and files of a user.

use std::collections::BTreeMap;
use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use super::cluster::{Cluster, Kind, PodSpec};
use super::control::ControlPlane;
pub(crate) use super::fleet::DEADLINE;
use super::fleet::{Fleet, Running, succeeds_in};
use super::ground::{Ground, Network};
use super::held::Held;
use super::pod::{self, Envoy, FOLDER};

/// The file with the root that proxies know the control plane by.
const ROOT: &str = "root-cert.pem";

/// What runs, and the API servers that know of it.
pub(crate) struct Mesh {
    fleet: Fleet,
    pub(crate) clusters: BTreeMap<&'static str, Cluster>,
    /// By member, the control plane that serves its proxies.
    pub(crate) served_by: BTreeMap<&'static str, &'static str>,
}

impl Deref for Mesh {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

impl DerefMut for Mesh {
    fn deref_mut(&mut self) -> &mut Fleet {
        &mut self.fleet
    }
}

impl Mesh {
    /// The networks, the clusters, and authorities for these.
    pub(crate) fn new(networks: &[Network], clusters: &[Cluster]) -> Self {
        let mesh = Self {
            fleet: Fleet::on(Ground::new(networks)),
            clusters: clusters.iter().map(|cluster| (cluster.name, cluster.clone())).collect(),
            served_by: BTreeMap::new(),
        };
        mesh.parallax(&["ca", "init", "--dir", "ca"]);
        for cluster in clusters {
            mesh.parallax(&["ca", "issue-intermediate", "--dir", "ca", "--member", cluster.name]);
        }
        mesh
    }

    /// The folder with settings, certificates and store of a control plane. `HERE` in its settings is that folder.
    pub(crate) fn folder_of(&self, control_plane: &str) -> PathBuf {
        self.ground.folder(&format!("control-plane-{control_plane}"))
    }

    /// Starts a control plane on these settings, which say `listen: 0.0.0.0:15012`, and waits until it is ready.
    pub(crate) async fn start_control_plane(&mut self, name: &'static str, address: &'static str, settings: &str) {
        self.start_with_authority(name, name, address, settings).await;
    }

    /// Starts another replica of a control plane, at an address of its own and with a store of its own.
    pub(crate) async fn start_replica(&mut self, of: &'static str, name: &'static str, address: &'static str) {
        let [theirs, own] = [of, name].map(|name| self.folder_of(name));
        let settings = fs::read_to_string(theirs.join("parallax.yaml")).expect("it is there");
        let settings = settings.replace(&format!("{}/", theirs.display()), &format!("{}/", own.display()));
        self.start_with_authority(of, name, address, &settings).await;
    }

    async fn start_with_authority(&mut self, of: &str, name: &'static str, address: &'static str, settings: &str) {
        let folder = self.folder_of(name);
        let out = format!("control-plane-{name}/tls");
        let more = ["--hours", "24", "--host", address, "--out", &out];
        self.issue(&format!("ca/{of}"), ("istio-system", "parallax"), &more);
        fs::write(folder.join("parallax.yaml"), settings).expect("it can be written");
        let space = self.ground.outside(&format!("cp-{name}"), address);
        let ports = self.clusters.values().map(|cluster| cluster.port);
        let mut control_plane = ControlPlane::new(space, address, folder, ports);
        control_plane.start().await;
        self.control_planes.insert(name, control_plane);
    }

    /// Makes a pod in its member and in a namespace, with its Envoy, and reports it ready once that is live.
    pub(crate) async fn start_pod(&mut self, spec: PodSpec) {
        let folder = self.ground.folder(spec.name);
        match spec.kind {
            Kind::Pod => {
                let token = self.clusters[spec.member].create_pod(&spec).await;
                fs::write(folder.join("token"), token).expect("it can be written");
            }
            // There is nobody that gives it a token.
            Kind::Machine => {
                let (from, out) = (format!("ca/{}", spec.member), format!("{}/own", spec.name));
                let account = (spec.namespace(), spec.account());
                self.issue(&from, account, &["--hours", "720", "--out", &out]);
            }
        }
        fs::copy(self.ground.path("ca").join(ROOT), folder.join(ROOT)).expect("it can be copied");
        self.bootstrap(&spec);
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
        self.start_envoy(pod).await;
        self.report(pod, true).await;
    }

    /// Starts a pod's Envoy, again if it ran, and waits until it was served.
    pub(crate) async fn start_envoy(&mut self, pod: &str) {
        let folder = self.ground.path(pod);
        let running = self.pods.get_mut(pod).expect("it is there");
        running.kill_envoy();
        running.envoy = Some(Envoy::start(&running.space, &folder, pod).await);
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
            printf 'POST /healthcheck/fail HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n' >&3
            read -r said <&3
            [[ $said == *' 200 OK'* ]]";
        succeeds_in(&self.pods[pod].space, "bash", &["-euc", hook]);
    }

    /// Ends a pod, and its object.
    pub(crate) async fn stop_pod(&mut self, pod: &str) {
        let mut running = self.pods.remove(pod).expect("it is there");
        running.refused_nothing();
        if let Some(envoy) = running.envoy.take() {
            envoy.end().await;
        }
        self.clusters[running.spec.member].delete_pod(&running.spec).await;
    }

    fn bootstrap(&self, spec: &PodSpec) {
        let control_plane = self.served_by.get(spec.member).copied().unwrap_or(spec.member);
        let xds = format!("{}:15012", self.control_planes[control_plane].address);
        let file = |name: &str| format!("{FOLDER}/{name}");
        let (key, certificate, token) = (file("own/tls.key"), file("own/tls.crt"), file("token"));
        let proof = match spec.kind {
            Kind::Pod => vec!["--token", &token],
            Kind::Machine => vec!["--certificate", &certificate, "--key", &key],
        };
        let zone = format!("{}-{}", spec.member, spec.zone);
        let mut place = vec!["--region", spec.member, "--zone", &zone];
        if !spec.subzone.is_empty() {
            place.extend(["--subzone", spec.subzone]);
        }
        self.type_bootstrap(spec, &xds, &file(ROOT), &[place, proof].concat());
    }

    /// The certificates and roots that each sidecar has, by pod.
    pub(crate) fn secrets(&self) -> BTreeMap<&'static str, Held> {
        let sidecars = self
            .pods
            .values()
            .filter(|pod| !pod.spec.is_gateway() && pod.envoy.is_some());
        sidecars.map(|pod| (pod.spec.name, Held::by(&pod.space))).collect()
    }
}
