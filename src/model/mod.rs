//! What the mesh is made of: ids, endpoints, services, gateways, and the key of a view. Pure.

mod audience;
mod cidr;
mod endpoint;
mod envoy;
mod gateway;
mod groups;
mod host;
mod ids;
mod inbound;
mod locality;
mod pod_name;
mod preference;
mod service;
mod standing;
mod vantage;
mod view_key;
mod viewer;
mod zone;

pub use audience::{Audience, Reach, Unseen};
pub use cidr::{Cidr, InvalidCidr};
pub use endpoint::{Addresses, Endpoint, Health, Mtls};
pub use envoy::{EnvoyVersion, Schema};
pub use gateway::{
    GatewayOrigin, GatewaySet, GatewaySource, GatewayWay, NetworkGateway, UnusableGateway, UnusableReason,
};
pub use groups::Groups;
pub use host::{DnsTarget, HostEntry, Resolution};
pub use ids::{ClusterId, HostName, InvalidId, NetworkId, ObjectName, ServiceKey};
pub use inbound::{InboundPolicy, MtlsMode, Probe, ProbeQuestion};
pub use locality::Locality;
pub use pod_name::PodName;
pub use preference::{Distance, Preference, Shared};
pub use service::{
    Conflict, GroupKey, Naming, NetworkGroup, PortEndpoints, ServiceEndpoints, ServicePort, ServiceTerms, Standings,
    Sums,
};
pub use standing::{GroupStanding, MemberStanding, MemberWeight, Rank};
pub use vantage::{Aspect, Counts, Vantage};
pub use view_key::{AddressFamilies, Balancing, Role, Site, ViewKey};
pub use viewer::{NetworkOrigin, PodRef, Standpoint, Viewer};
pub use zone::{ZoneWeight, ZoneWeights};
