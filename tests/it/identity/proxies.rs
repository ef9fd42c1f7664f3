//! Two Envoys that speak mutual TLS with certificates from their streams, and whoever talks through them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::super::control_plane::PARALLAX;
use super::super::envoys::DEADLINE;
use super::super::harness::{Envoy, EnvoyOptions, eventually, free_port, get};

/// Runs a command that must succeed, and returns what it says.
pub(super) fn parallax(arguments: &[&str]) -> String {
    let output = Command::new(PARALLAX)
        .args(arguments)
        .output()
        .expect("the binary starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "parallax {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A path as an argument.
pub(super) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders are UTF-8")
}

/// A root, the intermediate of the member `west`, and a certificate for the xDS endpoint on 127.0.0.1.
pub(super) struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = Self { folder };
        let dir = made.root();
        parallax(&["ca", "init", "--dir", text(&dir)]);
        parallax(&["ca", "issue-intermediate", "--dir", text(&dir), "--member", "west"]);
        made.issue("parallax", &["--host", "127.0.0.1"]);
        made
    }

    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("ca")
    }

    /// The folder of a certificate that was issued.
    pub(super) fn issued(&self, account: &str) -> PathBuf {
        self.folder.path().join(account)
    }

    /// Issues a certificate for a service account of `shop`.
    pub(super) fn issue(&self, account: &str, more: &[&str]) {
        let (from, out) = (self.root().join("west"), self.issued(account));
        let mut arguments = vec!["ca", "issue", "--namespace", "shop", "--service-account", account];
        arguments.extend(["--from", text(&from), "--out", text(&out)]);
        arguments.extend(more);
        parallax(&arguments);
    }

    /// The settings that make a control plane use it.
    pub(super) fn settings(&self, lifetime: &str, require: &str) -> String {
        let (server, ca) = (self.issued("parallax"), self.root().join("west"));
        format!(
            "tls:\n  certificate: {server}/tls.crt\n  key: {server}/tls.key\nlog:\n  level: debug\nidentity:\n  ca: {}\n  workloadCertificateLifetime: {lifetime}\n  proxies:\n    require: {require}\n",
            ca.display(),
            server = server.display(),
        )
    }
}

/// What an Envoy starts with: what `parallax bootstrap` writes into `folder`, on an admin port that Envoy chooses.
pub(super) fn bootstrap(folder: &Path, arguments: &[&str]) -> Value {
    let mut all = vec!["bootstrap", "--member", "west", "--stats-port", "0", "-o", "json"];
    all.extend(["--admin-port", "0", "--out", text(folder)]);
    all.extend(arguments);
    parallax(&all);
    let written = std::fs::read_to_string(folder.join("bootstrap.json")).expect("it is written");
    serde_json::from_str(&written).expect("it is JSON")
}

/// Starts an Envoy.
pub(super) async fn start(folder: &Path, bootstrap: Value, version: &str) -> Envoy {
    let nobody: SocketAddr = ([127, 0, 0, 1], 1).into();
    let mut options = EnvoyOptions::new("", nobody, folder);
    version.clone_into(&mut options.version);
    options.bootstrap = Some(bootstrap);
    Envoy::start(options).await.expect("Envoy starts")
}

fn ads(name: &str) -> Value {
    json!({ "name": name, "sds_config": { "resource_api_version": "V3", "ads": {} } })
}

/// TLS with the workload's certificate and the mesh's roots, both over ADS, with whoever has an id.
fn tls(kind: &str, peer: &Value) -> Value {
    let mut context = json!({
        "@type": format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}TlsContext"),
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [ads("default")],
            "combined_validation_context": {
                "default_validation_context": { "match_typed_subject_alt_names": [{ "san_type": "URI", "matcher": peer }] },
                "validation_context_sds_secret_config": ads("ROOTCA"),
            },
        },
    });
    if kind == "Downstream" {
        context["require_client_certificate"] = json!(true);
    }
    json!({ "name": "envoy.transport_sockets.tls", "typed_config": context })
}

fn listener(name: &str, port: u16, route: &Value, reply: &Value) -> Value {
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": { "validate_clusters": false, "virtual_hosts": [{ "name": name, "domains": ["*"], "routes": [route] }] },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }],
    });
    if !reply.is_null() {
        manager["local_reply_config"] = reply.clone();
    }
    json!({
        "name": name,
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } },
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
        }] }],
    })
}

/// Adds to a bootstrap a listener with mutual TLS that answers with who asked.
pub(super) fn serve(mut bootstrap: Value, port: u16) -> Value {
    let route =
        json!({ "match": { "prefix": "/" }, "direct_response": { "status": 200, "body": { "inline_string": "?" } } });
    let body = "%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_SERIAL%";
    let reply = json!({ "body_format": { "text_format_source": { "inline_string": body } } });
    let mut listener = listener("inbound", port, &route, &reply);
    listener["filter_chains"][0]["transport_socket"] =
        tls("Downstream", &json!({ "prefix": "spiffe://cluster.local/" }));
    bootstrap["static_resources"]["listeners"] = json!([listener]);
    bootstrap
}

