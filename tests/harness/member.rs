//! A real member cluster: an API server, and the controllers that turn Services and Pods into EndpointSlices.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

use super::certificates::ServerCredentials;
use super::ports::free_port;
use super::process::{Process, Stop};
use super::tools::KubernetesTools;
use super::wait::eventually;

/// Ready after 4 to 9 s on two free cores; a debug build beside it makes it several times as long.
const READY_DEADLINE: Duration = Duration::from_secs(90);

/// The token of a member of `system:masters`. Nothing beyond this machine can reach the server.
const TOKEN: &str = "admin-of-a-test-member";

/// What a member needs to know before it starts.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) name: String,
    /// Exists and is its own.
    pub(super) dir: PathBuf,
    pub(super) etcd_url: String,
    pub(super) tools: KubernetesTools,
    /// Makes the ranges of Service addresses of the members differ.
    pub(super) number: u8,
}

/// A running member cluster. Dropping it ends its processes; its state stays in etcd until that ends.
#[derive(Debug)]
pub struct Member {
    place: Place,
    port: u16,
    /// Where its state is in etcd.
    etcd_prefix: String,
    apiserver: Option<Process>,
    controllers: Option<Process>,
}

impl Member {
    /// See [`super::Kubernetes::start_member`].
    pub(super) async fn start(place: Place) -> anyhow::Result<Self> {
        let mut member = Self {
            etcd_prefix: format!("/{}", place.name),
            place,
            port: free_port(),
            apiserver: None,
            controllers: None,
        };
        member.write_files()?;
        member.restart_apiserver().await?;
        // The service account controller makes this one in every namespace: it is there once the controllers work.
        let accounts: Api<ServiceAccount> = Api::namespaced(member.client().await?, "default");
        member
            .wait("its controllers", async || match accounts.get_opt("default").await {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err("no service account in the namespace default".to_owned()),
                Err(error) => Err(error.to_string()),
            })
            .await?;
        Ok(member)
    }

    /// The name it was started with.
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// `https://127.0.0.1:PORT`, the same after a restart.
    pub fn server_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// The port of its API server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A bearer token that may do everything.
    pub fn token(&self) -> &str {
        TOKEN
    }

    /// The PEM file with the certificate authority of the API server.
    pub fn ca_path(&self) -> PathBuf {
        self.file("ca.crt")
    }

