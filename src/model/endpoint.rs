//! One endpoint: a pod, or a bare address, that serves a port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{AddressFamilies, Locality, NetworkId, PodName};

/// The addresses of one endpoint; at least one is there. A dual-stack pod has both and is still one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Addresses {
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

impl From<IpAddr> for Addresses {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self { v4: Some(v4), v6: None },
            IpAddr::V6(v6) => Self { v4: None, v6: Some(v6) },
        }
    }
}

impl Addresses {
    /// Adds another address of the same pod. Of two in one family the smaller stays, whichever came first.
    #[must_use]
    pub fn with(self, address: IpAddr) -> Self {
        let other = Self::from(address);
        Self {
            v4: smaller(self.v4, other.v4),
            v6: smaller(self.v6, other.v6),
        }
    }

    /// The address that a proxy of these families uses; IPv4 first where it can use both.
    #[must_use]
    pub fn usable_by(&self, families: AddressFamilies) -> Option<IpAddr> {
        self.iter().find(|address| families.reach(*address))
    }

    /// All addresses, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<> {
        self.v4.map(IpAddr::from).into_iter().chain(self.v6.map(IpAddr::from))
    }
}

fn smaller<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// What Kubernetes says about an endpoint's readiness, as kube-proxy reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Health {
    /// `ready` is true or not said: it takes traffic.
    Ready,
    /// Terminating but still `serving`: it takes traffic only where a service has nothing ready at all (KEP-1669).
    Draining,
    /// It takes no traffic.
    NotReady,
}

/// Whether the workload can be reached by mutual TLS, which a gateway needs to route by SNI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mtls {
    /// Its pod is labelled `security.istio.io/tlsMode: istio`, or a workload that is no pod says the like.
    Yes,
    /// Its pod has the label, but is not to be spoken to so: by a `PeerAuthentication` with DISABLE, or by the settings.
    Disabled,
    /// Its pod is known and has no such label, or there is no pod behind it.
    No,
    /// Its slice names a pod that was not seen (yet).
    PodUnknown,
}

/// One pod, or one bare address, behind one port of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Where it listens.
    pub addresses: Addresses,
    /// The port it listens on (the Service's target port).
    pub port: u16,
    /// What it counts, where a pod counts one; at least one.
    pub weight: u16,
    /// What Kubernetes says about it.
    pub health: Health,
    /// Whether mutual TLS reaches it.
    pub mtls: Mtls,
    /// The network its addresses belong to.
    pub network: NetworkId,
    /// Where it runs.
    pub locality: Locality,
    /// The pod, or the `WorkloadEntry`, for people; none for a bare address.
    pub pod: Option<PodName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_families_are_one_endpoint_and_each_viewer_gets_its_own() {
        let v4: IpAddr = "10.0.0.1".parse().unwrap();
        let v6: IpAddr = "fd00::1".parse().unwrap();
        let both = Addresses::from(v6).with(v4);
        assert_eq!(both, Addresses::from(v4).with(v6));
        assert_eq!(both.usable_by(AddressFamilies::Dual), Some(v4));
        assert_eq!(both.usable_by(AddressFamilies::V6), Some(v6));
        assert_eq!(Addresses::from(v4).usable_by(AddressFamilies::V6), None);
    }
}
