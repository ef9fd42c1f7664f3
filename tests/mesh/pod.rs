//! A pod: a namespace with an application, and an Envoy that its traffic is redirected to.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::certificates::Credentials;
use super::client;
use super::cluster::PodSpec;
use super::harness::{Process, Stop, envoy_binary, envoy_versions};
use super::space::Space;

/// Where every Envoy finds its own folder: each has its own file system, as a pod has.
pub(crate) const FOLDER: &str = "/mnt";
pub(crate) const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 15000);
const DEADLINE: Duration = Duration::from_secs(60);
/// The user whose connections are not captured.
const ENVOY_USER: &str = "1337";

/// Where a pod is, for manifests too.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) member: &'static str,
    pub(crate) address: &'static str,
    pub(crate) sidecar: bool,
    /// Of its Envoy.
    pub(crate) version: &'static str,
}

impl Workload {
    /// The same as the tests on API servers have it.
    pub(crate) fn spec(&self) -> PodSpec {
        let network = if self.address.starts_with("10.1.") {
            "net1"
        } else {
            "net2"
        };
        PodSpec::new(self.name, self.member, network, self.address)
    }
}

/// A running Envoy in a namespace.
#[derive(Debug)]
pub(crate) struct Envoy {
    process: Process,
    folder: PathBuf,
}

/// The rules that a user reads in docs/traffic.md, to the letter.
pub(crate) fn capture_rules() -> &'static str {
    let page = include_str!("../../docs/traffic.md");
    let after = page
        .split_once("## Capture a pod's traffic")
        .expect("it is on the page")
        .1;
    let script = after.split_once("```sh\n").expect("it has a script").1;
    script.split_once("```").expect("it ends").0
}

/// Captures all TCP of IPv4, and questions to the DNS, but those of Envoy's own user, as Istio's init container does.
pub(crate) fn capture(space: &Space) {
    let parts = capture_rules().split_once("# Where the pod has IPv6");
    space.shell(parts.expect("IPv6 comes last").0);
}

impl Envoy {
    /// Starts one by the bootstrap in a folder of its own, which it sees at [`FOLDER`], and waits until it says that it is live.
    pub(crate) async fn start(space: &Space, folder: &Path, name: &str) -> Self {
        Self::start_version(space, folder, name, envoy_versions()[0]).await
    }

    /// The same of a version.
    pub(crate) async fn start_version(space: &Space, folder: &Path, name: &str, version: &str) -> Self {
        let mut envoy = Self::start_only(space, folder, name, version);
        envoy.ready(space).await;
        envoy
    }

