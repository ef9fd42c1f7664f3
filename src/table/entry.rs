//! What members say beside Services and pods: records of the optional kinds, which a member may not have at all.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::record::Labels;
use super::terms::ExportTo;
use crate::model::{HostName, Locality, NetworkId, ObjectName, Resolution, ServiceKey, ServicePort};

/// A host that a `ServiceEntry` names: of a service, or of all below a domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EntryHost {
    /// This one.
    Exact(HostName),
    /// `*.DOMAIN`.
    Below(HostName),
}

impl EntryHost {
    /// The service that it is: one of Kubernetes where it has such a name in this domain. None where it looks like something of
    /// Kubernetes that is no Service: a single pod's host follows from its Service.
    fn key(&self, domain: &str) -> Option<ServiceKey> {
        let key = match self {
            Self::Exact(host) => ServiceKey::from_any_host(host.as_str(), domain),
            Self::Below(host) => ServiceKey::from_any_host(&format!("*.{host}"), domain),
        };
        key.filter(|key| key.is_outside() || (key.pod().is_none() && &*key.name != "*"))
    }
}

/// Whether what an entry tells of is a part of the mesh. It decides where endpoints without a network can be reached from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Location {
    /// Somebody else's: what has no network is reached from everywhere.
    External,
    /// A part of it: what has no network is on its member's.
    Internal,
}

/// A port of a `ServiceEntry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryPort {
    /// Number, name, and the protocol in lower case where an `appProtocol` has it.
    pub port: ServicePort,
    /// `targetPort`: the port of endpoints that name none themselves.
    pub target: Option<u16>,
}

/// Where a workload outside of Kubernetes is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkloadAddress {
    /// At this address.
    Ip(IpAddr),
    /// Wherever this host is; proxies look it up.
    Host(HostName),
}

/// A workload that no pod stands for: the spec of a `WorkloadEntry`, or an endpoint that a `ServiceEntry` lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Where it is.
    pub address: WorkloadAddress,
    /// Its port for each name of a service port, where it differs.
    pub ports: Vec<(Arc<str>, u16)>,
    /// Its labels, sorted.
    pub labels: Labels,
    /// `network`.
    pub network: Option<NetworkId>,
    /// `locality`.
    pub locality: Option<Locality>,
    /// What it counts, where a pod counts one.
    pub weight: u16,
    /// `serviceAccount`.
    pub account: Option<Arc<str>>,
    /// It speaks mutual TLS: its label `security.istio.io/tlsMode` is `istio`, or it has no such label and a service account.
    pub mtls: bool,
}

/// A `WorkloadEntry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadEntryRecord {
    /// Namespace and name.
    pub name: ObjectName,
    /// What it stands for.
    pub workload: Workload,
}

/// A `ServiceEntry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEntryRecord {
    /// Namespace and name.
    pub name: ObjectName,
    /// `creationTimestamp` in seconds since the Unix epoch; decides conflicts. Without one it counts as the youngest.
    pub created: Option<i64>,
    /// `hosts`, each once.
    pub hosts: Vec<EntryHost>,
    /// `addresses`: where connections to it go, each once.
    pub addresses: Vec<IpAddr>,
    /// `ports`, each number once.
    pub ports: Vec<EntryPort>,
    /// `location`.
    pub location: Location,
    /// `resolution`.
    pub resolution: Resolution,
    /// `endpoints`.
    pub endpoints: Vec<Workload>,
    /// `workloadSelector.labels`: pods and `WorkloadEntry` objects of its namespace that are endpoints too.
    pub selector: Option<Labels>,
    /// `exportTo`; where it says nothing, the default counts.
    pub export: Option<ExportTo>,
}

impl ServiceEntryRecord {
    /// The services that its hosts are.
    pub(super) fn keys(&self, domain: &str) -> impl Iterator<Item = ServiceKey> {
        self.hosts.iter().filter_map(move |host| host.key(domain))
    }
}

/// What a `PeerAuthentication` asks of who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PeerMode {
    /// Nothing: what is above it counts.
    Unset,
    /// Plaintext.
    Disable,
    /// Plaintext or mutual TLS.
    Permissive,
    /// Mutual TLS.
    Strict,
}

/// A `PeerAuthentication`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerAuthenticationRecord {
    /// Namespace and name.
    pub name: ObjectName,
    /// `creationTimestamp` in seconds since the Unix epoch; the oldest of several for one workload counts.
    pub created: Option<i64>,
    /// `selector.matchLabels`; it is for its whole namespace without.
    pub selector: Option<Labels>,
    /// `mtls.mode`.
    pub mode: PeerMode,
    /// `portLevelMtls`: port of the workload, and what counts for it; sorted.
    pub ports: Vec<(u16, PeerMode)>,
}

/// Whether labels have all that a selector asks for. One that asks for nothing selects all.
#[must_use]
pub fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|label| labels.binary_search(label).is_ok())
}
