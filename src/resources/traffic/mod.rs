//! What Envoys that carry traffic need beside clusters and endpoints: capture, routes, mutual TLS, the way in.
//!
//! Nothing here knows a proxy: a resource depends on the settings, on services and on what the name of the resource says, so
//! that thousands of sidecars share it. The two sides of a connection meet in names: a sidecar says by SNI which service port
//! it means, which is all that a gateway reads, and by ALPN whether HTTP is inside, which is all that the other sidecar needs
//! to know.

mod capture;
mod cluster;
mod filters;
mod gateway;
mod host;
mod inbound;
mod names;
mod outbound;
mod outlier;
mod protocol;
mod routes;
mod settings;
mod tls;

pub use capture::CaptureSpec;
pub use cluster::{FixedCluster, FixedClusterSpec, GatewayClusterSpec, SidecarClusterSpec};
pub use gateway::GatewayListenerSpec;
pub use host::{HostClusterSpec, HostWay};
pub use inbound::InboundSpec;
pub use names::{OutboundListener, SniName};
pub use outbound::{OutboundSpec, OutboundTarget, OutsideHosts};
pub use protocol::Protocol;
pub use routes::{RoutesSpec, VirtualService};
pub use settings::{Application, CertificateSource, Outlier, Outside, TrafficSettings};

/// The listener that connections of a captured workload arrive at.
pub const CAPTURE_LISTENER: &str = "virtualOutbound";
/// The listener that connections to a captured workload arrive at.
pub const INBOUND_LISTENER: &str = "virtualInbound";
/// The listener of a gateway.
pub const GATEWAY_LISTENER: &str = "eastwest";

#[cfg(test)]
mod tests;