    /// A kubeconfig file whose only context has the member's name. It holds the certificate authority itself, so it can be
    /// copied elsewhere.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.file("kubeconfig")
    }

    /// The text of that file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn kubeconfig(&self) -> anyhow::Result<String> {
        let path = self.kubeconfig_path();
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// A new client with all rights, for what the test itself does in the cluster.
    ///
    /// # Errors
    /// If the kubeconfig cannot be used.
    pub async fn client(&self) -> anyhow::Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig_path())?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    /// What `/version` says.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub async fn version(&self) -> anyhow::Result<Info> {
        Ok(self.client().await?.apiserver_version().await?)
    }

    /// The process of the API server, to pause or resume it.
    ///
    /// # Panics
    /// After [`Member::kill_apiserver`].
    pub fn apiserver(&mut self) -> &mut Process {
        self.apiserver.as_mut().expect("the API server runs")
    }

    /// Kills the API server at once, and its controllers with it: they would come back too late, slowed by their own
    /// back-off, and tests would have to wait for it. State stays in etcd.
    pub fn kill_apiserver(&mut self) {
        self.controllers = None;
        self.apiserver = None;
    }

    /// Starts the API server and its controllers again on the same port and state, and waits until the server is ready.
    ///
    /// # Errors
    /// If it is not within 90 s, with the end of its log.
    pub async fn restart_apiserver(&mut self) -> anyhow::Result<()> {
        self.kill_apiserver();
        let name = format!("kube-apiserver of {}", self.place.name);
        let log = self.file("kube-apiserver.log");
        self.apiserver = Some(Process::start(&name, self.apiserver_command(), &log, Stop::Kill)?);
        let client = self.client().await?;
        self.wait("/readyz", async || {
            let request = http::Request::get("/readyz")
                .body(Vec::new())
                .expect("a constant request");
            match client.request_text(request).await {
                Ok(text) if text == "ok" => Ok(()),
                Ok(text) => Err(text),
                Err(error) => Err(error.to_string()),
            }
        })
        .await?;

        let name = format!("kube-controller-manager of {}", self.place.name);
        let log = self.file("kube-controller-manager.log");
        self.controllers = Some(Process::start(&name, self.controllers_command(), &log, Stop::Kill)?);
        Ok(())
    }

    /// The same without its state, as after a disaster: the server is there again and knows of nothing.
    ///
    /// # Errors
    /// As [`Member::restart_apiserver`].
    pub async fn restart_apiserver_empty(&mut self) -> anyhow::Result<()> {
        self.etcd_prefix += "-empty";
        self.restart_apiserver().await
    }

    /// Another API server of the same cluster, on the same state, with controllers and a port of its own: it goes on while this one
    /// is away. While both run nothing should change: both would make the slices of it.
    ///
    /// # Errors
    /// As [`Member::restart_apiserver`].
    pub async fn beside(&self) -> anyhow::Result<Self> {
        let dir = self.file("beside");
        std::fs::create_dir(&dir)?;
        for file in [
            "ca.crt",
            "server.crt",
            "server.key",
            "tokens.key",
            "tokens.pub",
            "tokens.csv",
        ] {
            std::fs::copy(self.file(file), dir.join(file)).with_context(|| format!("cannot copy {file}"))?;
        }
        let mut beside = Self {
            place: Place {
                dir,
                ..self.place.clone()
            },
            port: free_port(),
            etcd_prefix: self.etcd_prefix.clone(),
            apiserver: None,
            controllers: None,
        };
        let kubeconfig = self.kubeconfig()?.replace(&self.server_url(), &beside.server_url());
        beside.write("kubeconfig", &kubeconfig)?;
        beside.restart_apiserver().await?;
        Ok(beside)
    }

    /// [`eventually`] for something that the processes do, which ends at once if one of them does.
    async fn wait(&mut self, what: &str, mut look: impl AsyncFnMut() -> Result<(), String>) -> anyhow::Result<()> {
        let mut processes: Vec<&mut Process> = [self.apiserver.as_mut(), self.controllers.as_mut()]
            .into_iter()
            .flatten()
            .collect();
        let found = eventually(what, READY_DEADLINE, async || {
            match processes.iter_mut().try_for_each(|process| process.expect_running()) {
                Err(ended) => Ok(Err(ended)),
                Ok(()) => look().await.map(Ok),
            }
        })
        .await;
        // The newest process is the one that was waited for.
        let awaited = processes.last().expect("the API server was started");
        found.unwrap_or_else(|late| Err(awaited.failure(&format!("{late:#}"))))
    }

    fn apiserver_command(&self) -> Command {
        let mut command = Command::new(&self.place.tools.apiserver);
        let Place { etcd_url, number, .. } = &self.place;
        command.arg(format!("--etcd-servers={etcd_url}"));
        command.arg(format!("--etcd-prefix={}", self.etcd_prefix));
        command.arg(format!("--secure-port={}", self.port));
        // The address it would announce is looked for on the machine's networks, which may be none; and its own announcement
        // as the Service kubernetes.default refuses a loopback address. Nothing here needs that Service.
        command.args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"]);
        command.arg("--endpoint-reconciler-type=none");
        command
            .arg(self.flag("--tls-cert-file", "server.crt"))
            .arg(self.flag("--tls-private-key-file", "server.key"));
        command.arg("--service-account-issuer=https://kubernetes.default.svc");
        command.arg(self.flag("--service-account-key-file", "tokens.pub"));
        command.arg(self.flag("--service-account-signing-key-file", "tokens.key"));
        command.arg(format!("--service-cluster-ip-range=10.{}.0.0/16", 64 + number));
        command.arg(self.flag("--token-auth-file", "tokens.csv"));
        command.arg("--authorization-mode=RBAC");
        // Pods need no account of their own before they may exist.
        command.arg("--disable-admission-plugins=ServiceAccount");
        command
    }

    fn controllers_command(&self) -> Command {
        let mut command = Command::new(&self.place.tools.controller_manager);
        command.arg(self.flag("--kubeconfig", "kubeconfig"));
        command.args([
            "--leader-elect=false",
            "--secure-port=0",
            "--use-service-account-credentials=false",
        ]);
        // Tokens of service accounts that live in Secrets.
        command.arg(self.flag("--service-account-private-key-file", "tokens.key"));
        command.arg(self.flag("--root-ca-file", "ca.crt"));
        command.arg(
            "--controllers=endpointslice-controller,namespace-controller,serviceaccount-controller,\
             serviceaccount-token-controller",
        );
        command
    }

    /// Writes keys, certificates, tokens and the kubeconfig.
    fn write_files(&self) -> anyhow::Result<()> {
        let credentials = ServerCredentials::generate(&self.place.name)?;
        self.write("ca.crt", &credentials.ca)?;
        self.write("server.crt", &credentials.certificate)?;
        self.write("server.key", &credentials.key)?;
        self.write("tokens.key", &credentials.token_key)?;
        self.write("tokens.pub", &credentials.token_public_key)?;
        self.write("tokens.csv", &format!("{TOKEN},admin,admin,system:masters\n"))?;

        // JSON is YAML, and the kind that needs no library to write.
        let name = &self.place.name;
        let authority = ByteString(credentials.ca.into_bytes());
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{ "name": name, "cluster": {
                "server": self.server_url(),
                "certificate-authority-data": authority,
            } }],
            "users": [{ "name": "admin", "user": { "token": TOKEN } }],
            "contexts": [{ "name": name, "context": { "cluster": name, "user": "admin" } }],
        });
        self.write("kubeconfig", &serde_json::to_string_pretty(&kubeconfig)?)
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.file(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.dir.join(name)
    }

    fn flag(&self, name: &str, file: &str) -> String {
        format!("{name}={}", display(&self.file(file)))
    }
}

/// A path of ours as text: it is below a folder for temporary files, so it is UTF-8 wherever flags are.
fn display(path: &Path) -> String {
    path.display().to_string()
}
