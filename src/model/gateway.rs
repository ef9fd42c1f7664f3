//! Gateways: how one network is reached from the others.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{AddressFamilies, ClusterId, HostName, NetworkId, ObjectName};

/// An address of a network that other networks can reach; it passes TLS on by SNI.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkGateway {
    /// The network behind it.
    pub network: NetworkId,
    /// The member that it belongs to; none where the settings give it to the network as a whole.
    pub member: Option<ClusterId>,
    /// Its address.
    pub address: IpAddr,
    /// Its port for mutual TLS.
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
        match &self.member {
            Some(member) => write!(f, "{} ({member})", self.socket()),
            None => write!(f, "{}", self.socket()),
        }
    }
}

/// What says that there is a gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewaySource {
    /// The network that it leads to.
    pub network: NetworkId,
    /// The member that it belongs to, if to one.
    pub member: Option<ClusterId>,
    /// The object or the setting.
    pub origin: GatewayOrigin,
}

/// The object or the setting that a gateway comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GatewayOrigin {
    /// An address or host name of the settings, as it is written there.
    Address(Arc<str>),
    /// A Service that the settings name.
    Named(ObjectName),
    /// A Service labelled `topology.istio.io/network`.
    Labelled(ObjectName),
}

impl GatewayOrigin {
    /// The Service, where it is one.
    #[must_use]
    pub fn service(&self) -> Option<&ObjectName> {
        match self {
            Self::Address(_) => None,
            Self::Named(service) | Self::Labelled(service) => Some(service),
        }
    }
}

impl fmt::Display for GatewayOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(text) => f.pad(&format!("settings: {text}")),
            Self::Named(service) => f.pad(&format!("settings: service {service}")),
            Self::Labelled(service) => f.pad(&format!("service {service}")),
        }
    }
}

/// How one address of a gateway came about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GatewayWay {
    /// What says so.
    pub source: GatewaySource,
    /// The host name that leads to the address.
    pub host: Option<HostName>,
    /// The Node whose address it is.
    pub node: Option<Arc<str>>,
}

/// Why a Service or a setting is no gateway at present.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnusableReason {
    /// Its status and `externalIPs` have no address.
    NoAddress,
    /// Its host name leads to no address, and why.
    Unresolved(HostName, Arc<str>),
    /// It has no service port of the gateway's number.
    PortNotExposed(u16),
    /// It has pods, and none of them is ready.
    NoReadyPod,
    /// It is of type NodePort and does not say which Nodes can be reached.
    NoNodeSelector,
    /// The gateway's port has no port on the Nodes yet.
    NoNodePort(u16),
    /// No Node that its selector chooses is ready and has an address.
    NoNode,
    /// The settings name it, and no member that it could be in has it.
    NoSuchService,
    /// Another network claims the same address and port, in the settings or with the older Service.
    AddressTaken(SocketAddr, NetworkId),
    /// What is known of its member is too old, by the member's policy.
    MemberStale,
}

impl fmt::Display for UnusableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("no address in status.loadBalancer.ingress or spec.externalIPs"),
            Self::Unresolved(host, why) => write!(f, "the host name {host} leads to no address: {why}"),
            Self::PortNotExposed(port) => {
                write!(
                    f,
                    "port {port} is none of its service ports; add it, or name one of them in the label networking.istio.io/gatewayPort"
                )
            }
            Self::NoReadyPod => f.write_str("none of its pods is ready"),
            Self::NoNodeSelector => f.write_str(
                "a NodePort Service needs the annotation traffic.istio.io/nodeSelector, a JSON map of Node labels ({} for all Nodes)",
            ),
            Self::NoNodePort(port) => write!(f, "port {port} has no nodePort yet"),
            Self::NoNode => f.write_str(
                "no Node that its annotation traffic.istio.io/nodeSelector chooses is ready and has an address",
            ),
            Self::NoSuchService => f.write_str("the settings name it, but there is no such Service"),
            Self::MemberStale => {
                f.write_str("its member has been stale for so long that its policy drops what was known of it")
            }
            Self::AddressTaken(socket, network) => {
                write!(f, "{socket} is already a gateway of network {network}")
            }
        }
    }
}

/// What should be a gateway and is none at present.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnusableGateway {
    /// What says that it should be one.
    pub source: GatewaySource,
    /// Why not.
    pub reason: UnusableReason,
}

/// All gateways of the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewaySet {
    /// Sorted; an address and port belongs to one network only, and may be listed for several members of it.
    by_network: BTreeMap<NetworkId, Vec<NetworkGateway>>,
    /// How each came about, for people.
    ways: BTreeMap<NetworkGateway, Vec<GatewayWay>>,
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
        unusable.dedup();
        Self {
            by_network,
            ways: BTreeMap::new(),
            unusable,
        }
    }

    /// The same, with how each of the usable ones came about.
    pub fn with_ways(
        ways: impl IntoIterator<Item = (NetworkGateway, GatewayWay)>,
        unusable: Vec<UnusableGateway>,
    ) -> Self {
        let mut by_gateway: BTreeMap<NetworkGateway, Vec<GatewayWay>> = BTreeMap::new();
        for (gateway, way) in ways {
            by_gateway.entry(gateway).or_default().push(way);
        }
        for ways in by_gateway.values_mut() {
            ways.sort();
            ways.dedup();
        }
        Self {
            ways: by_gateway.clone(),
            ..Self::new(by_gateway.into_keys(), unusable)
        }
    }

    /// How a gateway came about; empty where nobody said.
    #[must_use]
    pub fn ways(&self, gateway: &NetworkGateway) -> &[GatewayWay] {
        self.ways.get(gateway).map_or(&[], Vec::as_slice)
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
        let mut chosen: Vec<_> = reachable()
            .filter(|gateway| gateway.member.as_ref() == Some(member))
            .collect();
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

    /// What should be a gateway and is none at present.
    #[must_use]
    pub fn unusable(&self) -> &[UnusableGateway] {
        &self.unusable
    }
}
