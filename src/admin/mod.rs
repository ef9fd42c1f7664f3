//! Looking in: the debug gRPC service, CSDS, health, reflection, probes and metrics, all on one port. Only reads.

mod csds;
mod debug;
mod http;
pub mod proto;
mod serve;
mod settings;
mod state;
#[cfg(test)]
mod tests;

pub use debug::lint::{of_findings, of_problem};
pub use serve::{ServeError, serve};
pub use settings::SettingsCollector;
pub use state::AdminState;
