//! What a member says: Kubernetes objects reduced to what the table needs, and the events that carry them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entry::{PeerAuthenticationRecord, ServiceEntryRecord, WorkloadEntryRecord};
use super::strings::Strings;
use super::terms::TermsRecord;
use crate::model::{
    Addresses, ClusterId, Health, HostName, Locality, MemberStanding, NetworkId, ObjectName, PodName, Probe,
    ServiceKey, ServicePort,
};

/// The kinds of objects that a member is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// For the network label of the system namespace.
    Namespace,
    /// For localities, and for the addresses of NodePort gateways.
    Node,
    /// For ports, and for gateways.
    Service,
    /// For endpoints.
    EndpointSlice,
    /// For networks of single pods, and for mutual TLS.
    Pod,
    /// For hosts outside of Kubernetes.
    ServiceEntry,
    /// For endpoints outside of Kubernetes.
    WorkloadEntry,
    /// For what workloads ask of who connects.
    PeerAuthentication,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Namespace,
        Self::Node,
        Self::Service,
        Self::EndpointSlice,
        Self::Pod,
        Self::ServiceEntry,
        Self::WorkloadEntry,
        Self::PeerAuthentication,
    ];
    /// The kinds that every member has. It is served once each of them was listed completely.
    pub const CORE: [Self; 5] = [
        Self::Namespace,
        Self::Node,
        Self::Service,
        Self::EndpointSlice,
        Self::Pod,
    ];
    /// The kinds that a member may not know, or not let us read; it is complete without them.
    pub const OPTIONAL: [Self; 3] = [Self::ServiceEntry, Self::WorkloadEntry, Self::PeerAuthentication];

    /// Whether a member is complete without it.
    #[must_use]
    pub fn is_optional(self) -> bool {
        Self::OPTIONAL.contains(&self)
    }

    /// As `kind` of an object says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Pod => "Pod",
            Self::ServiceEntry => "ServiceEntry",
            Self::WorkloadEntry => "WorkloadEntry",
            Self::PeerAuthentication => "PeerAuthentication",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A Namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceRecord {
    /// Its name.
    pub name: Arc<str>,
    /// Its label `topology.istio.io/network`; counts on the member's system namespace.
    pub network: Option<NetworkId>,
    /// What it says for Services in it that say nothing themselves.
    pub terms: Option<Box<TermsRecord>>,
}

/// A Node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its name.
    pub name: Arc<str>,
    /// From its labels `topology.kubernetes.io/region`, `topology.kubernetes.io/zone` and `topology.istio.io/subzone`.
    pub locality: Locality,
    /// All its labels, sorted: a gateway may choose Nodes by any.
    pub labels: Labels,
    /// Its addresses of type `ExternalIP`, sorted.
    pub external: Vec<IpAddr>,
    /// Its addresses of type `InternalIP`, sorted.
    pub internal: Vec<IpAddr>,
    /// Its condition `Ready`; a Node without one counts as ready.
    pub ready: bool,
}

/// Labels, sorted by key.
pub type Labels = Vec<(Arc<str>, Arc<str>)>;

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRecord {
    /// Namespace and name.
    pub key: ServiceKey,
    /// `creationTimestamp` in seconds since the Unix epoch; decides conflicts. Without one it counts as the youngest.
    pub created: Option<i64>,
    /// `clusterIP: None`.
    pub headless: bool,
    /// `spec.clusterIPs`; none of a headless Service.
    pub cluster_ips: Vec<IpAddr>,
    /// `publishNotReadyAddresses`: readiness is not looked at.
    pub publish_not_ready: bool,
    /// Its TCP ports.
    pub ports: Vec<ServicePort>,
    /// `spec.selector`, sorted: which `WorkloadEntry` objects are endpoints too. Of pods its slices tell.
    pub selector: Labels,
    /// By service port, the `targetPort`, where it is another; known only where there is a selector.
    pub targets: Vec<(u16, TargetPort)>,
    /// Set when it is labelled `topology.istio.io/network`.
    pub gateway: Option<GatewayClaim>,
    /// Set where something outside of the cluster can reach it.
    pub exposure: Option<Box<Exposure>>,
    /// What it says of who is sent to its endpoints.
    pub terms: Option<Box<TermsRecord>>,
}

/// The port of a workload that a service port leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetPort {
    /// This one.
    Number(u16),
    /// The one that the workload calls so.
    Name(Arc<str>),
}

/// What a Service with a network label says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayClaim {
    /// The label's value.
    pub network: NetworkId,
    /// 15443, or the label `networking.istio.io/gatewayPort`.
    pub port: u16,
}

