//! What the mesh's settings say about networks and workloads. It may change while we run.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::EndpointTable;
use super::terms::{ClusterLocal, ExportTo};
use crate::model::{
    Cidr, ClusterId, HostName, MemberWeight, MtlsMode, NetworkId, ObjectName, Preference, ServiceKey, ZoneWeights,
};

/// What the mesh's settings say about networks and workloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSettings {
    /// The network of members that nothing places.
    pub default_network: NetworkId,
    /// The namespace whose network label counts for its member. Fixed for the life of a table.
    pub system_namespace: Arc<str>,
    /// The domain in host names of Services. Fixed for the life of a table.
    pub domain: Arc<str>,
    /// The networks of members, where the settings tell it beside the networks and not beside the members.
    pub members: BTreeMap<ClusterId, NetworkId>,
    /// Ranges of addresses.
    pub cidrs: CidrRules,
    /// Gateways that the settings give.
    pub gateways: Vec<SettingsGateway>,
    /// What endpoints on a network count, where it is otherwise than usual.
    pub weights: BTreeMap<NetworkId, MemberWeight>,
    /// What endpoints in a region or zone count, where it is otherwise than usual.
    pub zones: ZoneWeights,
    /// Which endpoints come first of services that say nothing about it.
    pub preference: Preference,
    /// Which namespaces see Services that say nothing about it.
    pub export: ExportTo,
    /// Services that stay in their members.
    pub cluster_local: Vec<ClusterLocal>,
    /// What workloads ask of who connects, where nothing else is said.
    pub mtls: MtlsMode,
}

impl TableSettings {
    /// Only a default network and a system namespace, in the usual domain.
    #[must_use]
    pub fn new(default_network: NetworkId, system_namespace: &str) -> Self {
        Self {
            default_network,
            system_namespace: system_namespace.into(),
            domain: "cluster.local".into(),
            members: BTreeMap::new(),
            cidrs: CidrRules::default(),
            gateways: Vec::new(),
            weights: BTreeMap::new(),
            zones: ZoneWeights::default(),
            preference: Preference::default(),
            export: ExportTo::everybody(),
            cluster_local: Vec::new(),
            mtls: MtlsMode::default(),
        }
    }
}

impl EndpointTable {
    /// What the settings say of zones.
    #[must_use]
    pub fn zones(&self) -> ZoneWeights {
        self.settings.load().zones.clone()
    }
}

/// A range of addresses that is a network's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CidrRule {
    /// The range.
    pub cidr: Cidr,
    /// Whose it is.
    pub network: NetworkId,
    /// The member that this is true in; all of them where there is none.
    pub member: Option<ClusterId>,
}

/// Ranges of addresses, the narrowest first, and of equal ones those of one member first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CidrRules(Vec<CidrRule>);

impl FromIterator<CidrRule> for CidrRules {
    fn from_iter<I: IntoIterator<Item = CidrRule>>(rules: I) -> Self {
        let mut rules: Vec<_> = rules.into_iter().collect();
        rules.sort_by(|a, b| {
            let rank = |rule: &CidrRule| (std::cmp::Reverse(rule.cidr.prefix()), rule.member.is_none());
            let rest = || (a.cidr, &a.member, &a.network).cmp(&(b.cidr, &b.member, &b.network));
            rank(a).cmp(&rank(b)).then_with(rest)
        });
        Self(rules)
    }
}

impl CidrRules {
    /// The network of the first of these addresses that is in a range.
    pub fn network_of(
        &self,
        member: Option<&ClusterId>,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Option<&NetworkId> {
        if self.0.is_empty() {
            return None;
        }
        let applies = |rule: &&CidrRule| rule.member.is_none() || rule.member.as_ref() == member;
        addresses.into_iter().find_map(|address| {
            let mut rules = self.0.iter().filter(applies);
            Some(&rules.find(|rule| rule.cidr.contains(address))?.network)
        })
    }
}

/// A gateway that the settings give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsGateway {
    /// The network that it leads to.
    pub network: NetworkId,
    /// The member that it belongs to.
    pub member: Option<ClusterId>,
    /// Where it is.
    pub place: SettingsPlace,
    /// Its port for mutual TLS; of a Service a service port.
    pub port: u16,
}

impl SettingsGateway {
    /// Whether it is this Service.
    pub(super) fn is_at(&self, key: &ServiceKey) -> bool {
        match &self.place {
            SettingsPlace::Service(name) => name.namespace == key.namespace && name.name == key.name,
            SettingsPlace::Address(_) | SettingsPlace::Host(_) => false,
        }
    }
}

/// Where a gateway of the settings is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingsPlace {
    /// At this address.
    Address(IpAddr),
    /// At the addresses of this host.
    Host(HostName),
    /// At this Service: in the gateway's member, or, where it names none, in the members whose network it is.
    Service(ObjectName),
}

/// What looking a host name up led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// Its addresses.
    Addresses(Vec<IpAddr>),
    /// None, and why.
    Nothing(Arc<str>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(range: &str, network: &str, member: Option<&str>) -> CidrRule {
        let (address, prefix) = range.split_once('/').unwrap();
        CidrRule {
            cidr: Cidr::new(address.parse().unwrap(), prefix.parse().unwrap()).unwrap(),
            network: NetworkId::new(network).unwrap(),
            member: member.map(|member| ClusterId::new(member).unwrap()),
        }
    }

    #[test]
    fn the_narrowest_range_counts_and_one_members_own_before_that_of_all() {
        let mut rules = [
            rule("10.0.0.0/8", "wide", None),
            rule("10.1.0.0/16", "narrow", None),
            rule("10.1.0.0/16", "mine", Some("east")),
            rule("10.1.2.0/24", "theirs", Some("west")),
            rule("fd00::/8", "six", None),
        ];
        for _ in 0..rules.len() {
            rules.rotate_left(1);
            let rules: CidrRules = rules.iter().cloned().collect();
            let of = |member: Option<&str>, addresses: &[&str]| {
                let member = member.map(|member| ClusterId::new(member).unwrap());
                let addresses = addresses.iter().map(|address| address.parse().unwrap());
                rules
                    .network_of(member.as_ref(), addresses)
                    .map_or("-", |network| network.as_str())
                    .to_owned()
            };
            assert_eq!(of(None, &["10.9.0.1"]), "wide");
            assert_eq!(of(None, &["10.1.2.3"]), "narrow");
            assert_eq!(of(Some("east"), &["10.1.2.3"]), "mine");
            assert_eq!(of(Some("west"), &["10.1.2.3"]), "theirs");
            assert_eq!(of(Some("west"), &["10.1.3.3"]), "narrow");
            assert_eq!(of(None, &["192.0.2.1"]), "-");
            assert_eq!(
                of(None, &["192.0.2.1", "fd00::1"]),
                "six",
                "the first that is in a range"
            );
        }
    }
}
