//! The settings as the program uses them, and their defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::identity::IdentityConfig;
use super::locality::{LocalityConfig, OutlierConfig, ZoneConfig};

/// All settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `listen`: where Envoys reach us over xDS.
    pub listen: Listen,
    /// `admin`: the endpoint for people and probes.
    pub admin: AdminConfig,
    /// `mesh`: names that all members share.
    pub mesh: MeshConfig,
    /// `membersFolder`: each folder in it is a member of that name, described by the manifests in it.
    pub members_folder: Option<PathBuf>,
    /// `members`: the members named one by one, in the order of the file; names are unique.
    pub members: Vec<MemberConfig>,
    /// `memberSecrets`: where members join by Secrets and `Member` objects; nowhere where absent.
    pub member_secrets: Option<MemberSecretsConfig>,
    /// `networks`: address ranges, gateways and members of networks, by name (a Kubernetes label value).
    pub networks: BTreeMap<String, NetworkConfig>,
    /// `zones`: what is said of regions and zones, by region and zone; an empty zone is the region as a whole.
    pub zones: BTreeMap<(String, String), ZoneConfig>,
    /// `dns.servers`: who is asked for the addresses of gateways; the servers of the system where empty.
    pub dns_servers: Vec<SocketAddr>,
    /// `memberDefaults`: how members are treated that say nothing else, those of Secrets and folders too.
    pub member_defaults: MemberDefaults,
    /// `readiness`: when we say that we are ready.
    pub readiness: ReadinessConfig,
    /// `drain`: how we stop.
    pub drain: DrainConfig,
    /// `store.path`: the file with the last known good of members that are API servers; nothing is kept without.
    pub store: Option<PathBuf>,
    /// `xds`: limits of the xDS endpoint.
    pub xds: XdsConfig,
    /// `tls`: certificates of the xDS endpoint; plaintext without.
    pub tls: Option<TlsFiles>,
    /// `traffic`: what proxies get beside clusters and endpoints.
    pub traffic: TrafficConfig,
    /// `identity`: who proxies are, and whose certificates workloads get; neither is asked for without.
    pub identity: Option<IdentityConfig>,
    /// `log`: what is logged, and how.
    pub log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Listen::loopback(15010),
            admin: AdminConfig {
                listen: Listen::loopback(15080),
            },
            mesh: MeshConfig {
                default_network: "default".to_owned(),
                system_namespace: "istio-system".to_owned(),
                domain: "cluster.local".to_owned(),
                export_to: ["*".to_owned()].into(),
                cluster_local: ["kubernetes.default", "*.kube-system"].map(str::to_owned).into(),
            },
            members_folder: None,
            members: Vec::new(),
            member_secrets: None,
            networks: BTreeMap::new(),
            zones: BTreeMap::new(),
            dns_servers: Vec::new(),
            member_defaults: MemberDefaults {
                stale: StaleConfig::Keep,
                budget: BudgetConfig {
                    objects: 1_000_000,
                    bytes: 1 << 30,
                    events_per_second: 5_000,
                },
            },
            readiness: ReadinessConfig {
                member_sync_deadline: Duration::from_secs(30),
            },
            drain: DrainConfig {
                deadline: Duration::from_secs(10),
            },
            store: None,
            xds: XdsConfig {
                max_request_bytes: 64 << 20,
                max_node_bytes: 256 << 10,
                max_streams: 20_000,
                max_names: 10_000_000,
                max_initial_bytes_in_flight: 256 << 20,
                allow_plaintext: false,
            },
            tls: None,
            traffic: TrafficConfig {
                enabled: false,
                trust_domain: "cluster.local".to_owned(),
                certificates: None,
                mtls: MtlsChoice::Permissive,
                outside: OutsideChoice::Passthrough,
                application: ApplicationChoice::PodIp,
                requests_per_connection: 100,
                connection_age: Duration::from_secs(10),
                dns: true,
                access_log: Some("/dev/stdout".to_owned()),
                locality: LocalityConfig::default(),
                outlier: OutlierConfig::default(),
            },
            identity: None,
            log: LogConfig {
                level: "info".to_owned(),
                format: LogFormat::Text,
            },
        }
    }
}

/// An address to listen on. In text `127.0.0.1:15010`, `[::1]:15010` or `unix:/run/parallax/xds.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An IP address and port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix domain socket at this path.
    Unix(PathBuf),
}

