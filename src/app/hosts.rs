//! Looks up the host names of gateways, has readiness wait for the first answers, and keeps the last good ones on disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use super::Parts;
use super::store::Recalled;
use crate::lifecycle::{Readiness, Tasks};
use crate::model::HostName;
use crate::registry::{HostReport, Hosts, run_hosts};
use crate::store::{Recorder, RememberedHost};
use crate::table::HostSink;

/// How long readiness waits for DNS servers, once all else is ready: without an answer the gateways behind host names are missing in
/// what proxies get that come back after a restart.
const FIRST_ANSWERS: Duration = Duration::from_secs(5);

/// Why it waits.
const REASON: &str = "the host names of gateways";

/// Many names are looked up in one moment; what they lead to is handed on together.
const TOGETHER: Duration = Duration::from_secs(1);

/// Starts the task that looks names up, and the one that keeps what they lead to.
pub(super) fn spawn(tasks: &mut Tasks, parts: &Parts, recalled: &Recalled, readiness: &Readiness) {
    let looking_up = run_hosts(
        parts.pusher.hosts(),
        recalled.hosts.clone(),
        parts.dns_servers.clone(),
        Arc::clone(&parts.pusher) as Arc<dyn HostSink>,
        parts.hosts.clone(),
        parts.drain.clone(),
    );
    tasks.spawn("host names", looking_up);
    if let Some(recorder) = recalled.recorder.clone() {
        let (hosts, readiness, drain) = (parts.hosts.clone(), readiness.clone(), parts.drain.clone());
        tasks.spawn("host names on disk", async move {
            drain.run_until_cancelled(keep(&hosts, &recorder, &readiness)).await;
        });
    }
}

/// Writes down what names lead to. Not before all members were read that can be: names that nobody wants until then may be
/// wanted yet.
async fn keep(hosts: &Hosts, recorder: &Recorder, readiness: &Readiness) {
    readiness.ready().await;
    let mut changes = hosts.changes();
    loop {
        recorder.keep_hosts(&known(hosts.list()));
        // The sender lives in `hosts`.
        let _ = changes.changed().await;
        sleep(TOGETHER).await;
    }
}

/// Names that lead somewhere.
fn known(reports: BTreeMap<HostName, HostReport>) -> BTreeMap<HostName, RememberedHost> {
    let known = reports.into_iter().filter(|(_, report)| !report.addresses.is_empty());
    known
        .map(|(name, report)| {
            let host = RememberedHost {
                addresses: report.addresses,
                // Where only one family was ever answered, both never were at once.
                at: report.resolved_at.unwrap_or_else(SystemTime::now),
            };
            (name, host)
        })
        .collect()
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
