//! A real Envoy that gets its clusters over ADS, and what its admin interface tells.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::clusters::{self, Clusters};
use super::http::{self, Response};
use super::process::{Process, Stop};
use super::tools;
use super::wait::eventually;

/// Envoy is up after about 0.3 s, later on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// The two ways to speak ADS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// State of the world.
    Sotw,
    /// Incremental.
    Delta,
}

/// Where the control plane listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XdsAddress {
    /// An IP address and port, in plaintext.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl From<SocketAddr> for XdsAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// Where an Envoy says it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeLocality {
    /// Region.
    pub region: String,
    /// Zone.
    pub zone: String,
    /// Subzone, often empty.
    pub sub_zone: String,
}

/// How to start an [`Envoy`].
#[derive(Debug, Clone)]
pub struct EnvoyOptions {
    /// One of [`tools::envoy_versions`].
    pub version: String,
    /// For instance `sidecar~10.0.0.1~pod.namespace~namespace.svc.cluster.local`.
    pub node_id: String,
    /// The node's `cluster`.
    pub cluster: String,
    /// The node's metadata, text only: `NETWORK`, `CLUSTER_ID`, ….
    pub metadata: Vec<(String, String)>,
    /// The node's locality.
    pub locality: Option<NodeLocality>,
    /// Where the control plane listens.
    pub xds: XdsAddress,
    /// How to speak with it.
    pub dialect: Dialect,
    /// Whether it asks for listeners too.
    pub listeners: bool,
    /// A bootstrap to start with, in place of one made of all that is above; its admin interface should be on port 0.
    pub bootstrap: Option<Value>,
    /// An existing folder of its own for bootstrap and log.
    pub dir: PathBuf,
}

impl EnvoyOptions {
    /// The newest Envoy, incremental, without metadata and locality.
    pub fn new(node_id: impl Into<String>, xds: impl Into<XdsAddress>, dir: impl Into<PathBuf>) -> Self {
        Self {
            version: tools::envoy_versions()[0].to_owned(),
            node_id: node_id.into(),
            cluster: "test".to_owned(),
            metadata: Vec::new(),
            locality: None,
            xds: xds.into(),
            dialect: Dialect::Delta,
            listeners: false,
            bootstrap: None,
            dir: dir.into(),
        }
    }

    /// With one more value of metadata.
    #[must_use]
    pub fn with_metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// A running Envoy. Dropping it ends the process.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: SocketAddr,
}