impl Listen {
    fn loopback(port: u16) -> Self {
        Self::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// Whether only processes of this machine can connect.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `admin`: the endpoint for people and probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// `admin.listen`: debug gRPC, health, metrics.
    pub listen: Listen,
}

/// `mesh`: names that all members share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshConfig {
    /// `mesh.defaultNetwork`: the network of whatever says nothing about its network. A Kubernetes label value.
    pub default_network: String,
    /// `mesh.systemNamespace`: the namespace whose labels describe its member. A DNS label.
    pub system_namespace: String,
    /// `mesh.domain`: the suffix of service host names. A DNS name without a trailing dot.
    pub domain: String,
    /// `mesh.exportTo`: the namespaces that see Services which say nothing about it: `*` for all, `.` for a Service's own.
    pub export_to: BTreeSet<String>,
    /// `mesh.clusterLocal`: services that stay in their members, as `NAME.NAMESPACE` or `*.NAMESPACE`.
    pub cluster_local: BTreeSet<String>,
}

/// One of `members`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberConfig {
    /// `name`: unique among the members. A Kubernetes label value.
    pub name: String,
    /// `network`: the member's network where its own labels say nothing. A Kubernetes label value.
    pub network: Option<String>,
    /// Where the member's objects come from.
    pub source: MemberSource,
    /// `namespaces`: those that are read, in order; all of them where there are none.
    pub namespaces: Vec<String>,
    /// `stale`: what becomes of it while it can't be read; that of the defaults where absent.
    pub stale: StaleConfig,
    /// `weight`: what each of its endpoints counts, in percent of others; 0 takes all traffic away. At most 1000.
    pub weight: u16,
    /// `budget`: what it may cost; each part is that of the defaults where absent.
    pub budget: BudgetConfig,
}

/// `memberDefaults`: how members are treated that say nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDefaults {
    /// `memberDefaults.stale`.
    pub stale: StaleConfig,
    /// `memberDefaults.budget`.
    pub budget: BudgetConfig,
}

/// `stale`: what becomes of a member's endpoints while it can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleConfig {
    /// They are served as they were.
    Keep,
    /// After so long they are served only where nothing else is ready.
    Demote(Duration),
    /// After so long they are not served.
    Drop(Duration),
}

/// `budget`: what a member may cost us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetConfig {
    /// `budget.objects`: how many objects are held of it.
    pub objects: usize,
    /// `budget.bytes`: how many bytes they may take, about.
    pub bytes: usize,
    /// `budget.eventsPerSecond`: how many changes are taken in a second, sustained.
    pub events_per_second: usize,
}

/// Where a member's objects come from: exactly one of `folder`, `kubeconfig`, `inCluster`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberSource {
    /// `folder`: Kubernetes manifests in this folder, watched for changes.
    Folder(PathBuf),
    /// `kubeconfig` and `context`: the API server that this file names.
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The context in it; the file's current context where `None`.
        context: Option<String>,
    },
    /// `inCluster: true`: the API server of the cluster we run in, through the pod's service account.
    InCluster,
}

/// `memberSecrets`: where members are listed, as Secrets labelled `istio/multiCluster: "true"` and as `Member` objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSecretsConfig {
    /// The cluster that the Secrets are in; never a folder.
    pub source: MemberSource,
    /// `memberSecrets.namespace`: their namespace; the mesh's system namespace where `None`.
    pub namespace: Option<String>,
    /// `memberSecrets.allow`: what their kubeconfigs may use beside tokens and data.
    pub allow: AllowConfig,
}

/// `memberSecrets.allow`: what kubeconfigs in Secrets may use beside tokens and data. Nothing where absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowConfig {
    /// `exec:COMMAND`: programs that may be run, exactly as a kubeconfig writes them.
    pub exec: BTreeSet<String>,
    /// `auth-provider:NAME`.
    pub auth_providers: BTreeSet<String>,
    /// `folder:PATH`: folders that files may be read from.
    pub folders: BTreeSet<PathBuf>,
    /// `insecure-skip-tls-verify`: servers need not prove who they are.
    pub insecure_skip_tls_verify: bool,
}

/// One of `networks`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkConfig {
    /// `cidrs`: addresses in these ranges are on it, the narrowest range first.
    pub cidrs: Vec<CidrConfig>,
    /// `gateways`: how other networks reach it, beside the Services that are labelled with it.
    pub gateways: Vec<GatewayConfig>,
    /// `members`: members whose network it is, where their own labels say nothing.
    pub members: BTreeSet<String>,
    /// `weight`: what each endpoint on it counts, in percent of others; at most 1000, 100 where `None`.
    pub weight: Option<u16>,
}

/// One of `networks.NAME.cidrs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CidrConfig {
    /// Its first address.
    pub address: IpAddr,
    /// How many bits all of its addresses share.
    pub prefix: u8,
    /// `member`: true only in this member; in all of them where `None`.
    pub member: Option<String>,
}

