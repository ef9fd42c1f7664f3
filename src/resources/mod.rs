//! Envoy's resources: built from views, versioned by content, encoded once. Pure.

mod assignment;
mod cluster;
mod config_source;
mod encode;
#[cfg(test)]
mod fields;
mod listener;
mod name;
mod resource;
mod route;
mod secret;
mod spec;
mod traffic;
mod version;

pub use assignment::{AssignmentSpec, empty_assignment};
pub use cluster::ClusterSpec;
pub use listener::{ListenerName, ListenerSpec};
pub use name::{ClusterName, port_number};
pub use resource::{Resource, ResourceType};
pub use route::RouteSpec;
pub use secret::{ROOTS_SECRET, SecretSpec, WORKLOAD_SECRET};
pub use spec::ResourceSpec;
pub use traffic::{
    Application, CAPTURE_LISTENER, CaptureSpec, CertificateSource, DNS_LISTENER, Destination, DirectClusterSpec,
    DirectName, DnsName, DnsSpec, FixedCluster, FixedClusterSpec, GATEWAY_LISTENER, GatewayClusterSpec,
    GatewayListenerSpec, HostClusterSpec, HostWay, INBOUND_LISTENER, InboundSpec, OutboundListener, OutboundSpec,
    OutboundTarget, Outlier, Outside, OutsideHosts, Protocol, RankedTarget, RoutesSpec, SidecarClusterSpec, SniName,
    TrafficSettings, VirtualService,
};
pub use version::Version;
