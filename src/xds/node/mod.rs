//! Who a proxy says it is: what is kept of the `Node` in a stream's first request. Pure.
//!
//! An Envoy's node is some 60 kB, most of it a list of extensions, so it is read once and let go.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use envoy_types::pb::google::protobuf::value::Kind;
use prost::Message;

use super::text::clip;
use crate::identity::Claims;
use crate::model::{
    Balancing, ClusterId, EnvoyVersion, InvalidId, Locality, NetworkId, ObjectName, Role, Schema, Viewer,
};

/// The longest node id that is taken, in bytes.
const MAX_ID_BYTES: usize = 1 << 10;

/// How much of any other text of a node is kept, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// The most addresses of one proxy that are taken.
const MAX_ADDRESSES: usize = 64;

/// Why a node is refused. The message says what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The first request of a stream has none.
    #[error("the first request of a stream must carry a node")]
    Missing,
    /// The node has no id.
    #[error("node.id is empty; start the proxy with --service-node or set node.id in its bootstrap")]
    NoId,
    /// The id is beyond any sensible length.
    #[error("node.id has {bytes} bytes, at most {MAX_ID_BYTES} are taken")]
    IdTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The id would move the cursor of whoever reads it, or break a line of a log.
    #[error("node.id {id:?} has control characters; use printable ones")]
    IdUnprintable {
        /// The id, shortened.
        id: String,
    },
    /// The whole node is larger than the settings allow.
    #[error("the node has {bytes} bytes encoded, at most {limit} are taken; shorten its metadata or raise the limit")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The id has `~` and is not of Istio's form.
    #[error("node.id {id:?} is not TYPE~IP~POD.NAMESPACE~DOMAIN: {problem}")]
    IdForm {
        /// The id, shortened.
        id: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A sidecar does not say which member it is in.
    #[error(
        "node.metadata.CLUSTER_ID is missing: a sidecar must say which member it is in, for what its application calls by \
         ClusterIP depends on that, and without it would go past the mesh"
    )]
    NoMember,
    /// An Envoy that does not know what its listeners would be made of.
    #[error(
        "this is Envoy {version}, and {} is the oldest that knows what the listeners of sidecars and gateways are made of; \
         run a newer one",
        EnvoyVersion::OLDEST
    )]
    TooOld {
        /// What it says it is.
        version: EnvoyVersion,
    },
    /// A metadata field has a value that can't be used.
    #[error("node.metadata.{field}: {problem}")]
    Metadata {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// What kind of proxy asks, by the first part of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProxyKind {
    /// Beside a workload.
    Sidecar,
    /// A gateway.
    Router,
    /// Istio's proxy of a namespace or service in ambient mode.
    Waypoint,
    /// Istio's proxy of a machine in ambient mode.
    Ztunnel,
    /// A client whose id has no such form.
    Generic,
}

impl fmt::Display for ProxyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sidecar => "sidecar",
            Self::Router => "router",
            Self::Waypoint => "waypoint",
            Self::Ztunnel => "ztunnel",
            Self::Generic => "generic",
        })
    }
}

/// A proxy, by its own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyNode {
    /// `node.id`.
    pub id: Arc<str>,
    /// `node.cluster`: a name for a group of proxies, no Kubernetes cluster.
    pub cluster: Arc<str>,
    /// What kind of proxy it is.
    pub kind: ProxyKind,
    /// Its namespace and pod; both parts may be empty.
    pub pod: ObjectName,
    /// What it says of itself that has to be proven, where proxies prove who they are.
    pub claims: Claims,
    /// What decides where it stands.
    pub viewer: Viewer,
    /// Where it runs.
    pub locality: Locality,
    /// Program and version, `envoy/1.36.2`.
    pub agent: Arc<str>,
}

impl ProxyNode {
    /// Reads the node of a stream's first request; `limit` is the most that it may have, in bytes encoded.
    ///
    /// # Errors
    /// When there is none, when it is too large, or when what decides the answers can't be read.
    pub fn read(node: Option<&Node>, limit: usize) -> Result<Self, NodeError> {
        let node = node.ok_or(NodeError::Missing)?;
        // Before the size of all: an id of a megabyte is better named than summed up.
        match node.id.len() {
            0 => return Err(NodeError::NoId),
            bytes if bytes > MAX_ID_BYTES => return Err(NodeError::IdTooLong { bytes }),
            _ => {}
        }
        if node.id.contains(char::is_control) {
            return Err(NodeError::IdUnprintable {
                id: clip(&node.id, MAX_TEXT_BYTES),
            });
        }
        let bytes = node.encoded_len();
        if bytes > limit {
            return Err(NodeError::TooLarge { bytes, limit });
        }
        let id = IdParts::read(&node.id)?;
        // A proxy that does not know its address says that it is 0.0.0.0.
        let known = id.address.filter(|address| !address.is_unspecified());
        let mut addresses: Vec<IpAddr> = known.into_iter().collect();
        for address in instance_ips(node)? {
            if !addresses.contains(&address) && addresses.len() < MAX_ADDRESSES {
                addresses.push(address);
            }
        }
        let said = text(node, "NAMESPACE")?;
        let namespace = said.unwrap_or(id.namespace);
        let pod = ObjectName::new(&clip(namespace, MAX_TEXT_BYTES), &clip(id.pod, MAX_TEXT_BYTES));
        let agent = clip(&agent(node), MAX_TEXT_BYTES);
        let viewer = Viewer {
            member: label(node, "CLUSTER_ID", ClusterId::new)?,
            network: label(node, "NETWORK", NetworkId::new)?,
            addresses,
            role: role(id.kind, node),
            namespace: Arc::clone(&pod.namespace),
            pod: Arc::clone(&pod.name),
            locality: locality(node),
            // Each language's says so: "gRPC Go", "gRPC C-core", "gRPC Java".
            balancing: match node.user_agent_name.starts_with("gRPC") {
                true => Balancing::ByLocality,
                false => Balancing::ByEndpoint,
            },
            schema: Schema::of(EnvoyVersion::of_agent(&agent)),
        };
        let claims = Claims {
            namespaces: [said.unwrap_or_default(), id.namespace].map(Arc::from).into(),
            service_account: text(node, "SERVICE_ACCOUNT")?.unwrap_or_default().into(),
            pod: id.pod.into(),
            member: viewer.member.clone(),
        };
        Ok(Self {
            id: node.id.as_str().into(),
            cluster: clip(&node.cluster, MAX_TEXT_BYTES).into(),
            kind: id.kind,
            pod,
            claims,
            viewer,
            locality: locality(node),
            agent: agent.into(),
        })
    }
}