/// One of `networks.NAME.gateways`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// `address` or `service`.
    pub place: GatewayPlace,
    /// `port`: for mutual TLS.
    pub port: u16,
    /// `member`: the member it belongs to; to the network as a whole where `None`.
    pub member: Option<String>,
}

/// Where a gateway of the settings is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayPlace {
    /// `address`, an IP address.
    Address(IpAddr),
    /// `address`, a host name: lower case, without a dot at its end.
    Host(String),
    /// `service`.
    Service {
        /// Before the slash.
        namespace: String,
        /// After it.
        name: String,
    },
}

/// `readiness`: when we say that we are ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadinessConfig {
    /// `readiness.memberSyncDeadline`: how long readiness waits for a member's first complete list.
    pub member_sync_deadline: Duration,
}

/// `drain`: how we stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainConfig {
    /// `drain.deadline`: how long open streams may take to end after the first signal.
    pub deadline: Duration,
}

/// `xds`: limits of the xDS endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdsConfig {
    /// `xds.maxRequestBytes`: the largest request message, in bytes; at least `max_node_bytes`.
    pub max_request_bytes: usize,
    /// `xds.maxNodeBytes`: the largest encoded node of a request, in bytes.
    pub max_node_bytes: usize,
    /// `xds.maxStreams`: how many streams may be open at a time.
    pub max_streams: usize,
    /// `xds.maxNames`: how many names all streams together may subscribe to, beyond the first 1,000 of each.
    pub max_names: usize,
    /// `xds.maxInitialBytesInFlight`: how many bytes of answers new streams may leave unacknowledged together.
    pub max_initial_bytes_in_flight: usize,
    /// `xds.allowPlaintext`: listen without TLS where other machines can connect.
    pub allow_plaintext: bool,
}

/// `tls`: PEM files of the xDS endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// `tls.certificate`: our certificate, followed by its intermediates.
    pub certificate: PathBuf,
    /// `tls.key`: the certificate's private key.
    pub key: PathBuf,
    /// `tls.clientCa`: where given, clients must show a certificate that one of these authorities signed.
    pub client_ca: Option<PathBuf>,
}

/// `traffic`: what proxies get beside clusters and endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficConfig {
    /// `traffic.enabled`: whether sidecars and gateways get listeners, routes and mutual TLS.
    pub enabled: bool,
    /// `traffic.trustDomain`: the trust domain in SPIFFE ids where there is no `identity`. A DNS name.
    pub trust_domain: String,
    /// `traffic.certificates`: the folder of the Envoys' machines with their certificates; over ADS where `None`.
    pub certificates: Option<String>,
    /// `traffic.mtls`: what workloads ask of who connects.
    pub mtls: MtlsChoice,
    /// `traffic.outside`: what becomes of connections to whatever is not in the mesh.
    pub outside: OutsideChoice,
    /// `traffic.application`: where applications listen.
    pub application: ApplicationChoice,
    /// `traffic.requestsPerConnection`: after how many requests a sidecar opens a new connection; 0 for never.
    pub requests_per_connection: u32,
    /// `traffic.connectionAge`: at what age a sidecar replaces a connection by a new one; 0 for never.
    pub connection_age: Duration,
    /// `traffic.dns`: whether sidecars answer for names that the local DNS does not know.
    pub dns: bool,
    /// `traffic.accessLog`: the file that Envoys log accesses to; none where `None`.
    pub access_log: Option<String>,
    /// `traffic.locality`: which endpoints come first. Counts for clients that get endpoints only, too.
    pub locality: LocalityConfig,
    /// `traffic.outlier`: when a sidecar takes an endpoint out that fails.
    pub outlier: OutlierConfig,
}

/// `traffic.mtls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MtlsChoice {
    /// Only mutual TLS.
    Strict,
    /// Mutual TLS and plaintext.
    Permissive,
    /// Only plaintext.
    Disable,
}

/// `traffic.outside`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutsideChoice {
    /// They go where they were going.
    Passthrough,
    /// They are refused.
    Block,
}

/// `traffic.application`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationChoice {
    /// On the pod's address, or on all.
    PodIp,
    /// On 127.0.0.1.
    Localhost,
}

/// `log`: what is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `log.level`: a level or a list of `target=level`, in the syntax of `tracing-subscriber`'s `EnvFilter`.
    pub level: String,
    /// `log.format`: for people or for programs.
    pub format: LogFormat,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people, coloured on a terminal.
    Text,
    /// One JSON object per line.
    Json,
}
