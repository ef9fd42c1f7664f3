//! Clusters of hosts outside of Kubernetes.

use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CustomClusterType, DiscoveryType, DnsLookupFamily as OlderLookupFamily, LbPolicy,
};
use envoy_types::pb::envoy::config::core::v3::{Locality, Metadata};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints};
use envoy_types::pb::envoy::extensions::clusters::common::dns::v3::DnsLookupFamily;
use envoy_types::pb::envoy::extensions::clusters::dns::v3::DnsCluster;
use envoy_types::pb::google::protobuf::BoolValue;

use super::cluster::{as_downstream, base, eds, plaintext, speak_mutual_tls};
use super::filters::{address, packed, uint};
use super::outlier;
use super::settings::TrafficSettings;
use crate::model::{AddressFamilies, DnsTarget, Mtls, Schema};
use crate::resources::{ClusterName, Resource, ResourceType, Version};

/// How an Envoy finds the endpoints of a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostWay {
    /// It is told of them.
    Endpoints,
    /// It looks these up, and uses all addresses.
    Names(Vec<RankedTarget>),
    /// It looks the first of these up, and uses one address for each new connection.
    Name(Vec<DnsTarget>),
    /// Connections go to where they were going.
    Original,
}

/// Something to be looked up, and how near it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RankedTarget {
    /// Zero for what is used first; no number is left out.
    pub priority: u32,
    /// What is looked up.
    pub target: DnsTarget,
}

/// Everything that decides the cluster of one port of a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostClusterSpec {
    /// Host and port.
    pub name: ClusterName,
    /// Workloads of the mesh behind it have certificates of this namespace.
    pub namespace: Arc<str>,
    /// How its endpoints are found.
    pub way: HostWay,
    /// Which of the two ways to have something looked up the viewer is told.
    pub schema: Schema,
    /// What the viewer can use of what is found.
    pub families: AddressFamilies,
    /// The domain in host names, `cluster.local`.
    pub domain: Arc<str>,
    /// The settings, for a sidecar; others speak as they are told elsewhere.
    pub settings: Option<Arc<TrafficSettings>>,
}

impl HostClusterSpec {
    pub(in crate::resources) fn version(&self) -> Version {
        Version::of(&("host", self))
    }

    pub(in crate::resources) fn encode(&self) -> Resource {
        let name: Arc<str> = self.name.encode(&self.domain).into();
        let mut cluster = match &self.way {
            HostWay::Endpoints => eds(&name),
            HostWay::Names(targets) => {
                let targets = targets.iter().map(|ranked| (ranked.priority, &ranked.target));
                self.dns(&name, Addresses::Each, targets)
            }
            HostWay::Name(targets) => {
                // Envoy refuses such a cluster where there is nothing to look up, as while a selector finds nobody.
                let addresses = if targets.is_empty() {
                    Addresses::Each
                } else {
                    Addresses::AsOne
                };
                self.dns(&name, addresses, targets.first().map(|target| (0, target)).into_iter())
            }
            HostWay::Original => Cluster {
                cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::OriginalDst.into())),
                lb_policy: LbPolicy::ClusterProvided.into(),
                ..base(&name)
            },
        };
        if let Some(settings) = &self.settings {
            // What we tell of may be workloads of the mesh, behind gateways too; what a proxy looks up is somebody else's.
            let replaced = match &self.way {
                HostWay::Endpoints => {
                    outlier::detect(&mut cluster, &settings.outlier);
                    Some(&**settings)
                }
                // Nothing else takes over from what is near.
                HostWay::Names(targets) if targets.iter().any(|ranked| ranked.priority > 0) => {
                    outlier::detect(&mut cluster, &settings.outlier);
                    None
                }
                HostWay::Names(_) | HostWay::Name(_) | HostWay::Original => None,
            };
            cluster.typed_extension_protocol_options = as_downstream(replaced);
            if self.may_be_mutual() {
                speak_mutual_tls(&mut cluster, settings, &self.name, &self.namespace);
            }
        }
        Resource::encode(ResourceType::Cluster, name, self.version(), &cluster)
    }

    /// Whether something behind it may speak mutual TLS. Endpoints come and go without a word about their cluster.
    fn may_be_mutual(&self) -> bool {
        match &self.way {
            HostWay::Endpoints => true,
            HostWay::Names(targets) => targets.iter().any(|ranked| ranked.target.mtls == Mtls::Yes),
            HostWay::Name(targets) => targets.iter().any(|target| target.mtls == Mtls::Yes),
            HostWay::Original => false,
        }
    }

    fn dns<'a>(
        &self,
        name: &str,
        addresses: Addresses,
        targets: impl Iterator<Item = (u32, &'a DnsTarget)>,
    ) -> Cluster {
        let mut cluster = looked_up(name, targets);
        match self.schema {
            Schema::Current => extend(&mut cluster, addresses, self.families),
            Schema::Older => say_older(&mut cluster, addresses, self.families),
        }
        cluster
    }
}