/// What a proxy of this kind does with traffic. A gRPC client whose id is a sidecar's, as Istio's bootstraps have it, has
/// nothing captured.
fn role(kind: ProxyKind, node: &Node) -> Role {
    let is_client = node.user_agent_name.starts_with("gRPC");
    match kind {
        ProxyKind::Sidecar if !is_client => Role::Sidecar,
        ProxyKind::Router if !is_client => Role::Gateway,
        _ => Role::Endpoints,
    }
}

/// The parts of an id.
struct IdParts<'a> {
    kind: ProxyKind,
    address: Option<IpAddr>,
    pod: &'a str,
    namespace: &'a str,
}

impl<'a> IdParts<'a> {
    fn read(id: &'a str) -> Result<Self, NodeError> {
        if !id.contains('~') {
            return Ok(Self {
                kind: ProxyKind::Generic,
                address: None,
                pod: "",
                namespace: "",
            });
        }
        let wrong = |problem| NodeError::IdForm {
            id: clip(id, MAX_TEXT_BYTES),
            problem,
        };
        let parts: Vec<_> = id.split('~').collect();
        let [kind, address, pod, _domain] = parts[..] else {
            return Err(wrong("it must have four parts"));
        };
        let kind = match kind {
            "sidecar" => ProxyKind::Sidecar,
            "router" => ProxyKind::Router,
            "waypoint" => ProxyKind::Waypoint,
            "ztunnel" => ProxyKind::Ztunnel,
            _ => return Err(wrong("TYPE must be sidecar, router, waypoint or ztunnel")),
        };
        let address = address
            .parse()
            .map_err(|_| wrong("the second part must be an IP address"))?;
        // A pod's name may have dots, a namespace has none.
        let (pod, namespace) = pod.rsplit_once('.').unwrap_or((pod, ""));
        Ok(Self {
            kind,
            address: Some(address),
            pod,
            namespace,
        })
    }
}

/// A text of the metadata; an empty one counts as not said.
fn text<'a>(node: &'a Node, field: &'static str) -> Result<Option<&'a str>, NodeError> {
    let value = node.metadata.as_ref().and_then(|all| all.fields.get(field));
    match value.and_then(|value| value.kind.as_ref()) {
        None | Some(Kind::NullValue(_)) => Ok(None),
        Some(Kind::StringValue(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(NodeError::Metadata {
            field,
            problem: "it must be a string".to_owned(),
        }),
    }
}

fn label<T>(
    node: &Node,
    field: &'static str,
    parse: impl Fn(&str) -> Result<T, InvalidId>,
) -> Result<Option<T>, NodeError> {
    let parsed = text(node, field)?.map(parse).transpose();
    parsed.map_err(|error| NodeError::Metadata {
        field,
        problem: error.to_string(),
    })
}

fn instance_ips(node: &Node) -> Result<Vec<IpAddr>, NodeError> {
    let list = text(node, "INSTANCE_IPS")?.unwrap_or_default();
    let parts = list.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.parse().map_err(|_| NodeError::Metadata {
                field: "INSTANCE_IPS",
                problem: format!(
                    "{:?} is no IP address; a list with commas is expected",
                    clip(part, MAX_TEXT_BYTES)
                ),
            })
        })
        .collect()
}

fn locality(node: &Node) -> Locality {
    let Some(locality) = &node.locality else {
        return Locality::default();
    };
    Locality::new(
        &clip(&locality.region, MAX_TEXT_BYTES),
        &clip(&locality.zone, MAX_TEXT_BYTES),
        &clip(&locality.sub_zone, MAX_TEXT_BYTES),
    )
}

fn agent(node: &Node) -> String {
    let version = match &node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentVersion(version)) => version.clone(),
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => build
            .version
            .as_ref()
            .map(|v| format!("{}.{}.{}", v.major_number, v.minor_number, v.patch))
            .unwrap_or_default(),
        None => String::new(),
    };
    match (&*node.user_agent_name, &*version) {
        (name, "") => name.to_owned(),
        (name, version) => format!("{name}/{version}"),
    }
}

#[cfg(test)]
mod tests;
