//! From the text of a settings file to [`Config`].

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{ConfigError, ConfigErrors, InvalidValue};
use super::identity;
use super::locality;
use super::members;
use super::networks::{KnownMembers, networks};
use super::reader::{Reader, Section};
use super::settings::{
    AdminConfig, Config, DrainConfig, Listen, LogConfig, MeshConfig, ReadinessConfig, TlsFiles, XdsConfig,
};
use super::traffic;
use super::tree;
use super::values;

/// The longest wait that a setting may ask for; more is a typing error.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

impl Config {
    /// Reads settings from the text of a file. `file` names it in errors, and relative paths in it start at its folder.
    /// Nothing is opened: whether the files it names exist shows when they are used.
    ///
    /// # Errors
    /// Every mistake of the text, in the order of their places; where it is no valid YAML, that alone.
    pub fn from_yaml(text: &str, file: &str) -> Result<Self, ConfigErrors> {
        let root = tree::parse(text).map_err(|error| {
            let InvalidValue { problem, remedy } = error.what;
            ConfigErrors::one(ConfigError {
                file: file.to_owned(),
                at: Some(error.at),
                key: String::new(),
                problem,
                remedy,
            })
        })?;
        let mut reader = Reader::new(file);
        let config = config(&mut reader, root.as_ref());
        match ConfigErrors::new(reader.into_errors()) {
            None => Ok(config),
            Some(errors) => Err(errors),
        }
    }

    /// Reads settings from a file.
    ///
    /// # Errors
    /// As [`Config::from_yaml`], or that the file cannot be read.
    pub fn load(file: &Path) -> Result<Self, ConfigErrors> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| {
            ConfigErrors::one(ConfigError {
                file: name.clone(),
                at: None,
                key: String::new(),
                problem: format!("cannot be read: {error}"),
                remedy: "name a UTF-8 text file that this user may read".to_owned(),
            })
        })?;
        Self::from_yaml(&text, &name)
    }

    /// The settings of a start without a file: every folder in `dir` is a member of that name, the rest is default.
    ///
    /// # Errors
    /// Where other machines could reach `listen`: without a file there is no way to give certificates.
    pub fn for_members_folder(dir: impl Into<PathBuf>, listen: Listen) -> Result<Self, ConfigErrors> {
        if !listen.is_local() {
            return Err(ConfigErrors::one(ConfigError {
                file: "command line".to_owned(),
                at: None,
                key: "--listen".to_owned(),
                problem: format!("{listen} can be reached from other machines, and there is no TLS"),
                remedy: "listen on 127.0.0.1 or unix:PATH, or give a settings file with `tls` or `xds.allowPlaintext`"
                    .to_owned(),
            }));
        }
        Ok(Self {
            listen,
            members_folder: Some(dir.into()),
            ..Self::default()
        })
    }
}

fn config(reader: &mut Reader<'_>, node: Option<&tree::Node>) -> Config {
    let default = Config::default();
    let root = reader.section(node.filter(|node| !node.is_null()), "", String::new());

    let listen = listen(reader, &root).unwrap_or(default.listen);
    let admin = reader.child(&root, "admin");
    let admin = AdminConfig {
        listen: self::listen(reader, &admin).unwrap_or(default.admin.listen),
    };
    let member_defaults = members::defaults(reader, &root, default.member_defaults);
    let members = members::members(reader, &root, &member_defaults);
    let known = KnownMembers {
        named: &members,
        others: root.has("memberSecrets") || root.has("membersFolder"),
    };
    let networks = networks(reader, &root, &known);
    let config = Config {
        admin,
        mesh: mesh(reader, &root, default.mesh),
        members_folder: reader.path(&root, "membersFolder"),
        members,
        member_secrets: members::member_secrets(reader, &root),
        member_defaults,
        networks,
        zones: locality::zones(reader, &root),
        dns_servers: dns_servers(reader, &root),
        readiness: readiness(reader, &root, default.readiness),
        drain: drain(reader, &root, default.drain),
        store: store(reader, &root),
        xds: xds(reader, &root, default.xds),
        tls: tls(reader, &root),
        traffic: traffic::read(reader, &root, default.traffic),
        identity: identity::identity(reader, &root),
        log: log(reader, &root, default.log),
        listen,
    };
    check_listeners(reader, &root, &config);
    identity::check(reader, &root, &config);
    config
}