fn extend(cluster: &mut Cluster, addresses: Addresses, families: AddressFamilies) {
    let family = match families {
        AddressFamilies::V6 => DnsLookupFamily::V6Only,
        AddressFamilies::V4 | AddressFamilies::Dual | AddressFamilies::Unknown => DnsLookupFamily::V4Preferred,
    };
    let lookups = DnsCluster {
        dns_lookup_family: family.into(),
        respect_dns_ttl: true,
        all_addresses_in_single_endpoint: addresses == Addresses::AsOne,
        ..DnsCluster::default()
    };
    cluster.cluster_discovery_type = Some(ClusterDiscoveryType::ClusterType(CustomClusterType {
        name: "envoy.clusters.dns".to_owned(),
        typed_config: Some(packed(&lookups)),
    }));
}

/// The same in words that every Envoy has; the newest warn of them.
#[expect(deprecated, reason = "those who know no other words are told so")]
fn say_older(cluster: &mut Cluster, addresses: Addresses, families: AddressFamilies) {
    let kind = match addresses {
        Addresses::Each => DiscoveryType::StrictDns,
        Addresses::AsOne => DiscoveryType::LogicalDns,
    };
    cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(kind.into()));
    let family = match families {
        AddressFamilies::V6 => OlderLookupFamily::V6Only,
        AddressFamilies::V4 | AddressFamilies::Dual | AddressFamilies::Unknown => OlderLookupFamily::V4Preferred,
    };
    cluster.dns_lookup_family = family.into();
    cluster.respect_dns_ttl = true;
}

/// A cluster of what has to be looked up, in whichever way.
fn looked_up<'a>(name: &str, targets: impl Iterator<Item = (u32, &'a DnsTarget)>) -> Cluster {
    let endpoints = targets.map(|(priority, target)| LocalityLbEndpoints {
        priority,
        locality: Some(Locality {
            region: target.locality.region().to_owned(),
            zone: target.locality.zone().to_owned(),
            sub_zone: target.locality.subzone().to_owned(),
        }),
        lb_endpoints: vec![LbEndpoint {
            host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
                address: Some(address(&target.name, target.port)),
                ..Endpoint::default()
            })),
            load_balancing_weight: uint(target.weight.into()),
            metadata: (target.mtls != Mtls::Yes).then(|| Metadata {
                filter_metadata: [("envoy.transport_socket_match".to_owned(), plaintext())].into(),
                ..Metadata::default()
            }),
            ..LbEndpoint::default()
        }],
        ..LocalityLbEndpoints::default()
    });
    Cluster {
        // A name that nobody answers for must not keep a proxy from starting.
        wait_for_warm_on_init: Some(BoolValue { value: false }),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: name.to_owned(),
            endpoints: endpoints.collect(),
            ..ClusterLoadAssignment::default()
        }),
        ..base(name)
    }
}

/// What the addresses of a name are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Addresses {
    /// An endpoint each.
    Each,
    /// One endpoint, of which each new connection uses one.
    AsOne,
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::model::{Locality as Place, ServiceKey};

    #[test]
    fn a_name_is_looked_up_alone_and_nothing_is_no_reason_to_refuse_the_cluster() {
        let target = |name: &str| DnsTarget {
            name: name.into(),
            port: 443,
            weight: 1,
            locality: Place::default(),
            mtls: Mtls::No,
        };
        for (targets, as_one) in [
            (vec![], false),
            (vec![target("a.x")], true),
            (vec![target("a.x"), target("b.x")], true),
        ] {
            let looked_up = targets.len().min(1);
            let spec = HostClusterSpec {
                name: ClusterName {
                    service: ServiceKey::outside("api.x"),
                    port: 443,
                },
                namespace: "shop".into(),
                way: HostWay::Name(targets),
                schema: Schema::Current,
                families: AddressFamilies::V4,
                domain: "cluster.local".into(),
                settings: None,
            };
            let cluster = read(&spec);
            let Some(ClusterDiscoveryType::ClusterType(kind)) = cluster.cluster_discovery_type else {
                panic!("looked up")
            };
            let lookups = DnsCluster::decode(&*kind.typed_config.unwrap().value).unwrap();
            // Envoy wants exactly one endpoint where all addresses are one.
            assert_eq!(lookups.all_addresses_in_single_endpoint, as_one);
            assert_eq!(cluster.load_assignment.unwrap().endpoints.len(), looked_up);

            let older = HostClusterSpec {
                schema: Schema::Older,
                ..spec.clone()
            };
            assert_ne!(older.version(), spec.version());
            let kind = if as_one {
                DiscoveryType::LogicalDns
            } else {
                DiscoveryType::StrictDns
            };
            let older = read(&older);
            assert_eq!(
                older.cluster_discovery_type,
                Some(ClusterDiscoveryType::Type(kind.into()))
            );
            assert_eq!(older.load_assignment.unwrap().endpoints.len(), looked_up);
        }
    }

    fn read(spec: &HostClusterSpec) -> Cluster {
        let any = envoy_types::pb::google::protobuf::Any::decode(spec.encode().any).unwrap();
        Cluster::decode(&*any.value).unwrap()
    }
}
