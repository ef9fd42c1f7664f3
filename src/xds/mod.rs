//! The outbound edge: ADS streams, state of the world and delta.
//!
//! One pure session per stream decides what is due; the task of the stream carries requests to it and answers out. Answers
//! share the bytes that the cache holds.

mod admission;
mod body;
mod codec;
mod config;
mod hangup;
mod intake;
mod metrics;
mod names;
mod node;
mod requests;
mod service;
mod session;
mod status;
mod stream;
mod streams;
mod text;
mod wire;

pub use config::XdsConfig;
pub use hangup::Hangup;
pub use metrics::XdsMetrics;
pub use node::{NodeError, ProxyKind, ProxyNode};
pub use service::AdsServer;
pub use session::{Dialect, Nack, ResourceState, ResourceStatus, TypeStatus};
pub use streams::{Detail, StreamInfo, Streams, TypeInfo};

#[cfg(test)]
mod tests;
