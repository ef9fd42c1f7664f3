//! What the admin endpoint reads.

use std::sync::Arc;

use crate::config::SettingsStanding;
use crate::lifecycle::Readiness;
use crate::push::Pusher;
use crate::registry::{Hosts, Members};
use crate::table::EndpointTable;
use crate::telemetry::Metrics;
use crate::xds::Streams;

/// Everything that can be looked into; clones share it.
#[derive(Debug, Clone)]
pub struct AdminState {
    /// What all members say, merged.
    pub table: Arc<EndpointTable>,
    /// How each member's source fares.
    pub members: Members,
    /// How the lookups of gateways' host names fare.
    pub hosts: Hosts,
    /// Which settings are in force.
    pub settings: SettingsStanding,
    /// The open xDS streams.
    pub streams: Arc<Streams>,
    /// Where changes can be watched.
    pub pusher: Arc<Pusher>,
    /// What is still waited for before this process counts as ready.
    pub readiness: Readiness,
    /// The metrics of the process.
    pub metrics: Arc<Metrics>,
    /// The domain in host names, `cluster.local`.
    pub domain: Arc<str>,
}