/// Where a Service can be reached from outside of its cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// `status.loadBalancer.ingress[].ip` and `spec.externalIPs`, sorted.
    pub addresses: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].hostname`, sorted.
    pub hosts: Vec<HostName>,
    /// Set where it is of type NodePort.
    pub nodes: Option<NodeExposure>,
}

/// On which Nodes a Service of type NodePort can be reached, and at which ports.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeExposure {
    /// The annotation `traffic.istio.io/nodeSelector`; Nodes with all of these labels.
    pub selector: Option<Labels>,
    /// Service port, and the port for it on every Node.
    pub ports: Vec<(u16, u16)>,
    /// `externalTrafficPolicy: Local`: only Nodes with a ready pod of the Service answer.
    pub local: bool,
}

/// An `EndpointSlice`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceRecord {
    /// Namespace and name.
    pub name: ObjectName,
    /// The Service it belongs to: its label `kubernetes.io/service-name`.
    pub service: ServiceKey,
    /// Its TCP ports: name (empty where unnamed) and number.
    pub ports: Vec<(Arc<str>, u16)>,
    /// Its endpoints.
    pub endpoints: Vec<SliceEndpoint>,
}

/// One endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceEndpoint {
    /// Its addresses; a slice has one family, so usually one.
    pub addresses: Addresses,
    /// From its conditions.
    pub health: Health,
    /// The pod that `targetRef` names.
    pub pod: Option<PodName>,
    /// `nodeName`.
    pub node: Option<Arc<str>>,
    /// `zone`, used where the Node is not known.
    pub zone: Option<Arc<str>>,
    /// `hostname`: the name that the endpoint has beneath its service's, as pods of a `StatefulSet` have.
    pub host: Option<Arc<str>>,
}

/// A Pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRecord {
    /// Namespace and name.
    pub name: PodName,
    /// Its label `topology.istio.io/network`.
    pub network: Option<NetworkId>,
    /// Its label `security.istio.io/tlsMode` is `istio`.
    pub mtls: bool,
    /// `nodeName`.
    pub node: Option<Arc<str>>,
    /// Its label `topology.istio.io/locality`, which overrides its Node's.
    pub locality: Option<Locality>,
    /// `podIPs`; none before it has any.
    pub addresses: Option<Addresses>,
    /// Its condition `Ready`; a pod without one counts as ready.
    pub ready: bool,
    /// What selectors and identities go by.
    pub traits: Arc<PodTraits>,
}

/// What many pods have in common: those of one Deployment share one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodTraits {
    /// Its labels, sorted, but for those that differ from pod to pod or from revision to revision.
    pub labels: Labels,
    /// `serviceAccountName`; empty where it is not said.
    pub account: Arc<str>,
    /// What a kubelet asks its containers by request, sorted, each once.
    pub probes: Box<[Probe]>,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each variant is the record of the kind it is named after")]
pub enum Record {
    Namespace(NamespaceRecord),
    Node(NodeRecord),
    Service(ServiceRecord),
    EndpointSlice(SliceRecord),
    Pod(PodRecord),
    ServiceEntry(Box<ServiceEntryRecord>),
    WorkloadEntry(Box<WorkloadEntryRecord>),
    PeerAuthentication(Box<PeerAuthenticationRecord>),
}

impl Record {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Namespace(_) => Kind::Namespace,
            Self::Node(_) => Kind::Node,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::Pod(_) => Kind::Pod,
            Self::ServiceEntry(_) => Kind::ServiceEntry,
            Self::WorkloadEntry(_) => Kind::WorkloadEntry,
            Self::PeerAuthentication(_) => Kind::PeerAuthentication,
        }
    }

    /// Its name within the kind.
    #[must_use]
    pub fn name(&self) -> ObjectName {
        match self {
            Self::Namespace(namespace) => ObjectName::new("", &namespace.name),
            Self::Node(node) => ObjectName::new("", &node.name),
            Self::Service(service) => ObjectName::new(&service.key.namespace, &service.key.name),
            Self::EndpointSlice(slice) => slice.name.clone(),
            Self::Pod(pod) => ObjectName::from(&pod.name),
            Self::ServiceEntry(entry) => entry.name.clone(),
            Self::WorkloadEntry(entry) => entry.name.clone(),
            Self::PeerAuthentication(policy) => policy.name.clone(),
        }
    }

    /// What it takes of memory in the table, about, in bytes: the figures are measured, texts that many share are left out.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Namespace(namespace) => 128 + namespace.name.len(),
            Self::Node(node) => {
                let labels: usize = node
                    .labels
                    .iter()
                    .map(|(key, value)| 64 + key.len() + value.len())
                    .sum();
                256 + node.name.len() + labels
            }
            Self::Service(service) => {
                let hosts = service.exposure.iter().flat_map(|exposure| &exposure.hosts);
                let hosts: usize = hosts.map(|host| host.as_str().len()).sum();
                1024 + service.key.name.len() + 128 * service.ports.len() + hosts
            }
            Self::EndpointSlice(slice) => {
                512 + slice.name.name.len() + slice.endpoints.len() * slice.ports.len().max(1) * 160
            }
            Self::Pod(pod) => 224 + pod.name.name().len(),
            Self::ServiceEntry(entry) => {
                1024 + 256 * (entry.hosts.len() + entry.ports.len()) + 512 * entry.endpoints.len()
            }
            Self::WorkloadEntry(entry) => 512 + entry.name.name.len() + 64 * entry.workload.labels.len(),
            Self::PeerAuthentication(policy) => 256 + policy.name.name.len() + 16 * policy.ports.len(),
        }
    }

    /// Uses the known copies of what objects repeat: names of namespaces, Nodes, zones and ports.
    pub fn share(&mut self, strings: &mut Strings) {
        match self {
            Self::Namespace(_)
            | Self::Node(_)
            | Self::ServiceEntry(_)
            | Self::WorkloadEntry(_)
            | Self::PeerAuthentication(_) => {}
            Self::Service(service) => {
                strings.share(&mut service.key.namespace);
                strings.share_labels(&mut service.selector);
                for port in &mut service.ports {
                    strings.share(&mut port.name);
                    strings.share(&mut port.app_protocol);
                }
            }
            Self::EndpointSlice(slice) => {
                strings.share(&mut slice.name.namespace);
                strings.share(&mut slice.service.namespace);
                for (port, _) in &mut slice.ports {
                    strings.share(port);
                }
                for endpoint in &mut slice.endpoints {
                    strings.share_some(&mut endpoint.node);
                    strings.share_some(&mut endpoint.zone);
                    if let Some(pod) = &mut endpoint.pod {
                        strings.share_pod(pod);
                    }
                }
            }
            Self::Pod(pod) => {
                strings.share_pod(&mut pod.name);
                strings.share_some(&mut pod.node);
                strings.share_traits(&mut pod.traits);
            }
        }
    }
}

/// Something that one member says.
#[derive(Debug, Clone)]
pub struct RegistryEvent {
    /// Who says it.
    pub member: ClusterId,
    /// What.
    pub change: RegistryChange,
}

/// What stays though a list does not have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Everything that is held of the kind.
    All,
    /// These, where they are held.
    These(BTreeSet<ObjectName>),
    /// Everything that is held of a namespace, and these.
    Namespace(Arc<str>, BTreeSet<ObjectName>),
}

impl Default for Kept {
    /// Nothing.
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Kept {
    /// Whether an object stays.
    #[must_use]
    pub fn keeps(&self, name: &ObjectName) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(name),
            Self::Namespace(namespace, names) => name.namespace == *namespace || names.contains(name),
        }
    }

    /// What stays by both words.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let named = |one: &Self, other: &Self| match one {
            Self::All => BTreeSet::new(),
            Self::These(names) | Self::Namespace(_, names) => {
                names.iter().filter(|name| other.keeps(name)).cloned().collect()
            }
        };
        let mut names = named(self, other);
        names.append(&mut named(other, self));
        match (self, other) {
            (Self::All, other) | (other, Self::All) => other.clone(),
            (Self::Namespace(one, _), Self::Namespace(other, _)) if one == other => {
                Self::Namespace(Arc::clone(one), names)
            }
            _ => Self::These(names),
        }
    }
}

/// What is known of what a member's workloads ask of who connects, where its policies were never listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Policies {
    /// All: it has none, or lets nobody read them.
    #[default]
    Known,
    /// Nothing yet: whoever depends on them waits.
    Awaited,
    /// Nothing, and nobody waits any longer: the strictest counts.
    Unread,
}

/// What a member says.
#[derive(Debug, Clone)]
pub enum RegistryChange {
    /// The member is there; `network` is what the settings say of it.
    Joined {
        /// The network for endpoints that nothing else places.
        network: Option<NetworkId>,
    },
    /// What its endpoints count from now on.
    Stands(MemberStanding),
    /// What is known of its policies. Once they were listed the lists tell, and this counts for nothing.
    Policies(Policies),
    /// Complete lists of one or more kinds: whatever else was held of these kinds is gone. Applied as one step.
    Replace(BTreeMap<Kind, Vec<Record>>),
    /// The same, but of some of these kinds more is kept than the lists have. Applied as one step.
    ReplaceExcept {
        /// What is there for certain.
        lists: BTreeMap<Kind, Vec<Record>>,
        /// What else stays as it is, of kinds that are listed.
        kept: BTreeMap<Kind, Kept>,
    },
    /// One object is there, as it is now.
    Upsert(Record),
    /// One object is gone.
    Remove(Kind, ObjectName),
    /// The member left, by the word of whoever owns the list of members. Everything of it goes.
    Left,
}
