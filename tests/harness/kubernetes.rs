//! The store behind any number of real member clusters.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http;
use super::member::{Member, Place};
use super::ports::free_port;
use super::process::{Process, Stop};
use super::tools::{KubernetesTools, kubernetes_tools};

/// It is up after half a second, later on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// One etcd that all members of a test share, each under its own prefix. Members must be dropped before it.
#[derive(Debug)]
pub struct Kubernetes {
    tools: KubernetesTools,
    etcd: Process,
    /// Of etcd, for its clients and its peers.
    ports: (u16, u16),
    members: AtomicU8,
    // Last, so that the folder goes after the process that writes to it.
    dir: TempDir,
}

impl Kubernetes {
    /// Starts etcd in a folder of its own and waits until it answers.
    ///
    /// # Errors
    /// If the programs are missing (the message says what to run) or etcd does not answer within 30 s.
    pub async fn start() -> anyhow::Result<Self> {
        let tools = kubernetes_tools()?;
        let dir = tempfile::tempdir()?;
        let ports = (free_port(), free_port());
        let etcd = start_etcd(&tools, ports, dir.path()).await?;
        Ok(Self {
            tools,
            etcd,
            ports,
            members: AtomicU8::new(0),
            dir,
        })
    }

    /// Starts a member cluster: an API server and its controllers, and waits until both work (5 to 10 s).
    ///
    /// Members may be started at the same time, from several tasks.
    ///
    /// # Errors
    /// If one of them does not work within 90 s, with the end of its log.
    pub async fn start_member(&self, name: &str) -> anyhow::Result<Member> {
        let dir = self.dir.path().join(name);
        std::fs::create_dir(&dir).with_context(|| format!("a member {name} exists already"))?;
        Member::start(Place {
            name: name.to_owned(),
            dir,
            etcd_url: format!("http://127.0.0.1:{}", self.ports.0),
            tools: self.tools.clone(),
            number: self.members.fetch_add(1, Ordering::Relaxed),
        })
        .await
    }

    /// Starts two members at the same time.
    ///
    /// # Errors
    /// As [`Kubernetes::start_member`].
    pub async fn start_two(names: [&str; 2]) -> anyhow::Result<(Self, Member, Member)> {
        let kubernetes = Self::start().await?;
        let (first, second) = tokio::join!(kubernetes.start_member(names[0]), kubernetes.start_member(names[1]));
        Ok((kubernetes, first?, second?))
    }

    /// The process of the shared etcd, to pause it: the API servers then answer errors while their watches stay open and silent.
    pub fn etcd(&mut self) -> &mut Process {
        &mut self.etcd
    }

    /// Kills etcd at once; its data stays.
    pub fn kill_etcd(&mut self) {
        self.etcd.end();
    }

    /// Starts it again on the same ports and data, and waits until it answers.
    ///
    /// # Errors
    /// If it does not within 30 s.
    pub async fn restart_etcd(&mut self) -> anyhow::Result<()> {
        self.kill_etcd();
        self.etcd = start_etcd(&self.tools, self.ports, self.dir.path()).await?;
        Ok(())
    }

    /// Has etcd forget all versions but the present one.
    ///
    /// # Errors
    /// If etcd refuses.
    pub async fn compact(&self) -> anyhow::Result<()> {
        let etcd = (Ipv4Addr::LOCALHOST, self.ports.0).into();
        // Any key does: the answer has the version.
        let range = http::post(etcd, "/v3/kv/range", json!({"key": "AA=="}).to_string())
            .await?
            .ok()?;
        let range: Value = serde_json::from_str(&range).context("the answer of etcd")?;
        let compaction = json!({"revision": range["header"]["revision"], "physical": true});
        http::post(etcd, "/v3/kv/compaction", compaction.to_string())
            .await?
            .ok()?;
        Ok(())
    }
}

async fn start_etcd(tools: &KubernetesTools, (port, peer_port): (u16, u16), dir: &Path) -> anyhow::Result<Process> {
    let etcd_url = format!("http://127.0.0.1:{port}");
    let peer_url = format!("http://127.0.0.1:{peer_port}");
    let mut command = Command::new(&tools.etcd);
    command.arg("--data-dir").arg(dir.join("etcd"));
    command.args(["--listen-client-urls", &etcd_url, "--advertise-client-urls", &etcd_url]);
    command.args([
        "--listen-peer-urls",
        &peer_url,
        "--initial-advertise-peer-urls",
        &peer_url,
    ]);
    command.args(["--initial-cluster", &format!("default={peer_url}")]);
    // Nothing here outlives the test, so nothing need reach the disk.
    command.args(["--unsafe-no-fsync", "--log-level", "warn"]);
    let mut etcd = Process::start("etcd", command, &dir.join("etcd.log"), Stop::Kill)?;

    let address = (Ipv4Addr::LOCALHOST, port).into();
    let healthy = etcd.until("etcd to be healthy", START_DEADLINE, async || {
        let answer = http::get(address, "/health").await.and_then(http::Response::ok);
        answer.map(|_| ()).map_err(|error| format!("{error:#}"))
    });
    healthy.await?;
    Ok(etcd)
}
