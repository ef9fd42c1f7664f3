//! A control plane in a namespace of its own, which is a machine between the networks.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use super::client::{self, Answer};
use super::fleet::DEADLINE;
use super::harness::{Process, Stop};
use super::parallax;
use super::space::Space;
use super::wire::Wire;

/// It runs until it is killed or dropped; the process ends before its namespace goes.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    process: Option<Process>,
    /// To the API servers.
    _wires: Vec<Wire>,
    folder: PathBuf,
    pub(crate) address: String,
    pub(crate) space: Space,
}

impl ControlPlane {
    /// One that doesn't run yet, with its settings in a folder, and with ways to API servers at these ports of this machine's
    /// loopback.
    pub(crate) fn new(space: Space, address: &str, folder: PathBuf, ports: impl Iterator<Item = u16>) -> Self {
        Self {
            process: None,
            _wires: ports.map(|port| Wire::new(&space, port)).collect(),
            folder,
            address: address.to_owned(),
            space,
        }
    }

    /// Starts it, again if it runs, and waits until it is ready.
    pub(crate) async fn start(&mut self) {
        self.kill();
        let mut command = self.space.command(&parallax());
        command
            .args(["serve", "--config"])
            .arg(self.folder.join("parallax.yaml"))
            .current_dir(&self.folder);
        let log = self.folder.join("parallax.log");
        let mut process = Process::start("parallax", command, &log, Stop::Kill).expect("it starts");
        let ready = process.until("it to be ready", DEADLINE, async || match self.ask("/readyz") {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        });
        ready.await.unwrap_or_else(|error| panic!("{error:#}"));
        self.process = Some(process);
    }

    /// Kills it at once, if it runs.
    pub(crate) fn kill(&mut self) {
        // What it counted goes with it.
        self.was_refused_nothing();
        self.process = None;
    }

    /// What a person types where it runs.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.space.command(&parallax());
        command.args(arguments).args(["--server", "127.0.0.1:15080"]);
        command
    }

    /// A GET at its admin port.
    pub(crate) fn ask(&self, path: &str) -> std::io::Result<Answer> {
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, 15080));
        self.space.within(|| client::get(admin, "admin", path))
    }

    /// No proxy refused what this process sent, as it counts itself.
    pub(crate) fn was_refused_nothing(&self) {
        if self.process.is_none() {
            return;
        }
        let metrics = self.ask("/metrics").expect("it answers").body;
        let mut nacks = metrics
            .lines()
            .filter(|line| line.starts_with("parallax_xds_nacks_total"));
        let first = nacks.next().expect("it counts them");
        for line in std::iter::once(first).chain(nacks) {
            assert!(line.ends_with(" 0"), "{line}");
        }
    }
}
