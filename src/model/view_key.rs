//! The key of a view: every fact about a proxy that may change an answer, and nothing else.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::{ClusterId, InboundPolicy, NetworkId, Schema, Vantage};

/// Which address families a proxy can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressFamilies {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Dual,
    /// Not known: it is given addresses of both, and listens on IPv4 only, since an Envoy on a machine without IPv6 refuses
    /// listeners of it.
    Unknown,
}

impl AddressFamilies {
    /// The families of a proxy's own addresses; of a proxy that names none they are not known.
    pub fn of(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let (mut v4, mut v6) = (false, false);
        for address in addresses {
            match address {
                IpAddr::V4(_) => v4 = true,
                IpAddr::V6(_) => v6 = true,
            }
        }
        match (v4, v6) {
            (true, false) => Self::V4,
            (false, true) => Self::V6,
            (true, true) => Self::Dual,
            (false, false) => Self::Unknown,
        }
    }

    /// True when a proxy of these families can use the address.
    #[must_use]
    pub fn reach(self, address: IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
            Self::Dual | Self::Unknown => true,
        }
    }
}

impl AddressFamilies {
    /// Whether its listeners are there for IPv6.
    #[must_use]
    pub fn listens_on_v6(self) -> bool {
        matches!(self, Self::V6 | Self::Dual)
    }
}

impl fmt::Display for AddressFamilies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
            Self::Dual => "dual",
            Self::Unknown => "any",
        })
    }
}

/// What a proxy does with traffic, which decides the resources it gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It finds its own way and asks only for clusters and endpoints.
    #[default]
    Endpoints,
    /// It stands beside a workload whose traffic is captured, and gets listeners, routes and clusters with mutual TLS.
    Sidecar,
    /// It lets other networks in, by SNI, to the endpoints of its own.
    Gateway,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Endpoints => "endpoints",
            Self::Sidecar => "sidecar",
            Self::Gateway => "gateway",
        })
    }
}

/// What decides listeners and routes of a sidecar beside its role: who is meant by a `ClusterIP` or by a bare name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Its member: the same `ClusterIP` may be another service elsewhere.
    pub member: Option<ClusterId>,
    /// Its namespace, where bare names are looked up.
    pub namespace: Arc<str>,
}

/// How a client spreads its calls over the endpoints of an assignment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Balancing {
    /// By the weight of each endpoint, as Envoys do.
    #[default]
    ByEndpoint,
    /// By the weight of each locality, and evenly within one, as clients of gRPC with xDS built in do.
    ByLocality,
}

/// What decides an answer. Two proxies with equal keys get equal resources, byte for byte, so thousands of them share one
/// view. A fact that is not in here may not influence a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewKey {
    /// The proxy's network.
    pub network: NetworkId,
    /// The address families it can use.
    pub families: AddressFamilies,
    /// Which weights it honours.
    pub balancing: Balancing,
    /// Which of two ways to say something it is told.
    pub schema: Schema,
    /// What it does with traffic.
    pub role: Role,
    /// Set in the views of listeners and routes of sidecars, which are many and small; clusters and endpoints, which are few
    /// and large, don't depend on it.
    pub site: Option<Site>,
    /// What counts for single services only. Empty in the key of a view, which has a content for each of these where one counts.
    pub vantage: Vantage,
    /// Set in the views of the one listener where connections to workloads arrive, which depends on nothing else: so that what one
    /// workload has of its own is a view of one resource and no copy of all others.
    pub inbound: Option<Arc<InboundPolicy>>,
}

impl ViewKey {
    /// The key of a proxy that asks only for clusters and endpoints.
    #[must_use]
    pub fn endpoints(network: NetworkId, families: AddressFamilies) -> Self {
        Self {
            network,
            families,
            balancing: Balancing::ByEndpoint,
            schema: Schema::Current,
            role: Role::Endpoints,
            site: None,
            vantage: Vantage::default(),
            inbound: None,
        }
    }
}

impl fmt::Display for ViewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{}/{}", self.network, self.families);
        if self.balancing == Balancing::ByLocality {
            text.push_str("/grpc");
        }
        if self.schema == Schema::Older {
            text.push_str("/older");
        }
        if self.role != Role::Endpoints {
            text = format!("{text}/{}", self.role);
        }
        if let Some(Site { member, namespace }) = &self.site {
            let member = member.as_ref().map_or("-", |member| member.as_str());
            text = format!("{text}@{member}/{namespace}");
        }
        if let Some(inbound) = &self.inbound {
            text = format!("{text} inbound {inbound}");
        }
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_come_from_the_addresses() {
        let of = |texts: &[&str]| AddressFamilies::of(texts.iter().map(|t| t.parse().unwrap()));
        assert_eq!(of(&["10.0.0.1"]), AddressFamilies::V4);
        assert_eq!(of(&["fd00::1"]), AddressFamilies::V6);
        assert_eq!(of(&["10.0.0.1", "fd00::1"]), AddressFamilies::Dual);
        assert_eq!(of(&[]), AddressFamilies::Unknown);
        assert!(!AddressFamilies::V4.reach("fd00::1".parse().unwrap()));
    }
}
