//! Hosts outside of Kubernetes: what decides how they are reached, beside their ports and endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Locality, Mtls};

/// How the endpoints of a host are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Resolution {
    /// Connections go to where they were going.
    None,
    /// They are told, or selected.
    Static,
    /// The proxy looks names up, and uses all addresses.
    Dns,
    /// The proxy looks one name up, and uses one address for each new connection.
    DnsRoundRobin,
}

impl Resolution {
    /// Whether proxies look names up.
    #[must_use]
    pub fn is_dns(self) -> bool {
        matches!(self, Self::Dns | Self::DnsRoundRobin)
    }
}

/// What `ServiceEntry` objects say of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// The namespace of the objects: those of another one don't count. Workloads of the mesh have certificates of it.
    pub namespace: Arc<str>,
    /// How its endpoints are found.
    pub resolution: Resolution,
    /// Where connections to it go by the word of its objects, sorted; the same for all viewers.
    pub addresses: Vec<IpAddr>,
    /// By port, what proxies look up.
    pub lookups: BTreeMap<u16, Vec<DnsTarget>>,
}

/// Something that a proxy looks up; an address is one as well.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsTarget {
    /// The name.
    pub name: Arc<str>,
    /// The port there.
    pub port: u16,
    /// What it counts, where a pod counts one.
    pub weight: u16,
    /// Where it is.
    pub locality: Locality,
    /// Whether mutual TLS reaches it.
    pub mtls: Mtls,
}
