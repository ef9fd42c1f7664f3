//! The binary under test as its own process, and the commands a person types at it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::harness::{Process, Stop, eventually, free_port, get};

const DEADLINE: Duration = Duration::from_secs(30);

/// The path of the binary.
pub(crate) const PARALLAX: &str = env!("CARGO_BIN_EXE_parallax");

/// A running control plane. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    pub(crate) process: Process,
    pub(crate) xds: SocketAddr,
    pub(crate) admin: SocketAddr,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    settings: String,
}

impl ControlPlane {
    /// `parallax serve --members DIR`, ready.
    pub(crate) async fn on_members(members: &Path) -> Self {
        let arguments = vec!["--members".to_owned(), members.display().to_string()];
        let mut started = Self::start(local(), local(), &arguments, "");
        started.ready().await;
        started
    }

    /// `parallax serve --config FILE` with these settings and addresses of its own; not waited for.
    pub(crate) fn on_settings(settings: &str) -> Self {
        Self::start(local(), local(), &[], settings)
    }

    /// The same again after its end, at the same addresses; not waited for.
    pub(crate) fn again(mut self) -> Self {
        self.process.end();
        Self::start(self.xds, self.admin, &self.arguments, &self.settings)
    }

    /// As in a pod of a cluster: what a kubelet mounts of its service account is in the folder `account`, and the environment
    /// tells of the API server. In a mount namespace of its own, where nobody else sees that folder.
    pub(crate) fn in_pod(settings: &str, account: &Path, api_server: SocketAddr) -> Self {
        let mut command = Command::new("unshare");
        if !rustix::process::getuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--mount", "sh", "-euc"]);
        let script = "mount -t tmpfs none /var/run
            mkdir -p /var/run/secrets/kubernetes.io/serviceaccount
            mount --bind \"$1\" /var/run/secrets/kubernetes.io/serviceaccount
            shift
            exec \"$@\"";
        command.args([script, "sh"]).arg(account).arg(PARALLAX);
        command.env("KUBERNETES_SERVICE_HOST", api_server.ip().to_string());
        command.env("KUBERNETES_SERVICE_PORT", api_server.port().to_string());
        Self::start_as(command, local(), local(), &[], settings)
    }

    fn start(xds: SocketAddr, admin: SocketAddr, arguments: &[String], settings: &str) -> Self {
        Self::start_as(Command::new(PARALLAX), xds, admin, arguments, settings)
    }

    fn start_as(
        mut command: Command,
        xds: SocketAddr,
        admin: SocketAddr,
        arguments: &[String],
        settings: &str,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        command.arg("serve");
        if arguments.is_empty() {
            let file = folder.path().join("parallax.yaml");
            write_settings(&file, xds, admin, settings);
            command.arg("--config").arg(file);
        } else {
            command.args(arguments);
            command.args(["--listen", &xds.to_string(), "--admin", &admin.to_string()]);
        }
        let log = folder.path().join("parallax.log");
        let process = Process::start("parallax", command, &log, Stop::Kill).expect("the binary starts");
        Self {
            process,
            xds,
            admin,
            folder,
            arguments: arguments.to_vec(),
            settings: settings.to_owned(),
        }
    }

    /// Writes other settings into its file while it runs.
    pub(crate) fn change_settings(&mut self, settings: &str) {
        settings.clone_into(&mut self.settings);
        write_settings(
            &self.folder.path().join("parallax.yaml"),
            self.xds,
            self.admin,
            settings,
        );
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&mut self) {
        self.answers("/readyz", 200).await;
    }

    /// Waits until a path of the admin endpoint answers with a status, and returns the text.
    pub(crate) async fn answers(&mut self, path: &str, status: u16) -> String {
        let admin = self.admin;
        let process = &mut self.process;
        let what = format!("{path} to answer {status}");
        let answer = process.until(&what, DEADLINE, async || match get(admin, path).await {
            Ok(answer) if answer.status == status => Ok(answer.body),
            Ok(answer) => Err(format!("{}: {}", answer.status, answer.body)),
            Err(error) => Err(error.to_string()),
        });
        answer.await.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// The sum of a metric's values over all labels; 0 while there are none.
    pub(crate) async fn metric(&mut self, name: &str) -> f64 {
        self.metric_where(name, "").await
    }

    /// The sum of a metric's values over all labels that include this one, `name="value"`.
    pub(crate) async fn metric_where(&mut self, name: &str, label: &str) -> f64 {
        let text = self.answers("/metrics", 200).await;
        let lines = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            let whole = labels.is_empty() || labels.starts_with('{');
            (whole && labels.contains(label)).then_some(value)
        });
        lines.map(|value| value.parse::<f64>().expect("a number")).sum()
    }

    /// What a command says to a person, which must succeed.
    pub(crate) fn say(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "parallax {arguments:?}: {}: {errors}",
            output.status
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a command says to a program.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.extend(["-o", "json"]);
        serde_json::from_str(&self.say(&arguments)).expect("it is JSON")
    }

    /// Waits until what a command says to a person holds.
    pub(crate) async fn says(&self, arguments: &[&str], what: &str) -> String {
        self.says_within(DEADLINE, arguments, what).await
    }

    /// The same for something that takes long.
    pub(crate) async fn says_within(&self, deadline: Duration, arguments: &[&str], what: &str) -> String {
        let look = async || {
            let said = self.say(arguments);
            if said.contains(what) { Ok(said) } else { Err(said) }
        };
        eventually(&format!("{arguments:?} to say {what:?}"), deadline, look)
            .await
            .expect("it says so")
    }

    /// Waits until the log has these words.
    pub(crate) async fn logs(&self, words: &str) {
        self.logs_times(words, 1).await;
    }

    /// Waits until the log has these words so often.
    pub(crate) async fn logs_times(&self, words: &str, times: usize) {
        let look = async || {
            let log = std::fs::read_to_string(self.process.log()).map_err(|error| error.to_string())?;
            if log.matches(words).count() >= times {
                Ok(())
            } else {
                Err(log)
            }
        };
        eventually(&format!("{words:?} in the log {times} times"), DEADLINE, look)
            .await
            .expect("it is logged");
    }

    /// When the log said last that a member is synced.
    pub(crate) fn synced_at(&self, member: &str) -> SystemTime {
        let log = std::fs::read_to_string(self.process.log()).expect("it has a log");
        let says_so = |line: &&str| line.contains("member is synced") && line.contains(&format!("member={member}"));
        let line = log.lines().rfind(says_so).expect("it was synced");
        let at = line.split_whitespace().next().expect("a time");
        at.parse::<jiff::Timestamp>().expect("a time").into()
    }

    /// Waits until a metric without labels has a value.
    pub(crate) async fn says_metric(&self, name: &str, holds: impl Fn(f64) -> bool) {
        let look = async || {
            let text = get(self.admin, "/metrics")
                .await
                .map_err(|error| error.to_string())?
                .body;
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            if value.is_some_and(&holds) {
                Ok(())
            } else {
                Err(format!("{name} is {value:?}"))
            }
        };
        eventually(&format!("{name} to have its value"), DEADLINE, look)
            .await
            .expect("it gets there");
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PARALLAX);
        command.args(arguments).args(["--server", &self.admin.to_string()]);
        command.output().expect("the binary starts")
    }

    /// A folder for an Envoy, or anything else, that lasts as long as this.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        folder
    }
}

fn write_settings(file: &Path, xds: SocketAddr, admin: SocketAddr, settings: &str) {
    let text = format!("listen: {xds}\nadmin:\n  listen: {admin}\n{settings}");
    std::fs::write(file, text).expect("the settings can be written");
}

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}
