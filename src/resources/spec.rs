//! A resource of any type before it is encoded.

use super::{AssignmentSpec, ClusterSpec, ListenerSpec, Resource, RouteSpec, Version};

/// What decides the content of one resource, whichever its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceSpec {
    /// A cluster.
    Cluster(ClusterSpec),
    /// Its endpoints.
    Assignment(AssignmentSpec),
    /// A listener of gRPC clients.
    Listener(ListenerSpec),
    /// Its routes.
    Route(RouteSpec),
}

impl ResourceSpec {
    /// The version of what [`ResourceSpec::encode`] gives; much cheaper than that.
    #[must_use]
    pub fn version(&self) -> Version {
        match self {
            Self::Cluster(spec) => spec.version(),
            Self::Assignment(spec) => spec.version(),
            Self::Listener(spec) => spec.version(),
            Self::Route(spec) => spec.version(),
        }
    }

    /// The resource; `version` is what [`ResourceSpec::version`] gave.
    #[must_use]
    pub fn encode_as(&self, version: Version) -> Resource {
        match self {
            Self::Assignment(spec) => spec.encode_as(version),
            other => other.encode(),
        }
    }

    /// The resource.
    #[must_use]
    pub fn encode(&self) -> Resource {
        match self {
            Self::Cluster(spec) => spec.encode(),
            Self::Assignment(spec) => spec.encode(),
            Self::Listener(spec) => spec.encode(),
            Self::Route(spec) => spec.encode(),
        }
    }
}
