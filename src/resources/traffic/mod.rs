//! What Envoys that carry traffic need beside clusters and endpoints: capture, routes, mutual TLS, the way in.
//!
//! Nothing here knows a proxy: a resource depends on the settings, on services and on what the name of the resource says, so
//! that thousands of sidecars share it. The two sides of a connection meet in names: a sidecar says by SNI which service port
//! it means, which is all that a gateway reads, and by ALPN whether HTTP is inside, which is all that the other sidecar needs
//! to know.

mod alive;
mod capture;
mod cluster;
mod destination;
mod dns;
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
pub use cluster::{DirectClusterSpec, FixedCluster, FixedClusterSpec, GatewayClusterSpec, SidecarClusterSpec};
pub use destination::{Destination, DirectName};
pub use dns::{DnsName, DnsSpec};
pub use gateway::GatewayListenerSpec;
pub use host::{HostClusterSpec, HostWay, RankedTarget};
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
/// The listener that a captured workload asks for names.
pub const DNS_LISTENER: &str = "dns";
/// The listener of a gateway.
pub const GATEWAY_LISTENER: &str = "eastwest";

#[cfg(test)]
mod tests;
