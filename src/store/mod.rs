//! The last known good of every member, on disk: what a control plane serves of a member that it can't reach when it starts.
//!
//! One file. Whatever a member says goes on to the table at once and into the file a little later, in batches of which the
//! latest word on an object wins. The file is never needed to go on: where it can't be written, everything is served from
//! memory and an alarm is raised; where a part of it can't be read, that part is set aside and the rest is used.
//!
//! Beside the members' objects there are the addresses that host names of gateways led to: a start while DNS servers are away
//! serves these. They came later, as a table of their own, so that files from before are as good as ever.

mod database;
mod hosts;
mod metrics;
mod pending;
mod recorder;
mod row;

pub use database::{Database, Remembered, StoreError};
pub use hosts::RememberedHost;
pub use metrics::StoreMetrics;
pub use recorder::Recorder;

#[cfg(test)]
mod tests;