    /// The same without waiting.
    pub(crate) fn start_only(space: &Space, folder: &Path, name: &str, version: &str) -> Self {
        let log = folder.join("envoy.log");
        for file in [&log, &folder.join("access.log")] {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(file)
                .expect("it can be made");
            fs::set_permissions(file, Permissions::from_mode(0o666)).expect("it is ours");
        }
        fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("it is ours");
        let binary = envoy_binary(version).expect("Envoy is there");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", space.name(), "sh", "-euc"]);
        command.args([r#"mount --bind "$1" "$2"; shift 2; exec "$@""#, "sh"]);
        command.arg(folder).arg(FOLDER);
        command.args([
            "setpriv",
            "--reuid",
            ENVOY_USER,
            "--regid",
            ENVOY_USER,
            "--clear-groups",
        ]);
        command.arg(binary).args(["-c", &format!("{FOLDER}/bootstrap.json")]);
        command.args([
            "--disable-hot-restart",
            "--concurrency",
            "1",
            "--file-flush-interval-msec",
            "20",
        ]);
        command.args(["--log-level", "info"]);
        let process = Process::start(name, command, &log, Stop::Kill).expect("it starts");
        Self {
            process,
            folder: folder.to_owned(),
        }
    }

    async fn ready(&mut self, space: &Space) {
        let live = self.process.until("Envoy to be live", DEADLINE, async || {
            let answer = space.within(|| client::get(ADMIN, "admin", "/ready"));
            match answer {
                Ok(answer) if answer.status == 200 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        live.await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Ends it as the kubelet does, by SIGTERM.
    pub(crate) async fn end(mut self) {
        self.process.terminate();
        self.process.wait(DEADLINE).await.expect("it ends");
    }

    /// The lines of its access log so far.
    pub(crate) fn accesses(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("access.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// What the admin interface of the Envoy in a namespace answers to a GET.
pub(crate) fn admin(space: &Space, path: &str) -> String {
    let answer = space.within(|| client::get(ADMIN, "admin", path));
    answer.expect("it answers").body
}

/// The sum of all stats whose names contain each of these parts.
pub(crate) fn stat(space: &Space, parts: &[&str]) -> u64 {
    let text = admin(space, "/stats");
    let lines = text.lines().filter_map(|line| line.rsplit_once(": "));
    let named = lines.filter(|(name, _)| parts.iter().all(|part| name.contains(part)));
    named.filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
}

/// With ADS in plaintext.
pub(crate) fn bootstrap(node: &Value, xds: SocketAddr, delta: bool) -> Value {
    let v3 = json!({ "resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s" });
    let retry = json!({ "retry_back_off": { "base_interval": "0.1s", "max_interval": "1s" } });
    json!({
        "node": node,
        "admin": { "address": { "socket_address": { "address": ADMIN.ip(), "port_value": ADMIN.port() } } },
        "dynamic_resources": {
            "lds_config": v3,
            "cds_config": v3,
            "ads_config": {
                "api_type": if delta { "DELTA_GRPC" } else { "GRPC" },
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{ "envoy_grpc": { "cluster_name": "xds-grpc", "retry_policy": retry } }],
            },
        },
        "static_resources": { "clusters": [{
            "name": "xds-grpc",
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": { "cluster_name": "xds-grpc", "endpoints": [{ "lb_endpoints": [{ "endpoint": {
                "address": { "socket_address": { "address": xds.ip(), "port_value": xds.port() } },
            } }] }] },
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": { "http2_protocol_options": {
                        "connection_keepalive": { "interval": "30s", "timeout": "5s" },
                    } },
                },
            },
        }] },
    })
}

/// Puts a workload's credentials where its Envoy finds them.
pub(crate) fn put_credentials(folder: &Path, credentials: &Credentials) {
    let certificates = folder.join("certificates");
    fs::create_dir_all(&certificates).expect("it can be made");
    for (name, text) in credentials.files() {
        fs::write(certificates.join(name), text).expect("it can be written");
    }
}

/// The application of a pod: HTTP on 8080, which tells the pod's name and what the sidecar said of the peer, and repeats a line that
/// is no HTTP; and a port 9000 that speaks first. Lives as long as the process.
pub(crate) fn application(space: &Space, name: &'static str, ip: &str) {
    let bind = |port: u16| {
        let address = format!("{ip}:{port}");
        space
            .within(move || TcpListener::bind(address))
            .expect("the port is free")
    };
    let (http, first) = (bind(8080), bind(9000));
    std::thread::spawn(move || {
        for stream in http.incoming().flatten() {
            std::thread::spawn(move || serve(stream, name));
        }
    });
    std::thread::spawn(move || {
        for mut stream in first.incoming().flatten() {
            stream.write_all(name.as_bytes()).ok();
        }
    });
}

fn serve(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        if !first.trim_end().ends_with("HTTP/1.1") {
            return write!(stream, "{name} heard {first}");
        }
        let mut peer = String::new();
        let mut last = false;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line == "\r\n" {
                break;
            }
            if let Some((key, value)) = line.split_once(':')
                && key.eq_ignore_ascii_case("x-forwarded-client-cert")
            {
                peer = value.trim().to_owned();
            }
            last |= line.to_ascii_lowercase().starts_with("connection: close");
        }
        // A request may ask for time: `?wait=20`, in milliseconds.
        let wait = first
            .split_once("wait=")
            .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        std::thread::sleep(Duration::from_millis(wait.unwrap_or(0)));
        // Or that one pod fails: `?fail=web-1`.
        let fails = first.split_once("fail=").and_then(|(_, rest)| rest.split(' ').next()) == Some(name);
        let status = if fails { "500 Internal Server Error" } else { "200 OK" };
        let body = json!({ "pod": name, "peer": peer, "asked": first.trim() }).to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes())?;
        if last {
            return Ok(());
        }
    }
}
