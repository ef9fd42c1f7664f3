//! Host names of gateways: load balancers that have a name instead of an address, and names in the settings.
//!
//! Each name is looked up once, however many use it, and again when its answer has run out. What a server can't be asked about
//! stays as it was: the last good answer is better than none, and its age is shown.

mod host;
mod lookup;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::SystemTime;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::model::HostName;
use crate::table::{HostSink, Resolved};
use host::{Host, Outcome};

pub use report::{HostReport, Hosts, HostsCollector};

/// So many names are looked up at a time.
const AT_ONCE: usize = 16;
/// More names than these are not looked up: somebody makes them up.
const MOST_HOSTS: usize = 1_000;

/// Looks the wanted names up until cancelled, and tells `sink` what they lead to. `remembered`: what is known from before the
/// start, which counts at once. `servers`: who is asked; those of the system where there are none.
pub async fn run_hosts(
    wanted: watch::Receiver<Arc<BTreeSet<HostName>>>,
    remembered: BTreeMap<HostName, HostReport>,
    servers: Vec<SocketAddr>,
    sink: Arc<dyn HostSink>,
    hosts: Hosts,
    cancel: CancellationToken,
) {
    let servers: Arc<[SocketAddr]> = servers.into();
    let look_up = move |host: HostName| {
        let servers = Arc::clone(&servers);
        async move { lookup::look_up(&host, &servers).await }
    };
    cancel
        .run_until_cancelled(run(wanted, remembered, look_up, sink, hosts))
        .await;
}

/// What became of one name.
type Answer = (HostName, Outcome, Outcome);

async fn run<F>(
    mut wanted: watch::Receiver<Arc<BTreeSet<HostName>>>,
    mut remembered: BTreeMap<HostName, HostReport>,
    look_up: impl Fn(HostName) -> F,
    sink: Arc<dyn HostSink>,
    hosts: Hosts,
) where
    F: Future<Output = (Outcome, Outcome)> + Send + 'static,
{
    let mut known: BTreeMap<HostName, Host> = BTreeMap::new();
    let mut due: BTreeSet<(Instant, HostName)> = BTreeSet::new();
    let mut running: JoinSet<Answer> = JoinSet::new();
    let mut is_changed = true;
    loop {
        if std::mem::take(&mut is_changed) {
            let now_wanted = Arc::clone(&wanted.borrow_and_update());
            follow(&now_wanted, &mut known, &mut due, &*sink);
            hosts.keep(&known);
            recall(&mut remembered, &mut known, &*sink, &hosts);
        }
        let now = Instant::now();
        while running.len() < AT_ONCE
            && let Some((_, host)) = pop_due(&mut due, now)
        {
            let asking = look_up(host.clone());
            running.spawn(async move {
                // A bug in it must not lose the name: it is due again as after any failure.
                let broke_off = || Outcome::Failed("the lookup broke off; the log says where".to_owned());
                let answer = AssertUnwindSafe(asking).catch_unwind().await;
                let (v4, v6) = answer.unwrap_or_else(|_| (broke_off(), broke_off()));
                (host, v4, v6)
            });
        }
        let next = due.first().map(|(at, _)| *at).filter(|_| running.len() < AT_ONCE);
        tokio::select! {
            changed = wanted.changed() => match changed {
                Ok(()) => is_changed = true,
                // Nobody wants anything any more.
                Err(_) => return,
            },
            Some(answer) = running.join_next() => {
                let (name, v4, v6) = answer.expect("it is not aborted, and panics are caught");
                // It may be gone from the wanted ones meanwhile.
                if let Some(host) = known.get_mut(&name) {
                    let wait = answered(&name, host, v4, v6, &*sink, &hosts);
                    due.insert((Instant::now() + wait, name));
                }
            }
            () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
        }
    }
}

fn pop_due(due: &mut BTreeSet<(Instant, HostName)>, now: Instant) -> Option<(Instant, HostName)> {
    match due.first() {
        Some((at, _)) if *at <= now => due.pop_first(),
        _ => None,
    }
}

/// Forgets names that nobody wants any more, and has new ones looked up at once.
fn follow(
    wanted: &BTreeSet<HostName>,
    known: &mut BTreeMap<HostName, Host>,
    due: &mut BTreeSet<(Instant, HostName)>,
    sink: &dyn HostSink,
) {
    known.retain(|name, _| wanted.contains(name));
    due.retain(|(_, name)| wanted.contains(name));
    let mut refused = BTreeMap::new();
    for name in wanted {
        if known.contains_key(name) {
            continue;
        }
        if known.len() >= MOST_HOSTS {
            let why = format!("more than {MOST_HOSTS} host names are wanted; it is not looked up");
            refused.insert(name.clone(), Resolved::Nothing(why.into()));
            continue;
        }
        known.insert(name.clone(), Host::new());
        due.insert((Instant::now(), name.clone()));
    }
    if !refused.is_empty() {
        tracing::warn!(
            names = refused.len(),
            "too many host names of gateways; some are not looked up"
        );
        sink.resolved(refused);
    }
}

/// Has wanted names lead to what they did before the start, before anybody was asked.
fn recall(
    remembered: &mut BTreeMap<HostName, HostReport>,
    known: &mut BTreeMap<HostName, Host>,
    sink: &dyn HostSink,
    hosts: &Hosts,
) {
    let mut recalled = BTreeMap::new();
    for (name, host) in known {
        let Some(report) = remembered.remove(name) else {
            continue;
        };
        *host = Host::remembered(&report.addresses, report.resolved_at);
        // It is due already.
        hosts.note(name, host, SystemTime::now());
        recalled.insert(name.clone(), host.resolved());
    }
    if !recalled.is_empty() {
        tracing::info!(
            names = recalled.len(),
            "host names of gateways lead to what they did before the start, until they are looked up"
        );
        sink.resolved(recalled);
    }
}

fn answered(
    name: &HostName,
    host: &mut Host,
    v4: Outcome,
    v6: Outcome,
    sink: &dyn HostSink,
    hosts: &Hosts,
) -> std::time::Duration {
    let before = host.problem.as_ref().map(|(problem, _)| problem.clone());
    let wait = host.answered(v4, v6, Instant::now(), SystemTime::now());
    match &host.problem {
        Some((problem, _)) if before.as_ref() != Some(problem) => {
            let kept = host.addresses().len();
            tracing::warn!(host = %name, %problem, kept, "a gateway's host name can't be looked up; what is known stays");
        }
        None if before.is_some() => tracing::info!(host = %name, "a gateway's host name is looked up again"),
        _ => {}
    }
    hosts.note(name, host, SystemTime::now() + wait);
    // The same as before changes nothing.
    sink.resolved(BTreeMap::from([(name.clone(), host.resolved())]));
    wait
}
