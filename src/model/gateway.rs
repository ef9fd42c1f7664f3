//! Gateways: how one network is reached from the others.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{AddressFamilies, ClusterId, NetworkId, ObjectName};

/// An address of a network that other networks can reach; it passes TLS on by SNI.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkGateway {
    /// The network behind it.
    pub network: NetworkId,
    /// The member whose Service it is.
    pub member: ClusterId,
    /// Its address.
    pub address: IpAddr,
    /// Its port for mutual TLS, 15443 unless the Service says otherwise.
    pub port: u16,
}

impl NetworkGateway {
    /// Address and port.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl fmt::Display for NetworkGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.socket(), self.member)
    }
}

/// The Service that a gateway comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GatewaySource {
    /// The network it is labelled with.
    pub network: NetworkId,
    /// The member it is in.
    pub member: ClusterId,
    /// Its namespace and name.
    pub service: ObjectName,
}

/// Why a Service with a network label is no gateway at present.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnusableReason {
    /// Its status and `externalIPs` have no address.
    NoAddress,
    /// It has host names instead of addresses, which are not resolved.
    HostnameOnly(String),
    /// It has no service port of the gateway's number.
    PortNotExposed(u16),
    /// It has pods, and none of them is ready.
    NoReadyPod,
    /// Another network claims the same address and port, with the older Service.
    AddressTaken(SocketAddr, NetworkId),
    /// What is known of its member is too old, by the member's policy.
    MemberStale,
}

impl fmt::Display for UnusableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("no address in status.loadBalancer.ingress or spec.externalIPs"),
            Self::HostnameOnly(name) => {
                write!(f, "only the host name {name}, an address is needed")
            }
            Self::PortNotExposed(port) => {
                write!(
                    f,
                    "port {port} is none of its service ports; add it, or name one of them in the label networking.istio.io/gatewayPort"
                )
            }
            Self::NoReadyPod => f.write_str("none of its pods is ready"),
            Self::MemberStale => {
                f.write_str("its member has been stale for so long that its policy drops what was known of it")
            }
            Self::AddressTaken(socket, network) => {
                write!(f, "{socket} is already a gateway of network {network}")
            }
        }
    }
}

/// A Service with a network label that is no gateway at present.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnusableGateway {
    /// Which Service.
    pub source: GatewaySource,
    /// Why not.
    pub reason: UnusableReason,
}

/// All gateways of the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewaySet {
    /// Sorted; an address and port belongs to one network only, and may be listed for several members of it.
    by_network: BTreeMap<NetworkId, Vec<NetworkGateway>>,
    unusable: Vec<UnusableGateway>,
}

impl GatewaySet {
    /// Takes the usable gateways and the unusable ones.
    pub fn new(usable: impl IntoIterator<Item = NetworkGateway>, mut unusable: Vec<UnusableGateway>) -> Self {
        let mut by_network: BTreeMap<NetworkId, Vec<NetworkGateway>> = BTreeMap::new();
        for gateway in usable {
            by_network.entry(gateway.network.clone()).or_default().push(gateway);
        }
        for gateways in by_network.values_mut() {
            gateways.sort();
            gateways.dedup();
        }
        unusable.sort();
        Self { by_network, unusable }
    }

    /// The gateways of a network, sorted.
    #[must_use]
    pub fn of(&self, network: &NetworkId) -> &[NetworkGateway] {
        self.by_network.get(network).map_or(&[], Vec::as_slice)
    }

    /// The gateways that a viewer of these families uses for endpoints of this network and member: those of the member,
    /// or, where it has none that the viewer can reach, those of its whole network. Each address and port once.
    #[must_use]
    pub fn towards(&self, network: &NetworkId, member: &ClusterId, families: AddressFamilies) -> Vec<&NetworkGateway> {
        let reachable = || {
            self.of(network)
                .iter()
                .filter(|gateway| families.reach(gateway.address))
        };
        let mut chosen: Vec<_> = reachable().filter(|gateway| gateway.member == *member).collect();
        if chosen.is_empty() {
            chosen = reachable().collect();
        }
        chosen.sort_by_key(|gateway| gateway.socket());
        chosen.dedup_by_key(|gateway| gateway.socket());
        chosen
    }

    /// The networks that have a gateway.
    pub fn networks(&self) -> impl Iterator<Item = &NetworkId> {
        self.by_network.keys()
    }

    /// The Services with a network label that are no gateways at present.
    #[must_use]
    pub fn unusable(&self) -> &[UnusableGateway] {
        &self.unusable
    }
}
