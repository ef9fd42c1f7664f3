//! One resource in the form that it has on the wire, shared by every stream that sends it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use prost::encoding::encode_varint;

use super::Version;

/// The types that Parallax serves, in the order in which they must be sent: a resource before those that refer to it, so
/// that an Envoy never routes to a cluster it does not have (make before break).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// `envoy.config.cluster.v3.Cluster` (CDS).
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment` (EDS).
    ClusterLoadAssignment,
    /// `envoy.extensions.transport_sockets.tls.v3.Secret` (SDS).
    Secret,
    /// `envoy.config.listener.v3.Listener` (LDS).
    Listener,
    /// `envoy.config.route.v3.RouteConfiguration` (RDS).
    RouteConfiguration,
}

impl ResourceType {
    /// All types, in sending order.
    pub const ALL: [Self; 5] = [
        Self::Cluster,
        Self::ClusterLoadAssignment,
        Self::Secret,
        Self::Listener,
        Self::RouteConfiguration,
    ];

    /// The type URL.
    #[must_use]
    pub fn url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::ClusterLoadAssignment => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::RouteConfiguration => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    /// The type of this URL, if it is one that Parallax serves.
    #[must_use]
    pub fn from_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.url() == url)
    }

    /// The short name of the discovery service, as people say it.
    #[must_use]
    pub fn short(self) -> &'static str {
        match self {
            Self::Cluster => "CDS",
            Self::ClusterLoadAssignment => "EDS",
            Self::Secret => "SDS",
            Self::Listener => "LDS",
            Self::RouteConfiguration => "RDS",
        }
    }

    /// True for types that a client may ask for as a whole (`*`), and whose state-of-the-world response is always the full
    /// set, so that absence means deletion.
    #[must_use]
    pub fn is_wildcard_capable(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener)
    }
}

/// One named resource, encoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its name: of a cluster, of the cluster that an assignment or routes are for, or of a listener.
    pub name: Arc<str>,
    /// Equal exactly when the content is equal, on every replica.
    pub version: Version,
    /// The encoded `google.protobuf.Any`, without any field key or length around it.
    pub any: Bytes,
    /// Of listeners and routes: the clusters of services that they send traffic to. A client must have these before.
    pub clusters: Arc<[Arc<str>]>,
    /// Whether a client that has it asks for routes.
    pub asks_for_routes: bool,
}

/// Without the content: it is long, and a private key may be in it.
impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("bytes", &self.any.len())
            .finish()
    }
}

impl Resource {
    /// Encodes a message once.
    #[must_use]
    pub fn encode(kind: ResourceType, name: Arc<str>, version: Version, message: &impl Message) -> Self {
        Self::encoded(kind, name, version, &message.encode_to_vec())
    }

    /// A message that is encoded already.
    pub(super) fn encoded(kind: ResourceType, name: Arc<str>, version: Version, message: &[u8]) -> Self {
        // `google.protobuf.Any`: type_url, value.
        let mut any = Vec::with_capacity(kind.url().len() + message.len() + 8);
        for (key, bytes) in [(1 << 3 | 2, kind.url().as_bytes()), (2 << 3 | 2, message)] {
            if !bytes.is_empty() {
                any.push(key);
                encode_varint(bytes.len() as u64, &mut any);
                any.extend_from_slice(bytes);
            }
        }
        Self {
            name,
            version,
            any: any.into(),
            clusters: Arc::default(),
            asks_for_routes: false,
        }
    }

    /// The same, whose client asks for routes.
    pub(super) fn asking_for_routes(self) -> Self {
        Self {
            asks_for_routes: true,
            ..self
        }
    }

    /// The same, which sends traffic to these clusters.
    pub(super) fn leading_to(self, clusters: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self {
            clusters: clusters.into_iter().collect(),
            ..self
        }
    }
}
