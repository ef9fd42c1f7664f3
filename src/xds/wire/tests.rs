//! What is written by hand is what the generated types read, and large resources are not copied.

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::ControlPlane;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryResponse, DiscoveryResponse, Resource as DeltaResource,
};
use envoy_types::pb::google::protobuf::Any;
use prost::Message;

use super::super::session::TypeUrl;
use super::*;
use crate::resources::{ResourceType, Version};

const KIND: ResourceType = ResourceType::ClusterLoadAssignment;

fn resource(name: &str, bytes: usize) -> Arc<Resource> {
    // Any message will do; only its bytes count.
    let message = Any {
        type_url: String::new(),
        value: vec![7; bytes],
    };
    let version = Version::of(&(name, bytes));
    Arc::new(Resource::encode(KIND, name.into(), version, &message))
}

fn response(sizes: &[usize]) -> Response {
    let named = sizes.iter().enumerate();
    Response {
        type_url: TypeUrl::Served(KIND),
        version: Version::of(&1),
        nonce: "42".to_owned(),
        resources: named.map(|(n, b)| resource(&format!("r{n}"), *b)).collect(),
        removed: vec!["gone".into(), "also".into()],
    }
}

/// Puts the pieces together and takes the gRPC header off.
fn joined(pieces: &[Bytes]) -> Vec<u8> {
    let all = pieces.concat();
    assert_eq!(all[0], 0, "not compressed");
    let length = u32::from_be_bytes([all[1], all[2], all[3], all[4]]);
    assert_eq!(usize::try_from(length).unwrap(), all.len() - 5);
    all[5..].to_vec()
}

const SIZES: [&[usize]; 5] = [&[], &[0, 1, 100], &[100, 9000, 100], &[200_000, 70_000], &[5000; 30]];

fn control_plane() -> Option<ControlPlane> {
    Some(ControlPlane {
        identifier: "me".to_owned(),
    })
}

#[test]
fn r7_r8_r55_state_of_the_world_reads_back_with_bare_resources() {
    for sizes in SIZES {
        let response = response(sizes);
        let pieces = message(Dialect::StateOfTheWorld, "me", &response).unwrap();
        let read = DiscoveryResponse::decode(&*joined(&pieces)).unwrap();
        let any = |resource: &Arc<Resource>| Any::decode(&*resource.any).unwrap();
        let expected = DiscoveryResponse {
            version_info: response.version.to_string(),
            resources: response.resources.iter().map(any).collect(),
            type_url: KIND.url().to_owned(),
            nonce: "42".to_owned(),
            control_plane: control_plane(),
            ..DiscoveryResponse::default()
        };
        assert_eq!(read, expected);
        // Not one of them inside of a `Resource`, which only some clients can read.
        assert!(read.resources.iter().all(|any| any.type_url == read.type_url));
    }
}

#[test]
fn r8_r30_r31_delta_reads_back() {
    for sizes in SIZES {
        let response = response(sizes);
        let pieces = message(Dialect::Delta, "me", &response).unwrap();
        let read = DeltaDiscoveryResponse::decode(&*joined(&pieces)).unwrap();
        let wrapped = |resource: &Arc<Resource>| DeltaResource {
            name: resource.name.to_string(),
            version: resource.version.to_string(),
            resource: Some(Any::decode(&*resource.any).unwrap()),
            ..DeltaResource::default()
        };
        let expected = DeltaDiscoveryResponse {
            system_version_info: response.version.to_string(),
            resources: response.resources.iter().map(wrapped).collect(),
            type_url: KIND.url().to_owned(),
            removed_resources: vec!["gone".to_owned(), "also".to_owned()],
            nonce: "42".to_owned(),
            control_plane: control_plane(),
            ..DeltaDiscoveryResponse::default()
        };
        assert_eq!(read, expected);
    }
}

#[test]
fn r88_large_resources_are_shared_and_small_ones_copied_together() {
    let response = response(&[100_000, 10, 10, 100_000]);
    for dialect in [Dialect::StateOfTheWorld, Dialect::Delta] {
        let pieces = message(dialect, "me", &response).unwrap();
        assert_eq!(pieces.len(), 4, "head, large, small ones, large");
        for (piece, resource) in [(1, 0), (3, 3)] {
            let shared = &response.resources[resource].any;
            assert_eq!(pieces[piece].as_ptr(), shared.as_ptr(), "the same memory");
        }
    }
    let many = message(Dialect::Delta, "me", &self::response(&[5000; 30])).unwrap();
    assert!(many.len() <= 6, "{} pieces", many.len());
    assert!(many.iter().all(|piece| piece.len() <= PIECE_BYTES + 256));
}
