//! What runs on the ground, whoever put it there: control planes and pods; what is asked of them, and what is seen.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use super::client::{self, Answer, told};
use super::cluster::PodSpec;
use super::control::ControlPlane;
use super::ground::Ground;
use super::harness::eventually;
use super::parallax;
use super::pod::{self, Envoy, FOLDER};
use super::space::{Space, shell};

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Processes end before namespaces go, and these before what they are plugged into.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) control_planes: BTreeMap<&'static str, ControlPlane>,
    pub(crate) pods: BTreeMap<&'static str, Running>,
    pub(crate) ground: Ground,
}

/// A pod that runs, or ran.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) envoy: Option<Envoy>,
    pub(crate) space: Space,
    pub(crate) spec: PodSpec,
}

impl Running {
    /// Kills its Envoy at once, if it has one; nobody says so to anybody.
    pub(crate) fn kill_envoy(&mut self) {
        // What it counted goes with it.
        self.refused_nothing();
        self.envoy = None;
    }

    /// The Envoy that runs took all that it was sent.
    pub(crate) fn refused_nothing(&self) {
        if self.envoy.is_some() {
            for stat in ["update_rejected", "listener_create_failure", "key_rotation_failed"] {
                assert_eq!(pod::stat(&self.space, &[stat]), 0, "{}: {stat}", self.spec.name);
            }
        }
    }
}

impl Fleet {
    pub(crate) fn on(ground: Ground) -> Self {
        Self {
            control_planes: BTreeMap::new(),
            pods: BTreeMap::new(),
            ground,
        }
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
        let mut command = self.control_planes[control_plane].command(arguments);
        command.current_dir(self.ground.path(""));
        command
    }

    /// Kills it at once.
    pub(crate) fn kill_control_plane(&mut self, name: &str) {
        self.control_planes.get_mut(name).expect("it is there").kill();
    }

    /// Starts it again.
    pub(crate) async fn restart_control_plane(&mut self, name: &str) {
        self.control_planes.get_mut(name).expect("it is there").start().await;
    }

    /// A certificate for an account to show, from the authority in a folder.
    pub(crate) fn issue(&self, from: &str, (namespace, account): (&str, &str), more: &[&str]) {
        let issue = ["ca", "issue", "--from", from, "--namespace", namespace];
        self.parallax(&[&issue[..], &["--service-account", account], more].concat());
    }

    /// Types the bootstrap of a pod into its folder; `more` says how it proves who it is.
    pub(crate) fn type_bootstrap(&self, spec: &PodSpec, xds: &str, root: &str, more: &[&str]) {
        let pod = format!("{}/{}", spec.namespace(), spec.name);
        let kind = match spec.is_gateway() {
            true => "gateway-bootstrap",
            false => "bootstrap",
        };
        let who = [kind, "--pod", &pod, "--member", spec.member, "--ip", spec.address];
        let account = ["--service-account", spec.account()];
        let to = ["--xds", xds, "--ca", root, "--out", spec.name];
        let form = ["--mounted-at", FOLDER, "-o", "json"];
        self.parallax(&[&who[..], &account, &to, &form, more].concat());
        // Of another user than the one who types, as init containers are.
        shell(&format!("chmod -R a+rX {}", self.ground.path(spec.name).display()));
    }

    /// Kills a pod's Envoy at once; nobody says so to anybody.
    pub(crate) fn kill_envoy(&mut self, pod: &str) {
        self.pods.get_mut(pod).expect("it is there").kill_envoy();
    }

    /// A request from a pod's application: a connection of its own.
    pub(crate) fn get(&self, from: &str, to: (Ipv4Addr, u16), host: &str) -> std::io::Result<Answer> {
        self.ask(from, to, host, "/")
    }

    pub(crate) fn ask(&self, from: &str, to: (Ipv4Addr, u16), host: &str, path: &str) -> std::io::Result<Answer> {
        self.pods[from].space.within(|| client::get(to.into(), host, path))
    }

    /// How often each pod answered so many requests for `web`, and what else came of them.
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

    /// Waits until it holds; else tells what helps to understand why not.
    pub(crate) async fn until(&self, what: &str, look: impl AsyncFnMut() -> Result<(), String>) {
        if let Err(late) = eventually(what, DEADLINE, look).await {
            panic!("{late:#}\n{}", self.everything());
        }
    }

    /// Waits until just these pods answer. How often each answered until then, and what else came of requests.
    pub(crate) async fn answered_by(&self, from: &str, to: (Ipv4Addr, u16), pods: &[&str]) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        self.until(&format!("{pods:?} to answer {from}"), async || {
            let counts = self.count(from, to, 4 * pods.len());
            for (answer, count) in &counts {
                *all.entry(answer.clone()).or_default() += count;
            }
            match counts.keys().map(String::as_str).eq(pods.iter().copied()) {
                true => Ok(()),
                false => Err(format!("{counts:?}")),
            }
        })
        .await;
        all
    }

    /// Asks until the answer is 200 and from this pod: what was just said takes its time to arrive.
    pub(crate) async fn settled(&self, from: &str, to: (Ipv4Addr, u16), host: &str, pod: &str) {
        let look = async || match self.get(from, to, host) {
            Ok(answer) if answer.status == 200 && told(&answer)["pod"] == pod => Ok(()),
            other => Err(format!("{other:?}")),
        };
        self.until(&format!("{from} to get to {pod}"), look).await;
    }

    /// Waits until a pod's access log has these words: it is written some milliseconds after the answer.
    pub(crate) async fn logged(&self, pod: &str, words: &str) {
        let look = async || match self.log(pod).join("\n") {
            log if log.contains(words) => Ok(()),
            log => Err(log),
        };
        self.until(&format!("{words:?} in the log of {pod}"), look).await;
    }

    /// All lines of a pod's access log.
    pub(crate) fn log(&self, pod: &str) -> Vec<String> {
        self.pods[pod].envoy.as_ref().map(Envoy::accesses).unwrap_or_default()
    }

    /// The last of them.
    pub(crate) fn accesses(&self, pod: &str, count: usize) -> String {
        let lines = self.log(pod);
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// What helps to understand a failure.
    pub(crate) fn everything(&self) -> String {
        let log = |pod| format!("--- {pod}\n{}\n", self.accesses(pod, 12));
        self.pods.keys().map(|pod| log(pod)).collect()
    }

    /// The sum of an Envoy's stats whose names have each of these parts.
    pub(crate) fn stat(&self, pod: &str, parts: &[&str]) -> u64 {
        pod::stat(&self.pods[pod].space, parts)
    }

    /// No Envoy ever refused anything that it was sent, as it says itself and as who sent it does. Of those that were killed this
    /// was looked at before.
    pub(crate) fn nobody_refused_anything(&self) {
        self.pods.values().for_each(Running::refused_nothing);
        self.control_planes.values().for_each(ControlPlane::was_refused_nothing);
    }
}

/// Standard output of a command.
pub(crate) fn succeeds(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&stdout).into_owned();
    assert!(
        status.success(),
        "{command:?}: {status}\n{said}{}",
        String::from_utf8_lossy(&stderr)
    );
    said
}

/// A program of the system that must succeed in a pod's namespace.
pub(crate) fn succeeds_in(space: &Space, program: &str, arguments: &[&str]) {
    let mut command = space.command(Path::new(program));
    command.args(arguments);
    succeeds(command);
}