fn listen(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Listen> {
    let folder = reader.folder();
    reader.value(section, "listen", |scalar| {
        match values::text(scalar)?.parse()? {
            // Joined before the check of its length: the system sees the whole path.
            Listen::Unix(path) => format!("unix:{}", folder.join(path).display()).parse(),
            tcp @ Listen::Tcp(_) => Ok(tcp),
        }
    })
}

fn mesh(reader: &mut Reader<'_>, root: &Section<'_>, default: MeshConfig) -> MeshConfig {
    let section = reader.child(root, "mesh");
    MeshConfig {
        default_network: reader
            .value(&section, "defaultNetwork", values::label_value)
            .unwrap_or(default.default_network),
        system_namespace: reader
            .value(&section, "systemNamespace", values::dns_label)
            .unwrap_or(default.system_namespace),
        domain: reader
            .value(&section, "domain", values::dns_name)
            .unwrap_or(default.domain),
        export_to: locality::export_to(reader, &section, default.export_to),
        cluster_local: locality::cluster_local(reader, &section, default.cluster_local),
    }
}

fn readiness(reader: &mut Reader<'_>, root: &Section<'_>, default: ReadinessConfig) -> ReadinessConfig {
    let section = reader.child(root, "readiness");
    let wait = |scalar: &tree::Scalar| values::duration(scalar, Duration::from_millis(1)..=LONGEST_WAIT);
    ReadinessConfig {
        member_sync_deadline: reader
            .value(&section, "memberSyncDeadline", wait)
            .unwrap_or(default.member_sync_deadline),
    }
}

fn drain(reader: &mut Reader<'_>, root: &Section<'_>, default: DrainConfig) -> DrainConfig {
    let section = reader.child(root, "drain");
    let wait = |scalar: &tree::Scalar| values::duration(scalar, Duration::ZERO..=LONGEST_WAIT);
    DrainConfig {
        deadline: reader.value(&section, "deadline", wait).unwrap_or(default.deadline),
    }
}

fn xds(reader: &mut Reader<'_>, root: &Section<'_>, default: XdsConfig) -> XdsConfig {
    let section = reader.child(root, "xds");
    let request = |scalar: &tree::Scalar| values::size(scalar, 64 << 10..=1 << 30);
    let node = |scalar: &tree::Scalar| values::size(scalar, 1 << 10..=16 << 20);
    let initial = |scalar: &tree::Scalar| values::size(scalar, 1 << 20..=64 << 30);
    let names = |scalar: &tree::Scalar| values::integer(scalar, 0..=1_000_000_000);
    let streams = |scalar: &tree::Scalar| values::integer(scalar, 1..=1_000_000);
    let xds = XdsConfig {
        max_request_bytes: reader
            .value(&section, "maxRequestBytes", request)
            .unwrap_or(default.max_request_bytes),
        max_node_bytes: reader
            .value(&section, "maxNodeBytes", node)
            .unwrap_or(default.max_node_bytes),
        max_streams: reader
            .value(&section, "maxStreams", streams)
            .unwrap_or(default.max_streams),
        max_names: reader.value(&section, "maxNames", names).unwrap_or(default.max_names),
        max_initial_bytes_in_flight: reader
            .value(&section, "maxInitialBytesInFlight", initial)
            .unwrap_or(default.max_initial_bytes_in_flight),
        allow_plaintext: reader
            .value(&section, "allowPlaintext", values::boolean)
            .unwrap_or(default.allow_plaintext),
    };
    if xds.max_node_bytes > xds.max_request_bytes {
        let what = InvalidValue::new(
            format!(
                "is {} and thus smaller than maxNodeBytes",
                values::bytes_in_words(xds.max_request_bytes)
            ),
            format!(
                "a request holds a node: give at least {}",
                values::bytes_in_words(xds.max_node_bytes)
            ),
        );
        reader.error(
            section.place("maxRequestBytes"),
            section.key_path("maxRequestBytes"),
            what,
        );
    }
    xds
}

fn dns_servers(reader: &mut Reader<'_>, root: &Section<'_>) -> Vec<SocketAddr> {
    let section = reader.child(root, "dns");
    let mut servers = Vec::new();
    for (index, node) in reader.list(&section, "servers").iter().enumerate() {
        let read = match &node.value {
            tree::Value::Scalar(scalar) => super::addresses::dns_server(scalar),
            _ => Err(InvalidValue::new("is no address", "write one address in a line")),
        };
        match read {
            Ok(server) => servers.push(server),
            Err(what) => reader.error(node.at, format!("dns.servers[{index}]"), what),
        }
    }
    servers
}

fn store(reader: &mut Reader<'_>, root: &Section<'_>) -> Option<PathBuf> {
    let section = reader.child(root, "store");
    reader.path(&section, "path")
}

fn tls(reader: &mut Reader<'_>, root: &Section<'_>) -> Option<TlsFiles> {
    if !root.has("tls") {
        return None;
    }
    let section = reader.child(root, "tls");
    for key in ["certificate", "key"] {
        reader.require(&section, key, "name a PEM file");
    }
    let certificate = reader.path(&section, "certificate");
    let key = reader.path(&section, "key");
    let client_ca = reader.path(&section, "clientCa");
    Some(TlsFiles {
        certificate: certificate?,
        key: key?,
        client_ca,
    })
}

fn log(reader: &mut Reader<'_>, root: &Section<'_>, default: LogConfig) -> LogConfig {
    let section = reader.child(root, "log");
    LogConfig {
        level: reader
            .value(&section, "level", values::log_filter)
            .unwrap_or(default.level),
        format: reader
            .value(&section, "format", values::log_format)
            .unwrap_or(default.format),
    }
}

/// Fails closed: other machines may connect only with TLS, or where plaintext was asked for by name.
fn check_listeners(reader: &mut Reader<'_>, root: &Section<'_>, config: &Config) {
    // A wrong `tls` has its own error; a second one about its absence would mislead.
    if !config.listen.is_local() && !root.has("tls") && !config.xds.allow_plaintext {
        let what = InvalidValue::new(
            format!(
                "{} can be reached from other machines, and there is no TLS",
                config.listen
            ),
            "add `tls`, listen on 127.0.0.1 or unix:PATH, or set `xds.allowPlaintext: true`",
        );
        reader.error(root.place("listen"), "listen", what);
    }
    let chosen_by_system = matches!(&config.listen, Listen::Tcp(address) if address.port() == 0);
    if config.listen == config.admin.listen && !chosen_by_system {
        let at = root.node("admin").map_or(root.place("listen"), |node| node.at);
        let what = InvalidValue::new(
            format!("{} is the xDS address too", config.listen),
            "use another port or path",
        );
        reader.error(at, "admin.listen", what);
    }
}
