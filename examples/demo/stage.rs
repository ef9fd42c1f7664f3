//! The parts of the demo: a control plane on a copy of `config/demo`, and one Envoy in each member.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::Instant;

use crate::harness::{Dialect, Envoy, EnvoyOptions, Process, Stop, envoy_versions, free_port, get};
use crate::picture;

const CLUSTER: &str = "outbound|80||web.shop.svc.cluster.local";
const DEADLINE: Duration = Duration::from_secs(30);
/// How often an Envoy is asked what it holds while a change is on its way; the times shown are no finer.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What each network should see: `address:port` and weight.
pub(crate) struct Expected {
    pub(crate) east: Vec<(&'static str, u32)>,
    pub(crate) west: Vec<(&'static str, u32)>,
}

/// One Envoy in the picture.
struct Seat {
    member: &'static str,
    network: &'static str,
    envoy: Envoy,
}

/// Everything that runs. Dropping it ends all of it.
pub(crate) struct Stage {
    folder: PathBuf,
    admin: SocketAddr,
    control_plane: Process,
    seats: Vec<Seat>,
    /// When the last manifest was changed.
    changed: Option<Instant>,
}

impl Stage {
    /// Starts everything and waits until it is ready.
    pub(crate) async fn set() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join(".demo");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
        }
        copy_folder(&root.join("config/demo/members"), &folder.join("members"))?;

        let (xds, admin) = (address(15010), address(15080));
        say(&format!(
            "parallax serve --members .demo/members --listen {xds} --admin {admin}"
        ));
        let mut serve = Command::new(parallax()?);
        serve.arg("serve").arg("--members").arg(folder.join("members"));
        serve.args(["--listen", &xds.to_string(), "--admin", &admin.to_string()]);
        let mut control_plane = Process::start("parallax", serve, &folder.join("parallax.log"), Stop::Terminate)?;
        let ready = control_plane.until("parallax to be ready", DEADLINE, async || {
            let ready = get(admin, "/readyz").await.and_then(|answer| answer.ok());
            ready.map(|_| ()).map_err(|error| error.to_string())
        });
        ready.await?;

        let mut seats = Vec::new();
        for (member, network, ip, dialect) in [
            ("east-1", "east", "10.1.0.50", Dialect::Delta),
            ("east-2", "east", "10.1.128.50", Dialect::Sotw),
            ("west", "west", "10.2.0.50", Dialect::Delta),
        ] {
            say(&format!(
                "Envoy {} in {member}, {}",
                envoy_versions()[0],
                spoken(dialect)
            ));
            let dir = folder.join(format!("envoy-{member}"));
            std::fs::create_dir_all(&dir)?;
            // Nothing tells these Envoys' networks but the members they are in.
            let id = format!("sidecar~{ip}~client-{member}.shop~shop.svc.cluster.local");
            let mut options = EnvoyOptions::new(id, xds, dir).with_metadata("CLUSTER_ID", member);
            options.dialect = dialect;
            seats.push(Seat {
                member,
                network,
                envoy: Envoy::start(options).await?,
            });
        }
        Ok(Self {
            folder,
            admin,
            control_plane,
            seats,
            changed: None,
        })
    }

    /// Waits until every Envoy holds what it should, and draws them side by side.
    pub(crate) async fn show(&mut self, expected: &Expected) -> anyhow::Result<()> {
        let mut columns = Vec::new();
        for seat in &self.seats {
            let wanted = if seat.network == "east" {
                &expected.east
            } else {
                &expected.west
            };
            let wanted: BTreeSet<(String, u32)> = wanted
                .iter()
                .map(|(address, weight)| ((*address).to_owned(), *weight))
                .collect();
            let (hosts, at) = wait_for_hosts(&seat.envoy, &wanted)
                .await
                .with_context(|| format!("the Envoy in {}", seat.member))?;
            let took = self.changed.map(|changed| at.duration_since(changed));
            columns.push(picture::Column {
                member: seat.member,
                network: seat.network,
                hosts,
                took,
            });
        }
        self.changed = None;
        picture::draw(&columns);
        Ok(())
    }

    /// Puts a prepared manifest in the place of one of a member, as `mv` would.
    pub(crate) fn put(&mut self, step: &str, manifest: &str) -> anyhow::Result<()> {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("config/demo/steps")
            .join(step);
        self.replace(&from, manifest)
    }

