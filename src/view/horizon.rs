//! The rule of the split horizon: what a viewer's network means for the endpoints of a group.

use std::fmt;

use crate::model::{
    ClusterId, Endpoint, GatewaySet, GroupKey, Health, Locality, MemberWeight, Mtls, Naming, NetworkGateway, NetworkId,
    PortEndpoints, Rank, Role, Unseen, ViewKey,
};

/// How a viewer reaches the endpoints of one network in one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Horizon<'a> {
    /// They share the viewer's network, or are outside of the mesh: by their own addresses.
    Direct,
    /// Through these gateways, at least one, by equal parts.
    Via(Vec<&'a NetworkGateway>),
    /// Not at all.
    Withheld(WithheldReason),
}

/// Why an endpoint is not in a viewer's assignment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WithheldReason {
    /// It is on another network, and no gateway of that one is usable. Handing out its address anyway would send packets
    /// nowhere, or to a wrong pod where networks overlap.
    NoGateway(NetworkId),
    /// Its network has gateways, but none with an address of a family that the viewer can use.
    NoGatewayOfFamily(NetworkId),
    /// It is behind a gateway, which goes by names, and its host begins with a star: nothing is called so.
    StarHost,
    /// It has no address of a family that the viewer can use.
    AddressFamily,
    /// It is not ready.
    NotReady,
    /// It is shutting down while others are ready.
    Draining,
    /// It is on another network, and the viewer is a gateway, which leads only to its own.
    OtherNetwork(NetworkId),
    /// It is on another network and speaks no mutual TLS; a gateway routes by SNI and could not tell where to send it.
    Plaintext,
    /// It is on another network and does not take mutual TLS, by a `PeerAuthentication` or the settings.
    MtlsDisabled,
    /// Its member is drained: its weight is zero.
    Drained(ClusterId),
    /// Its network is drained by the settings.
    NetworkDrained(NetworkId),
    /// Where it runs is drained by the settings: a zone, or a region.
    ZoneDrained(Locality),
    /// Its member's Service is drained, by its own annotation.
    ServiceDrained(ClusterId),
    /// The service stays in its member, and the viewer is not there.
    ClusterLocal(ClusterId),
    /// Its member exports the service, but not to the viewer.
    NotExported(ClusterId),
    /// What is known of its member is too old, by the member's policy.
    MemberStale(ClusterId),
    /// It is on another network and the pod its slice names was not seen, so that nothing says it speaks mutual TLS.
    PodUnknown,
}

impl WithheldReason {
    /// A short, stable name for metrics and programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoGateway(_) => "no_gateway",
            Self::NoGatewayOfFamily(_) => "no_gateway_of_family",
            Self::OtherNetwork(_) => "other_network",
            Self::StarHost => "star_host",
            Self::AddressFamily => "address_family",
            Self::NotReady => "not_ready",
            Self::Draining => "draining",
            Self::Plaintext => "plaintext",
            Self::MtlsDisabled => "mtls_disabled",
            Self::PodUnknown => "pod_unknown",
            Self::Drained(_) => "drained",
            Self::NetworkDrained(_) => "network_drained",
            Self::ZoneDrained(_) => "zone_drained",
            Self::ServiceDrained(_) => "service_drained",
            Self::ClusterLocal(_) => "cluster_local",
            Self::NotExported(_) => "not_exported",
            Self::MemberStale(_) => "member_stale",
        }
    }
}

impl fmt::Display for WithheldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGateway(network) => write!(f, "network {network} has no usable gateway"),
            Self::NoGatewayOfFamily(network) => {
                write!(
                    f,
                    "network {network} has no gateway of an address family that the viewer uses"
                )
            }
            Self::OtherNetwork(network) => {
                write!(
                    f,
                    "it is on network {network}, and a gateway leads only to endpoints of its own"
                )
            }
            Self::StarHost => {
                f.write_str("a gateway goes by names, and its host begins with a star: name each host that it answers for")
            }
            Self::AddressFamily => f.write_str("no address of a family that the viewer uses"),
            Self::NotReady => f.write_str("not ready"),
            Self::Draining => f.write_str("shutting down while others are ready"),
            Self::Plaintext => {
                f.write_str("speaks no mutual TLS (pod label security.istio.io/tlsMode: istio), which a gateway needs")
            }
            Self::MtlsDisabled => f.write_str(
                "mutual TLS, which a gateway needs, is DISABLE for it (PeerAuthentication, or traffic.mtls of the settings)",
            ),
            Self::Drained(member) => write!(f, "member {member} is drained: its weight is 0"),
            Self::NetworkDrained(network) => write!(
                f,
                "network {network} is drained: its weight is 0 in `networks` of the settings"
            ),
            Self::ZoneDrained(zone) => {
                let what = if zone.zone().is_empty() { "region" } else { "zone" };
                write!(f, "{what} {zone} is drained: its weight is 0 in `zones` of the settings")
            }
            Self::ServiceDrained(member) => write!(
                f,
                "the Service in member {member} is drained: its annotation parallax.dev/weight is 0"
            ),
            Self::ClusterLocal(member) => write!(
                f,
                "the service is local to its cluster: what is in member {member} is for that member, on the same network"
            ),
            Self::NotExported(member) => write!(
                f,
                "the Service in member {member} is not exported to the viewer's namespace (networking.istio.io/exportTo)"
            ),
            Self::MemberStale(member) => write!(
                f,
                "member {member} has been stale for so long that its policy drops what was known of it"
            ),
            Self::PodUnknown => f.write_str("its pod is not known, so nothing says that it speaks mutual TLS"),
        }
    }
}

