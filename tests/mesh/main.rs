//! Requests from an application through its sidecar, over another network's gateway, to a pod: real Envoys in network
//! namespaces, with mutual TLS from sidecar to sidecar. Needs root, `ip`, `iptables` and `setpriv`.

#![allow(clippy::print_stderr, reason = "a failed test says where it left its logs")]

#[path = "../harness/mod.rs"]
mod harness;

mod bad_input;
mod certificates;
mod changes;
mod client;
mod cluster;
mod control;
mod example;
mod external;
mod faults;
mod files;
mod fleet;
mod gateways;
mod ground;
mod grpc;
mod held;
mod ipv6;
mod issued;
mod load;
mod locality;
mod lookup;
mod manifests;
mod mesh;
mod modes;
mod names;
mod networks;
mod own_tls;
mod places;
mod pod;
mod protocols;
mod refused;
mod resolved;
mod shown;
mod silence;
mod space;
mod thief;
mod three;
mod tls;
mod topologies;
mod trial;
mod versions;
mod wire;
mod workloads;
mod world;

use std::path::PathBuf;

/// The binary under test.
fn parallax() -> PathBuf {
    env!("CARGO_BIN_EXE_parallax").into()
}