/// Adds to a bootstrap a plain listener whose requests go out with mutual TLS to whoever listens on `to`; each on a connection
/// of its own, or all on one.
///
/// The cluster comes from a file: an Envoy whose own bootstrap has one with secrets over ADS crashes at its start.
pub(super) fn call(folder: &Path, mut bootstrap: Value, port: u16, to: u16, requests_per_connection: u32) -> Value {
    let route = json!({ "match": { "prefix": "/" }, "route": { "cluster": "web" } });
    bootstrap["static_resources"]["listeners"] = json!([listener("outbound", port, &route, &Value::Null)]);
    let address = json!({ "socket_address": { "address": "127.0.0.1", "port_value": to } });
    let mut cluster = json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": "web",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "web",
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
        "transport_socket": tls("Upstream", &json!({ "exact": "spiffe://cluster.local/ns/shop/sa/web" })),
    });
    if requests_per_connection > 0 {
        cluster["typed_extension_protocol_options"] = json!({
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": { "max_requests_per_connection": requests_per_connection },
                "explicit_http_config": { "http_protocol_options": {} },
            },
        });
    }
    let file = folder.join("clusters.json");
    std::fs::write(&file, json!({ "resources": [cluster] }).to_string()).expect("it is written");
    let source = json!({ "resource_api_version": "V3", "path_config_source": { "path": file } });
    bootstrap["dynamic_resources"]["cds_config"] = source;
    bootstrap
}

/// A pair that talks.
pub(super) struct Pair {
    pub(super) server: Envoy,
    pub(super) client: Envoy,
    pub(super) address: SocketAddr,
}

impl Pair {
    /// Starts both from their bootstraps, and waits until a request gets through.
    pub(super) async fn start(
        (server, web): (&Path, Value),
        (client, caller): (&Path, Value),
        version: &str,
        requests_per_connection: u32,
    ) -> Self {
        let (inbound, outbound) = (free_port(), free_port());
        let server = start(server, serve(web, inbound), version).await;
        let client = start(
            client,
            call(client, caller, outbound, inbound, requests_per_connection),
            version,
        )
        .await;
        let mut pair = Self {
            server,
            client,
            address: ([127, 0, 0, 1], outbound).into(),
        };
        pair.waits_for_answer().await;
        pair
    }

    /// Waits until a request gets through, and returns the answer: the id and the serial number of who asked.
    pub(super) async fn waits_for_answer(&mut self) -> (String, String) {
        let address = self.address;
        let answered = eventually("a request to get through", DEADLINE, async || {
            let answer = get(address, "/").await.map_err(|error| format!("{error:#}"))?;
            answer.ok().map_err(|error| format!("{error:#}"))
        });
        match answered.await {
            Ok(answer) => {
                let (id, serial) = answer.split_once(' ').expect("id and serial number");
                (id.to_owned(), serial.to_owned())
            }
            Err(late) => panic!(
                "{:#}\n{:#}",
                self.client.process().failure(&late.to_string()),
                self.server.process().failure("the server")
            ),
        }
    }

    /// Waits until both hold as many roots, and certificates with other serial numbers than before.
    pub(super) async fn wait(&self, roots: usize, not: &[String]) -> Vec<String> {
        let look = async || {
            let mut serials = Vec::new();
            for envoy in [&self.server, &self.client] {
                let (found, serial) = held(envoy).await.map_err(|error| format!("{error:#}"))?;
                if found.len() != roots || not.contains(&serial) {
                    return Err(format!("roots {found:?}, serial number {serial}"));
                }
                serials.push(serial);
            }
            Ok(serials)
        };
        let what = format!("{roots} roots and certificates other than {not:?}");
        eventually(&what, DEADLINE, look).await.expect("they come")
    }

    /// Asserts that neither ever refused an update.
    pub(super) async fn are_content(&self) {
        for envoy in [&self.server, &self.client] {
            let stats = envoy.get("/stats?filter=update_rejected|key_rotation_failed").await;
            for line in stats.expect("it answers").lines() {
                assert!(line.ends_with(": 0"), "{line}");
            }
        }
    }
}

/// The roots that an Envoy holds for its workload, and the serial number of its workload's certificate.
async fn held(envoy: &Envoy) -> anyhow::Result<(Vec<String>, String)> {
    let secrets = envoy.get("/config_dump?resource=dynamic_active_secrets").await?;
    let secrets: Value = serde_json::from_str(&secrets)?;
    let of = |name: &str| {
        let all = secrets["configs"].as_array().into_iter().flatten();
        all.map(|config| &config["secret"])
            .find(|secret| secret["name"] == name)
            .cloned()
    };
    let inline = |value: &Value| {
        let text = value["inline_string"].as_str().unwrap_or_default();
        text.split_inclusive("-----END CERTIFICATE-----")
            .filter(|block| block.contains("BEGIN"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let roots = of("ROOTCA").map(|secret| inline(&secret["validation_context"]["trusted_ca"]));
    let chain = of("default").map(|secret| {
        let key = secret["tls_certificate"]["private_key"].to_string();
        assert!(!key.contains("PRIVATE"), "Envoy shows no key");
        inline(&secret["tls_certificate"]["certificate_chain"])
    });
    let own = chain.unwrap_or_default().into_iter().next();
    Ok((roots.unwrap_or_default(), own.unwrap_or_default()))
}

/// Requests one after the other, until told to stop.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    task: JoinHandle<Vec<String>>,
}

impl Load {
    pub(super) fn on(address: SocketAddr) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&done));
        let task = tokio::spawn(async move {
            let mut failures = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let answer = get(address, "/").await.and_then(|answer| answer.ok());
                if let Err(error) = answer {
                    failures.push(format!("{error:#}"));
                }
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            failures
        });
        Self { stop, done, task }
    }

    /// Stops, and asserts that no request failed.
    pub(super) async fn none_failed(self) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.task.await.expect("it ends");
        let done = self.done.load(Ordering::Relaxed);
        assert_eq!(failures, Vec::<String>::new(), "of {done} requests");
        assert!(done > 50, "{done} requests");
    }
}