impl WithheldReason {
    /// True where somebody asked for it, so that it is no sign of anything being wrong.
    #[must_use]
    pub fn is_meant(&self) -> bool {
        matches!(self, Self::ClusterLocal(_) | Self::NotExported(_))
    }
}

/// Why nobody at all is sent to an endpoint of a group, if so, whoever asks.
#[must_use]
pub fn withheld_from_all(port: &PortEndpoints, group: &GroupKey, endpoint: &Endpoint) -> Option<WithheldReason> {
    let apart = || standing_apart(port, group).or_else(|| zone_apart(port, endpoint));
    idle(port, endpoint).or_else(apart)
}

/// How a viewer reaches a group, by every rule that holds for all of its endpoints.
pub(super) fn way<'a>(
    viewer: &ViewKey,
    port: &PortEndpoints,
    group: &GroupKey,
    gateways: &'a GatewaySet,
) -> Horizon<'a> {
    match standing_apart(port, group).or_else(|| unseen(viewer, port, group)) {
        Some(reason) => Horizon::Withheld(reason),
        None => horizon(viewer, group, gateways),
    }
}

/// True where a gateway on this network leads to the group at all.
#[must_use]
pub fn is_carried(viewer: &ViewKey, port: &PortEndpoints, group: &GroupKey) -> bool {
    group.network == viewer.network && unseen(viewer, port, group).is_none()
}

fn unseen(viewer: &ViewKey, port: &PortEndpoints, group: &GroupKey) -> Option<WithheldReason> {
    let terms = port.terms()?;
    // A gateway is on the way, or asks itself.
    let by_name = terms.naming == Naming::Star && (viewer.role == Role::Gateway || !is_direct(viewer, group));
    if by_name {
        return Some(WithheldReason::StarHost);
    }
    let unseen = terms.audience(&group.member)?.hides(viewer, group)?;
    Some(match unseen {
        Unseen::ClusterLocal => WithheldReason::ClusterLocal(group.member.clone()),
        Unseen::NotExported => WithheldReason::NotExported(group.member.clone()),
    })
}

/// Decides for a group. Fails closed: no gateway, no endpoint.
#[must_use]
pub fn horizon<'a>(viewer: &ViewKey, group: &GroupKey, gateways: &'a GatewaySet) -> Horizon<'a> {
    if is_direct(viewer, group) {
        return Horizon::Direct;
    }
    if viewer.role == Role::Gateway {
        return Horizon::Withheld(WithheldReason::OtherNetwork(group.network.clone()));
    }
    let towards = gateways.towards(&group.network, &group.member, viewer.families);
    if !towards.is_empty() {
        Horizon::Via(towards)
    } else if gateways.of(&group.network).is_empty() {
        Horizon::Withheld(WithheldReason::NoGateway(group.network.clone()))
    } else {
        Horizon::Withheld(WithheldReason::NoGatewayOfFamily(group.network.clone()))
    }
}

fn is_direct(viewer: &ViewKey, group: &GroupKey) -> bool {
    group.network == viewer.network || (group.network.is_anywhere() && viewer.role != Role::Gateway)
}

/// Why a group's endpoints take no traffic from anybody, if so.
fn standing_apart(port: &PortEndpoints, group: &GroupKey) -> Option<WithheldReason> {
    let standing = port.standing(group);
    let GroupKey { network, member } = group;
    let drained = MemberWeight::DRAINED;
    if standing.serves() {
        None
    } else if standing.rank() == Rank::Out {
        Some(WithheldReason::MemberStale(member.clone()))
    } else if standing.member.weight == drained {
        Some(WithheldReason::Drained(member.clone()))
    } else if standing.network == drained {
        Some(WithheldReason::NetworkDrained(network.clone()))
    } else {
        Some(WithheldReason::ServiceDrained(member.clone()))
    }
}

/// Why an endpoint takes no traffic from anybody by where it runs, if so.
pub(super) fn zone_apart(port: &PortEndpoints, endpoint: &Endpoint) -> Option<WithheldReason> {
    let said = port.zone(&endpoint.locality)?;
    (said.weight == MemberWeight::DRAINED).then(|| WithheldReason::ZoneDrained(said.zone.clone()))
}

/// Why an endpoint takes no traffic from anybody, if so.
pub(super) fn idle(port: &PortEndpoints, endpoint: &Endpoint) -> Option<WithheldReason> {
    if port.serves(endpoint) {
        return None;
    }
    Some(match endpoint.health {
        Health::Draining => WithheldReason::Draining,
        Health::Ready | Health::NotReady => WithheldReason::NotReady,
    })
}

/// Why a gateway can't stand for an endpoint, if so. The same rule as the sums in [`crate::model::NetworkGroup`].
pub(super) fn not_behind_gateway(endpoint: &Endpoint) -> Option<WithheldReason> {
    match endpoint.mtls {
        Mtls::Yes => None,
        Mtls::Disabled => Some(WithheldReason::MtlsDisabled),
        Mtls::No => Some(WithheldReason::Plaintext),
        Mtls::PodUnknown => Some(WithheldReason::PodUnknown),
    }
}
