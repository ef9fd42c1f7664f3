//! Parallax against the real world: real Envoys, real Kubernetes API servers. `make tools` fetches and builds them.

#[path = "../harness/mod.rs"]
mod harness;

mod bad_input;
mod control_plane;
mod envoys;
mod grpc;
mod horizons;
mod kubernetes;
mod lifecycle;
mod manifests;
mod member_secrets;
mod metrics;
mod restart;
mod store;
mod tools;
mod versions;
mod xds;
