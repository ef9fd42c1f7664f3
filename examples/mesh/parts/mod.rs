//! What the tests of traffic are made of.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "these files are parts of the tests too, which use more of them"
)]

#[path = "../../../tests/harness/mod.rs"]
pub(crate) mod harness;

#[path = "../../../tests/mesh/certificates.rs"]
mod certificates;
#[path = "../../../tests/mesh/client.rs"]
mod client;
#[path = "../../../tests/mesh/cluster.rs"]
pub(crate) mod cluster;
#[path = "../../../tests/mesh/control.rs"]
mod control;
#[path = "../../../tests/mesh/fleet.rs"]
mod fleet;
#[path = "../../../tests/mesh/ground.rs"]
mod ground;
#[path = "../../../tests/mesh/held.rs"]
mod held;
#[path = "../../../tests/mesh/load.rs"]
pub(crate) mod load;
#[path = "../../../tests/mesh/mesh.rs"]
mod mesh;
#[path = "../../../tests/mesh/pod.rs"]
mod pod;
#[path = "../../../tests/mesh/space.rs"]
pub(crate) mod space;
#[path = "../../../tests/mesh/three.rs"]
pub(crate) mod three;
#[path = "../../../tests/mesh/wire.rs"]
mod wire;

use super::parallax;
