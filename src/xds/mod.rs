//! The outbound edge: ADS streams, state of the world and delta.
//!
//! One pure session per stream decides what is due; the task of the stream carries requests to it and answers out. Answers
//! share the bytes that the cache holds.

mod admission;
mod codec;
mod config;
mod connections;
mod hangup;
mod intake;
mod metrics;
mod names;
mod node;
mod outbox;
mod requests;
mod secrets;
mod service;
mod session;
mod shared;
mod status;
mod stream;
mod streams;
mod text;
mod wire;

pub use config::XdsConfig;
pub use connections::{ConnectionMetrics, serve};
pub use metrics::XdsMetrics;
pub use node::{NodeError, ProxyKind, ProxyNode};
pub use service::AdsServer;
pub use session::{Dialect, Nack, ResourceState, ResourceStatus, TypeStatus};
pub use streams::{Detail, StreamInfo, Streams, TypeInfo};

#[cfg(test)]
mod tests;
