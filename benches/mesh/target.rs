//! The control plane that is measured: our own binary on generated members, or a server that somebody else runs.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::certs::Certificates;
use crate::clock;
use crate::manifests::Manifests;
use crate::process::{self, Process};

/// How long somebody has to start a server by hand.
const FOREIGN: Duration = Duration::from_secs(300);
/// How often a server that starts is asked whether it is ready.
const LOOK: Duration = Duration::from_millis(5);

/// How the image sets up the allocator.
const ALLOCATOR: (&str, &str) = ("_RJEM_MALLOC_CONF", "dirty_decay_ms:1000,muzzy_decay_ms:0");

/// A running control plane.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// Where our own metrics are.
    admin: Option<SocketAddr>,
    /// Who says whether it has read everything: an address and a path.
    ready: Option<(SocketAddr, String)>,
    start: Start,
}

/// Our own settings, in which members come and go.
#[derive(Debug)]
struct Settings {
    file: PathBuf,
    /// All but the members.
    others: String,
    members: String,
}

impl Settings {
    /// Writes them as one step, with more members.
    fn write(&self, more: &[(String, PathBuf)]) -> anyhow::Result<()> {
        let text = format!("{}members:\n{}{}", self.others, self.members, listed(more)?);
        let new = self.file.with_extension("new");
        std::fs::write(&new, text)?;
        Ok(std::fs::rename(&new, &self.file)?)
    }
}

fn listed(members: &[(String, PathBuf)]) -> anyhow::Result<String> {
    let mut text = String::new();
    for (name, kubeconfig) in members {
        writeln!(text, "  - name: {name}\n    kubeconfig: {}", kubeconfig.display())?;
    }
    Ok(text)
}

/// How it is started.
#[derive(Debug)]
enum Start {
    /// Our own.
    Own {
        binary: PathBuf,
        settings: Settings,
        log: PathBuf,
    },
    /// Another one, by a command.
    Command {
        command: String,
        folder: PathBuf,
        address: SocketAddr,
    },
    /// By somebody else.
    ByHand,
}

impl Start {
    fn spawn(&self) -> anyhow::Result<Process> {
        match self {
            Self::Own { binary, settings, log } => spawn(binary, &settings.file, log),
            Self::Command {
                command,
                folder,
                address,
            } => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(command);
                shell.env("STATE", folder).env("TARGET", address.to_string());
                Process::start(shell, &folder.join("target.log")).context("the command of --start")
            }
            Self::ByHand => bail!("this benchmark starts the server anew, and needs --start for another one"),
        }
    }
}

/// A port that is free now.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

impl Target {
    /// Starts our own binary with these members.
    pub(crate) fn start(
        binary: &Path,
        folder: &Path,
        members: &[(String, PathBuf)],
        manifests: &Manifests,
        tls: Option<&Certificates>,
    ) -> anyhow::Result<Self> {
        let (xds, admin) = (free_port()?, free_port()?);
        let mut text = format!(
            "listen: 127.0.0.1:{xds}\nadmin:\n  listen: 127.0.0.1:{admin}\nlog:\n  level: warn\nmembersFolder: {}\n",
            manifests.path().display()
        );
        if let Some(tls) = tls {
            let Certificates {
                ca, certificate, key, ..
            } = tls;
            writeln!(
                text,
                "tls:\n  certificate: {}\n  key: {}\n  clientCa: {}",
                certificate.display(),
                key.display(),
                ca.display()
            )?;
        }
        let settings = Settings {
            file: folder.join("parallax.yaml"),
            others: text,
            members: listed(members)?,
        };
        settings.write(&[])?;
        let start = Start::Own {
            binary: binary.to_owned(),
            settings,
            log: folder.join("parallax.log"),
        };
        let admin = ([127, 0, 0, 1], admin).into();
        Ok(Self {
            process: start.spawn()?,
            address: ([127, 0, 0, 1], xds).into(),
            admin: Some(admin),
            ready: Some((admin, "/readyz".to_owned())),
            start,
        })
    }

    /// A server that somebody else runs, or is about to. Waits until it listens; without a `pid` the process is found by that.
    pub(crate) async fn foreign(
        address: SocketAddr,
        pid: Option<u32>,
        ready: Option<(SocketAddr, String)>,
    ) -> anyhow::Result<Self> {
        println!("waiting for a server at {address}");
        let pid = listening(address, pid).await?;
        Ok(Self {
            process: Process::foreign(pid),
            address,
            admin: None,
            ready,
            start: Start::ByHand,
        })
    }

    /// A server that a command starts, with the kubeconfigs in this folder.
    pub(crate) async fn by_command(
        address: SocketAddr,
        pid: Option<u32>,
        ready: Option<(SocketAddr, String)>,
        command: &str,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let start = Start::Command {
            command: command.to_owned(),
            folder: folder.to_owned(),
            address,
        };
        let mut process = start.spawn()?;
        let listening = listening(address, pid).await;
        process.measure(listening.with_context(|| format!("{command:?}, started for this mesh"))?);
        Ok(Self {
            process,
            address,
            admin: None,
            ready,
            start,
        })
    }

    /// Has it read these members too, and no others beside those that it began with; returns when it could know of that. It looks
    /// at its settings twice a second.
    pub(crate) fn has_also(&self, members: &[(String, PathBuf)]) -> anyhow::Result<u64> {
        match &self.start {
            Start::Own { settings, .. } => settings.write(members)?,
            Start::Command { .. } | Start::ByHand => bail!("another server has no settings of ours"),
        }
        Ok(clock::now())
    }

    /// Starts it after it was killed.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<()> {
        self.process = self.start.spawn()?;
        Ok(())
    }

    /// Waits until it says that it is ready, and returns when that was; nothing where nobody says so.
    pub(crate) async fn ready(&self, deadline: Duration) -> anyhow::Result<Option<u64>> {
        let Some((address, path)) = &self.ready else {
            return Ok(None);
        };
        let asking = async {
            loop {
                if get(*address, path)
                    .await
                    .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
                {
                    return clock::now();
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        match tokio::time::timeout(deadline, asking).await {
            Ok(at) => Ok(Some(at)),
            Err(_) => bail!("not ready after {deadline:?}: {:?}", self.start),
        }
    }

    /// The sum of a metric over its labels; no number for a server that has none of ours.
    pub(crate) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let Some(admin) = self.admin else {
            return Ok(f64::NAN);
        };
        let text = get(admin, "/metrics").await?;
        let lines = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        Ok(lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }
}

/// Waits until somebody listens, and tells which process.
async fn listening(address: SocketAddr, pid: Option<u32>) -> anyhow::Result<u32> {
    let listening = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(FOREIGN, listening).await.is_err() {
        bail!("nobody listens at {address} after {FOREIGN:?}");
    }
    pid.or_else(|| process::listening_on(address.port()))
        .with_context(|| format!("cannot tell which process listens at {address}: say --pid"))
}

fn spawn(binary: &Path, settings: &Path, log: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new(binary);
    command.arg("serve").arg("--config").arg(settings);
    if std::env::var_os(ALLOCATOR.0).is_none() {
        command.env(ALLOCATOR.0, ALLOCATOR.1);
    }
    Process::start(command, log).context("the control plane")
}

async fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: mesh\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
