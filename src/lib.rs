//! Parallax: the same service, seen from where you stand.
//!
//! An xDS control plane for a mesh of many Kubernetes clusters. It watches the API server of every member cluster, merges
//! what it sees into one endpoint table keyed by network, and tells each Envoy over ADS how *it* reaches each service: the
//! pod address where both share a network, the other network's gateway where they don't.
//!
//! Data flows one way, and the modules below are listed in that order:
//!
//! ```text
//! registry ─▶ (store) ─▶ table ─▶ push ( view ─▶ resources ) ─▶ cache ─▶ xds ─▶ Envoy
//! ```
//!
//! `ARCHITECTURE.md` tells what each module may use and why; `tests/architecture.rs` holds the code to it.

pub mod admin;
pub mod app;
pub mod cache;
pub mod cli;
pub mod config;
pub mod control;
pub mod crd;
pub mod identity;
pub mod lifecycle;
pub mod lint;
pub mod model;
pub mod push;
pub mod registry;
pub mod resources;
pub mod store;
pub mod table;
pub mod telemetry;
pub mod tls;
pub mod view;
pub mod xds;

#[cfg(test)]
#[path = "../fuzz/mutate.rs"]
mod mutate;
