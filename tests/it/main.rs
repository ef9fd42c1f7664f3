//! Parallax against the real world: real Envoys, real Kubernetes API servers. `make tools` fetches and builds them.

#[path = "../harness/mod.rs"]
mod harness;

mod attached;
mod bad_input;
mod bad_members;
mod control_plane;
mod demo;
mod envoys;
mod faults;
mod freshness;
mod gateways;
mod grpc;
mod horizons;
mod hostile;
mod identity;
mod kubernetes;
mod large_member;
mod lifecycle;
mod lint;
mod manifests;
mod member_namespaces;
mod member_objects;
mod member_secrets;
mod members;
mod members_drain;
mod members_refused;
mod metrics;
mod neighbours;
mod networks;
mod optional_kinds;
mod outages;
mod raw;
mod replicas;
mod restart;
mod store;
mod token_files;
mod tools;
mod topologies;
mod versions;
mod xds;