    /// Puts a manifest back as it was.
    pub(crate) fn restore(&mut self, manifest: &str) -> anyhow::Result<()> {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("config/demo/members")
            .join(manifest);
        self.replace(&from, manifest)
    }

    fn replace(&mut self, from: &Path, manifest: &str) -> anyhow::Result<()> {
        let written = self.folder.join("written.yaml");
        std::fs::copy(from, &written).with_context(|| format!("cannot copy {}", from.display()))?;
        self.changed = Some(Instant::now());
        std::fs::rename(written, self.members().join(manifest))?;
        Ok(())
    }

    /// Removes a manifest of a member.
    pub(crate) fn remove(&mut self, manifest: &str) -> anyhow::Result<()> {
        self.changed = Some(Instant::now());
        Ok(std::fs::remove_file(self.members().join(manifest))?)
    }

    /// The folder with the members' manifests.
    pub(crate) fn members(&self) -> PathBuf {
        self.folder.join("members")
    }

    /// What `parallax explain` says to the Envoy of a member.
    pub(crate) fn explain(&self, member: &str) -> anyhow::Result<String> {
        let mut command = Command::new(parallax()?);
        command.args(["explain", "web.shop:80", "--as", &format!("client-{member}.shop")]);
        command.args(["--server", &self.admin.to_string()]);
        let output = command.output().context("cannot run parallax explain")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "parallax explain ended with {}: {errors}",
            output.status
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Commands to look around with.
    pub(crate) fn hints(&self) -> String {
        let server = format!("--server {}", self.admin);
        let mut lines = vec![
            format!("  target/debug/parallax get members {server}"),
            format!("  target/debug/parallax get endpoints web.shop {server}"),
            format!("  target/debug/parallax explain web.shop --network west {server}"),
            format!("  target/debug/parallax watch {server}"),
        ];
        for seat in &self.seats {
            lines.push(format!(
                "  curl http://{}/clusters        the Envoy in {}",
                seat.envoy.admin(),
                seat.member
            ));
        }
        lines.join("\n")
    }

    /// Ends everything, the control plane by draining.
    pub(crate) async fn end(mut self, deadline: Duration) -> anyhow::Result<()> {
        self.seats.clear();
        self.control_plane.terminate();
        let status = self.control_plane.wait(deadline).await?;
        ensure!(status.success(), "parallax ended with {status}");
        Ok(())
    }
}

/// Waits until an Envoy holds just these hosts, and tells when that was seen.
async fn wait_for_hosts(
    envoy: &Envoy,
    wanted: &BTreeSet<(String, u32)>,
) -> anyhow::Result<(Vec<picture::Host>, Instant)> {
    let mut last = String::new();
    let looking = async {
        loop {
            let held = envoy.clusters().await?.remove(CLUSTER).unwrap_or_default();
            let at = Instant::now();
            let seen: BTreeSet<_> = held
                .iter()
                .map(|host| (format!("{}:{}", host.address, host.port), host.weight))
                .collect();
            if seen == *wanted {
                let host = |host: crate::harness::Host| picture::Host {
                    address: format!("{}:{}", host.address, host.port),
                    zone: host.zone,
                    weight: host.weight,
                };
                return anyhow::Ok((held.into_iter().map(host).collect(), at));
            }
            last = format!("{seen:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(DEADLINE, looking).await {
        Ok(found) => found,
        Err(_) => anyhow::bail!("waited {DEADLINE:?} for {wanted:?}; it holds {last}"),
    }
}

/// The binary that was built beside this example.
fn parallax() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let binary = own
        .parent()
        .and_then(Path::parent)
        .map(|profile| profile.join("parallax"));
    binary
        .filter(|path| path.is_file())
        .context("the parallax binary is not built: run `make demo` or `cargo build`")
}

/// The usual port where it is free, so that commands need no flags; else any.
fn address(usual: u16) -> SocketAddr {
    let is_free = std::net::TcpListener::bind(("127.0.0.1", usual)).is_ok();
    SocketAddr::from(([127, 0, 0, 1], if is_free { usual } else { free_port() }))
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn spoken(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sotw => "state of the world",
        Dialect::Delta => "incremental",
    }
}

#[expect(clippy::print_stdout, reason = "the demo speaks to a person")]
fn say(step: &str) {
    println!("==> {step}");
}
