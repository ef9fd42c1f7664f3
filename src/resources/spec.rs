//! A resource of any type before it is encoded.

use super::traffic::{
    CaptureSpec, FixedClusterSpec, GatewayClusterSpec, GatewayListenerSpec, HostClusterSpec, InboundSpec, OutboundSpec,
    RoutesSpec, SidecarClusterSpec,
};
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
    /// A cluster that leads to no service.
    FixedCluster(FixedClusterSpec),
    /// A sidecar's cluster.
    SidecarCluster(SidecarClusterSpec),
    /// A cluster of a host outside of Kubernetes.
    HostCluster(HostClusterSpec),
    /// A gateway's cluster.
    GatewayCluster(GatewayClusterSpec),
    /// The listener of captured connections.
    Capture(CaptureSpec),
    /// A listener that takes some of them over.
    Outbound(OutboundSpec),
    /// Its routes.
    Routes(RoutesSpec),
    /// The listener of incoming connections.
    Inbound(InboundSpec),
    /// A gateway's listener.
    GatewayListener(GatewayListenerSpec),
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
            Self::FixedCluster(spec) => spec.version(),
            Self::SidecarCluster(spec) => spec.version(),
            Self::HostCluster(spec) => spec.version(),
            Self::GatewayCluster(spec) => spec.version(),
            Self::Capture(spec) => spec.version(),
            Self::Outbound(spec) => spec.version(),
            Self::Routes(spec) => spec.version(),
            Self::Inbound(spec) => spec.version(),
            Self::GatewayListener(spec) => spec.version(),
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
            Self::FixedCluster(spec) => spec.encode(),
            Self::SidecarCluster(spec) => spec.encode(),
            Self::HostCluster(spec) => spec.encode(),
            Self::GatewayCluster(spec) => spec.encode(),
            Self::Capture(spec) => spec.encode(),
            Self::Outbound(spec) => spec.encode(),
            Self::Routes(spec) => spec.encode(),
            Self::Inbound(spec) => spec.encode(),
            Self::GatewayListener(spec) => spec.encode(),
        }
    }
}
