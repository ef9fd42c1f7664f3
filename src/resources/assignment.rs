//! The assignment of one service port: its endpoints, as one view has them.

use std::net::IpAddr;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints};
use envoy_types::pb::google::protobuf::UInt32Value;

use super::{Resource, ResourceType, Version};
use crate::model::Locality;
use crate::view::{Assignment, WeightedAddress};

/// Everything that decides an assignment's content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AssignmentSpec {
    /// The cluster's name.
    pub name: Arc<str>,
    /// The endpoints; may be none, which is said explicitly so that an Envoy does not wait for more.
    pub assignment: Assignment,
}

impl AssignmentSpec {
    /// The version of what [`AssignmentSpec::encode`] gives.
    #[must_use]
    pub fn version(&self) -> Version {
        Version::of(self)
    }

    /// The `ClusterLoadAssignment`.
    #[must_use]
    pub fn encode(&self) -> Resource {
        let endpoints = self.assignment.localities.iter().map(|group| {
            // Envoy reads a locality's weight only with locality-weighted balancing, gRPC clients always: it is the sum.
            let sum = group
                .endpoints
                .iter()
                .map(|endpoint| u64::from(endpoint.weight.get()))
                .sum::<u64>();
            LocalityLbEndpoints {
                // Also where it is unknown: gRPC clients refuse an assignment of which one has none.
                locality: Some(locality(&group.locality)),
                lb_endpoints: group.endpoints.iter().map(lb_endpoint).collect(),
                load_balancing_weight: Some(UInt32Value {
                    value: u32::try_from(sum).unwrap_or(u32::MAX),
                }),
                ..LocalityLbEndpoints::default()
            }
        });
        let message = ClusterLoadAssignment {
            cluster_name: self.name.to_string(),
            endpoints: endpoints.collect(),
            ..ClusterLoadAssignment::default()
        };
        Resource::encode(
            ResourceType::ClusterLoadAssignment,
            Arc::clone(&self.name),
            self.version(),
            &message,
        )
    }
}

/// The assignment of a name without endpoints, or of one that does not exist at all: an Envoy that awaits it goes on, and one
/// that has endpoints lets go of them, which it does not do when an assignment is merely removed.
#[must_use]
pub fn empty_assignment(name: Arc<str>) -> Resource {
    AssignmentSpec {
        name,
        assignment: Assignment::default(),
    }
    .encode()
}

fn locality(locality: &Locality) -> core::Locality {
    core::Locality {
        region: locality.region().to_owned(),
        zone: locality.zone().to_owned(),
        sub_zone: locality.subzone().to_owned(),
    }
}

fn lb_endpoint(endpoint: &WeightedAddress) -> LbEndpoint {
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(socket_address(endpoint.address, endpoint.port)),
            ..Endpoint::default()
        })),
        load_balancing_weight: Some(UInt32Value {
            value: endpoint.weight.get(),
        }),
        ..LbEndpoint::default()
    }
}

fn socket_address(address: IpAddr, port: u16) -> core::Address {
    core::Address {
        address: Some(core::address::Address::SocketAddress(core::SocketAddress {
            address: address.to_string(),
            port_specifier: Some(PortSpecifier::PortValue(u32::from(port))),
            ..core::SocketAddress::default()
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::LocalityEndpoints;
    use envoy_types::pb::google::protobuf::Any;
    use prost::Message;
    use std::num::NonZeroU32;

    #[test]
    fn r112_every_locality_is_named_and_has_the_sum_of_its_weights() {
        let group = |region: &str, weights: [u32; 2]| {
            let endpoints = [80, 81].into_iter().zip(weights).map(|(port, weight)| WeightedAddress {
                address: IpAddr::from([10, 0, 0, 1]),
                port,
                weight: NonZeroU32::new(weight).unwrap(),
            });
            LocalityEndpoints {
                locality: Locality::new(region, "", ""),
                endpoints: endpoints.collect(),
            }
        };
        let spec = AssignmentSpec {
            name: "a".into(),
            assignment: Assignment {
                localities: vec![group("", [1, 2]), group("north", [3, 4])],
            },
        };
        let any = Any::decode(spec.encode().any).unwrap();
        let message = ClusterLoadAssignment::decode(&*any.value).unwrap();
        let read = message.endpoints.into_iter().map(|group| {
            let weight = group.load_balancing_weight.unwrap().value;
            (group.locality.expect("gRPC clients refuse none").region, weight)
        });
        assert_eq!(read.collect::<Vec<_>>(), [(String::new(), 3), ("north".to_owned(), 7)]);
    }
}
