//! Parallax against the real world: real Envoys, real Kubernetes API servers. `make tools` fetches and builds them.

#[path = "../harness/mod.rs"]
mod harness;

mod tools;
