//! The assignment of one service port: its endpoints, as one view has them.

use std::sync::Arc;

use super::{Resource, ResourceType, Version, encode};
use crate::view::Assignment;

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
        self.encode_as(self.version())
    }

    /// The same where its version is known, which costs as much as the rest.
    pub(super) fn encode_as(&self, version: Version) -> Resource {
        let value = encode::assignment(&self.name, &self.assignment);
        Resource::encoded(
            ResourceType::ClusterLoadAssignment,
            Arc::clone(&self.name),
            version,
            &value,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Locality;
    use crate::view::{LocalityEndpoints, Speaks, WeightedAddress};
    use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
    use envoy_types::pb::google::protobuf::Any;
    use prost::Message;
    use std::net::IpAddr;
    use std::num::NonZeroU32;

    #[test]
    fn r112_every_locality_is_named_and_has_the_sum_of_its_weights() {
        let group = |region: &str, weights: [u32; 2]| {
            let endpoints = [80, 81].into_iter().zip(weights).map(|(port, weight)| WeightedAddress {
                address: IpAddr::from([10, 0, 0, 1]),
                port,
                weight: NonZeroU32::new(weight).unwrap(),
                speaks: Speaks::Default,
            });
            LocalityEndpoints {
                priority: 0,
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
