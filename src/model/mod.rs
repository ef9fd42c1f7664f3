//! What the mesh is made of: ids, endpoints, services, gateways, and the key of a view. Pure.

mod cidr;
mod endpoint;
mod gateway;
mod host;
mod ids;
mod inbound;
mod locality;
mod service;
mod standing;
mod view_key;
mod viewer;

pub use cidr::{Cidr, InvalidCidr};
pub use endpoint::{Addresses, Endpoint, Health, Mtls};
pub use gateway::{
    GatewayOrigin, GatewaySet, GatewaySource, GatewayWay, NetworkGateway, UnusableGateway, UnusableReason,
};
pub use host::{DnsTarget, HostEntry, Resolution};
pub use ids::{ClusterId, HostName, InvalidId, NetworkId, ObjectName, PodName, ServiceKey};
pub use inbound::{InboundPolicy, MtlsMode, Probe, ProbeQuestion};
pub use locality::Locality;
pub use service::{Conflict, GroupKey, NetworkGroup, PortEndpoints, ServiceEndpoints, ServicePort, Sums};
pub use standing::{MemberStanding, MemberWeight, Rank};
pub use view_key::{AddressFamilies, Balancing, Role, Site, ViewKey};
pub use viewer::{NetworkOrigin, PodRef, Standpoint, Viewer};