impl Envoy {
    /// Starts an Envoy and waits until its admin interface answers; the control plane need not be there yet.
    ///
    /// # Errors
    /// If the binary is missing, or the admin interface does not answer within 30 s; then with the end of Envoy's log.
    pub async fn start(options: EnvoyOptions) -> anyhow::Result<Self> {
        let dir = &options.dir;
        let config = dir.join("bootstrap.json");
        let admin_file = dir.join("admin-address");
        let log = dir.join("envoy.log");
        let text = serde_json::to_string_pretty(&options.bootstrap.clone().unwrap_or_else(|| bootstrap(&options)))?;
        std::fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        // A file of an earlier Envoy in this folder would name a port that is no longer ours.
        std::fs::remove_file(&admin_file).ok();

        let mut command = Command::new(tools::envoy_binary(&options.version)?);
        command
            .arg("--config-path")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin_file);
        // Without hot restart Envoys share no memory region, so any number of them run beside each other.
        command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "info"]);
        let name = format!("Envoy {} of {}", options.version, options.node_id);
        let mut process = Process::start(&name, command, &log, Stop::Terminate)?;

        let admin = eventually("its admin interface", START_DEADLINE, async || {
            if process.exit_status().is_some() {
                return Ok(None);
            }
            let text = std::fs::read_to_string(&admin_file).map_err(|error| error.to_string())?;
            let admin: SocketAddr = text.trim().parse().map_err(|_| format!("the address {text:?}"))?;
            let answer = http::get(admin, "/server_info").await.and_then(Response::ok);
            answer.map(|_| Some(admin)).map_err(|error| format!("{error:#}"))
        })
        .await
        .map_err(|error| process.failure(&format!("{error:#}")))?;
        match admin {
            Some(admin) => Ok(Self { process, admin }),
            None => Err(process.expect_running().expect_err("its end was seen just before")),
        }
    }

    /// The address of the admin interface.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The process itself, to pause or end it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What the admin interface answers to a GET of `path`.
    ///
    /// # Errors
    /// If it does not answer 200.
    pub async fn get(&self, path: &str) -> anyhow::Result<String> {
        let answer = http::get(self.admin, path).await.and_then(Response::ok);
        answer.map_err(|error| self.process.failure(&format!("{error:#}")))
    }

    /// The clusters and hosts it holds now.
    ///
    /// # Errors
    /// If the admin interface does not answer.
    pub async fn clusters(&self) -> anyhow::Result<Clusters> {
        clusters::parse(&self.get("/clusters?format=json").await?)
    }

    /// A part of its config dump, for instance `dynamic_active_clusters` or `dynamic_endpoint_configs`: the list of what it
    /// has of it, empty if it has none.
    ///
    /// # Errors
    /// If the admin interface does not answer.
    pub async fn config_dump(&self, resource: &str) -> anyhow::Result<Vec<Value>> {
        let answer = http::get(self.admin, &format!("/config_dump?resource={resource}&include_eds")).await?;
        // This is how Envoy says that a list is empty, or that it has never heard of it.
        if answer.status == 404 {
            return Ok(Vec::new());
        }
        let mut dump: Value = serde_json::from_str(&answer.ok()?).context("/config_dump is no JSON")?;
        match dump["configs"].take() {
            Value::Array(configs) => Ok(configs),
            _ => Ok(Vec::new()),
        }
    }

    /// The value of a counter or gauge, for instance `control_plane.connected_state`, or nothing if it has none of that name.
    ///
    /// # Errors
    /// If the admin interface does not answer.
    pub async fn stat(&self, name: &str) -> anyhow::Result<Option<u64>> {
        // The filter is a regular expression; what it lets through too much the comparison below drops.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let filter: String = name.chars().map(|c| if is_plain(c) { c } else { '.' }).collect();
        let answer = self.get(&format!("/stats?filter={filter}")).await?;
        let value = answer
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value
            .map(|value| value.parse().with_context(|| format!("{name} is {value}")))
            .transpose()
    }

    /// Its version, for instance `1.40.0`.
    ///
    /// # Errors
    /// If the admin interface does not answer, or not as expected.
    pub async fn version(&self) -> anyhow::Result<String> {
        let info: Value = serde_json::from_str(&self.get("/server_info").await?)?;
        // COMMIT/VERSION/Clean/RELEASE/BoringSSL
        let version = info["version"].as_str().and_then(|version| version.split('/').nth(1));
        Ok(version.with_context(|| format!("no version in {info}"))?.to_owned())
    }

    /// Waits until `holds` is true of the clusters it holds, and returns them.
    ///
    /// # Errors
    /// After `deadline`, with `what` was awaited and what it held last; at once if it ended.
    pub async fn wait_for(
        &mut self,
        what: &str,
        deadline: Duration,
        mut holds: impl FnMut(&Clusters) -> bool,
    ) -> anyhow::Result<Clusters> {
        self.wait(what, deadline, async |envoy| {
            let held = envoy.clusters().await.map_err(|error| format!("{error:#}"))?;
            if holds(&held) {
                Ok(held)
            } else {
                Err(format!("{held:#?}"))
            }
        })
        .await
    }

    /// Waits until `holds` is true of a counter or gauge (0 while Envoy has none of that name), and returns it.
    ///
    /// # Errors
    /// After `deadline`, with the value it had last; at once if it ended.
    pub async fn wait_for_stat(
        &mut self,
        name: &str,
        deadline: Duration,
        mut holds: impl FnMut(u64) -> bool,
    ) -> anyhow::Result<u64> {
        self.wait(&format!("the stat {name}"), deadline, async |envoy| {
            let value = envoy
                .stat(name)
                .await
                .map_err(|error| format!("{error:#}"))?
                .unwrap_or(0);
            if holds(value) {
                Ok(value)
            } else {
                Err(value.to_string())
            }
        })
        .await
    }

    /// [`eventually`], which ends at once if the process does, and whose message shows the log.
    async fn wait<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut look: impl AsyncFnMut(&Self) -> Result<T, String>,
    ) -> anyhow::Result<T> {
        let found = eventually(what, deadline, async || match self.process.expect_running() {
            Err(ended) => Ok(Err(ended)),
            Ok(()) => look(self).await.map(Ok),
        })
        .await;
        found.unwrap_or_else(|late| Err(self.process.failure(&format!("{late:#}"))))
    }
}

/// The bootstrap: the node, ADS for clusters, and an admin interface on a port that Envoy chooses.
fn bootstrap(options: &EnvoyOptions) -> Value {
    let metadata: serde_json::Map<String, Value> = options
        .metadata
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    let mut node = json!({ "id": options.node_id, "cluster": options.cluster, "metadata": metadata });
    if let Some(locality) = &options.locality {
        node["locality"] = json!({ "region": locality.region, "zone": locality.zone, "sub_zone": locality.sub_zone });
    }
    let xds = match &options.xds {
        XdsAddress::Tcp(address) => json!({
            "socket_address": { "address": address.ip().to_string(), "port_value": address.port() },
        }),
        XdsAddress::Unix(path) => json!({ "pipe": { "path": path } }),
    };
    let dialect = match options.dialect {
        Dialect::Sotw => "GRPC",
        Dialect::Delta => "DELTA_GRPC",
    };
    // Envoy's own back-off reaches 30 s: a test that restarts the control plane would wait for it.
    let retry = json!({ "retry_back_off": { "base_interval": "0.1s", "max_interval": "1s" } });
    let mut bootstrap = json!({
        "node": node,
        "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
        "dynamic_resources": {
            "ads_config": {
                "api_type": dialect,
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{ "envoy_grpc": { "cluster_name": "xds", "retry_policy": retry } }],
            },
            "cds_config": { "resource_api_version": "V3", "ads": {} },
        },
        "static_resources": { "clusters": [{
            "name": "xds",
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": {
                "cluster_name": "xds",
                "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": xds } }] }],
            },
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": { "http2_protocol_options": {
                        "connection_keepalive": { "interval": "30s", "timeout": "5s" },
                    } },
                },
            },
        }] },
    });
    if options.listeners {
        bootstrap["dynamic_resources"]["lds_config"] = json!({ "resource_api_version": "V3", "ads": {} });
    }
    bootstrap
}
