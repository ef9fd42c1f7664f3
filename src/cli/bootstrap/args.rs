//! What the bootstrap of a proxy is made of.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use crate::model::{ClusterId, NetworkId};

/// `parallax bootstrap` and `parallax gateway-bootstrap`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct BootstrapArgs {
    /// The pod, NAMESPACE/NAME
    #[arg(long, value_name = "NS/NAME")]
    pub pod: PodName,
    /// The member that the pod is in
    #[arg(long, value_parser = member)]
    pub member: ClusterId,
    /// The pod's service account
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    /// The pod's address; its network and address families are found by it
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED), hide_default_value = true)]
    pub ip: IpAddr,
    /// The pod's network, where it is not to be found out
    #[arg(long, value_parser = network)]
    pub network: Option<NetworkId>,
    /// The region it runs in; of region, zone and subzone none is needed where the pod's Node or its labels say it
    #[arg(long)]
    pub region: Option<String>,
    /// The zone it runs in
    #[arg(long)]
    pub zone: Option<String>,
    /// The subzone it runs in, such as a rack
    #[arg(long)]
    pub subzone: Option<String>,
    /// The control plane: HOST:PORT or unix:PATH (`listen` in its settings)
    #[arg(long, default_value = "127.0.0.1:15010", value_name = "ADDR")]
    pub xds: XdsServer,
    /// A file with the authorities that the control plane's certificate is checked by; without it there is no TLS
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The name in the control plane's certificate: of a host, or a SPIFFE id [default: the host of --xds]
    #[arg(long, value_name = "NAME", requires = "ca")]
    pub xds_name: Option<String>,
    /// A file with a token of the service account, as the kubelet projects it; read again when it changes
    #[arg(long, value_name = "FILE")]
    pub token: Option<PathBuf>,
    /// A file with a certificate of the workload and its intermediates
    #[arg(long, value_name = "FILE", requires_all = ["key", "ca"])]
    pub certificate: Option<PathBuf>,
    /// The certificate's key
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// Envoy's own admin interface, on loopback; with `traffic.application: localhost` any other than 15000 is open to the network
    #[arg(long, default_value_t = 15000)]
    pub admin_port: u16,
    /// Where /stats/prometheus is served, on all addresses; 0 for nowhere
    #[arg(long, default_value_t = 15090)]
    pub stats_port: u16,
    /// The suffix of host names (`mesh.domain` in the settings)
    #[arg(long, default_value = "cluster.local")]
    pub domain: String,
    /// A folder for the bootstrap and the files it refers to [default: the bootstrap alone, to standard output]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where Envoy will find that folder, if not where it is now
    #[arg(long, value_name = "DIR", requires = "out")]
    pub mounted_at: Option<PathBuf>,
}

/// Namespace and name of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodName {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl FromStr for PodName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
        };
        match text.split_once('/') {
            Some((namespace, name)) if plain(namespace) && !namespace.contains('.') && plain(name) => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err("write NAMESPACE/NAME, such as shop/web-7d9f".to_owned()),
        }
    }
}

/// Where the control plane is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XdsServer {
    /// A host name or address, and a port.
    Tcp {
        /// Without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for XdsServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        let wrong = || "write HOST:PORT, [IPv6]:PORT or unix:PATH".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        let port = port.parse().map_err(|_| wrong())?;
        if host.is_empty() || host.contains(['/', '[', ']']) {
            return Err(wrong());
        }
        Ok(Self::Tcp {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for XdsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn member(text: &str) -> Result<ClusterId, String> {
    ClusterId::new(text).map_err(|error| error.to_string())
}

fn network(text: &str) -> Result<NetworkId, String> {
    NetworkId::new(text).map_err(|error| error.to_string())
}
