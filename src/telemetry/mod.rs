//! Logs and metrics.

mod logs;
mod metrics;
mod process;

pub use logs::{InitError, LogFormat, init};
pub use metrics::Metrics;
pub use prometheus_client::registry::Registry;
