//! Looks up the host names of gateways, and has readiness wait for the first answers.

use std::sync::Arc;
use std::time::Duration;

use super::Parts;
use crate::lifecycle::{Readiness, Tasks};
use crate::registry::run_hosts;
use crate::table::HostSink;

/// How long readiness waits for DNS servers, once all else is ready: without an answer the gateways behind host names are missing in
/// what proxies get that come back after a restart.
const FIRST_ANSWERS: Duration = Duration::from_secs(5);

/// Why it waits.
const REASON: &str = "the host names of gateways";

/// Starts the task that looks names up.
pub(super) fn spawn(tasks: &mut Tasks, parts: &Parts) {
    let looking_up = run_hosts(
        parts.pusher.hosts(),
        parts.dns_servers.clone(),
        Arc::clone(&parts.pusher) as Arc<dyn HostSink>,
        parts.hosts.clone(),
        parts.drain.clone(),
    );
    tasks.spawn("host names", looking_up);
}

/// Blocks readiness until nothing else does, so that all names are known, and each of them was looked up once.
pub(super) fn hold_ready(parts: &Parts, readiness: &Readiness) {
    let block = readiness.block(REASON);
    let (hosts, wanted, readiness) = (parts.hosts.clone(), parts.pusher.hosts(), readiness.clone());
    // Not one of the tasks that must last.
    tokio::spawn(async move {
        readiness.only(REASON).await;
        if tokio::time::timeout(FIRST_ANSWERS, hosts.looked_up(&wanted))
            .await
            .is_err()
        {
            tracing::warn!(waited = ?FIRST_ANSWERS, "not all host names of gateways could be looked up; ready without them");
        }
        drop(block);
    });
}
