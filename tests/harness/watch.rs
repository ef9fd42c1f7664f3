//! Real Envoys under observation while something fails: what of a cluster was ever different from how it was before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::clusters::{self, Host};
use super::faults::Fault;
use super::http::{self, Response};

/// Between two looks at all Envoys. What comes and goes in between is found by Envoy's own count of changes.
const PAUSE: Duration = Duration::from_millis(100);

/// What an Envoy holds of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    hosts: BTreeMap<String, Host>,
    /// How many changes of its endpoints Envoy has counted; nothing while it has no such cluster.
    changes: Option<u64>,
}

/// A difference to what was held before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    Gone(String),
    Changed(String, String),
    New(String),
}

/// Envoys that are looked at, from before a fault on.
#[derive(Debug)]
pub struct Watch {
    fault: Fault,
    begun: Instant,
    looking: JoinHandle<anyhow::Result<Seen>>,
    end: oneshot::Sender<()>,
}

impl Watch {
    /// Looks at a cluster of the Envoys with these admin interfaces, again and again until [`Watch::end`].
    ///
    /// # Errors
    /// If one of them does not answer, or has no endpoint of it.
    pub async fn begin(
        fault: Fault,
        cluster: &str,
        envoys: impl IntoIterator<Item = SocketAddr>,
    ) -> anyhow::Result<Self> {
        let mut before = Vec::new();
        for admin in envoys {
            let held = held(admin, cluster).await?;
            anyhow::ensure!(
                !held.hosts.is_empty(),
                "the Envoy at {admin} has no endpoint of {cluster}"
            );
            before.push((admin, held));
        }
        let begun = Instant::now();
        let (end, ended) = oneshot::channel();
        Ok(Self {
            fault,
            begun,
            looking: tokio::spawn(look(fault, cluster.to_owned(), before, begun, ended)),
            end,
        })
    }

    /// How long it goes on already.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Ends it, after a last look.
    ///
    /// # Errors
    /// If an Envoy did not answer at one of the looks.
    pub async fn end(self) -> anyhow::Result<Seen> {
        // Where it ended by itself it has an error to tell.
        self.end.send(()).ok();
        self.looking.await.context("the watch of the Envoys panicked")?
    }
}

/// What was different at any time, and when at first.
#[derive(Debug)]
pub struct Seen {
    fault: Fault,
    envoys: usize,
    endpoints: usize,
    looks: usize,
    lasted: Duration,
    differences: BTreeMap<Difference, Duration>,
    /// The most changes that one Envoy counted.
    changes: u64,
}

impl Seen {
    /// Nothing was ever different, by any look and by Envoy's own count.
    pub fn nothing(&self) -> bool {
        self.differences.is_empty() && self.changes == 0
    }

    /// The endpoints that were missing in any Envoy at any time.
    pub fn gone(&self) -> BTreeSet<&str> {
        let gone = self.differences.keys().filter_map(|difference| match difference {
            Difference::Gone(endpoint) => Some(endpoint.as_str()),
            _ => None,
        });
        gone.collect()
    }

    /// When the first of them was.
    pub fn first_gone(&self) -> Option<Duration> {
        let gone = |difference: &Difference| matches!(difference, Difference::Gone(_));
        let all = self.differences.iter().filter(|(difference, _)| gone(difference));
        all.map(|(_, after)| *after).min()
    }

    /// Those that were not there before.
    pub fn added(&self) -> BTreeSet<&str> {
        let new = self.differences.keys().filter_map(|difference| match difference {
            Difference::New(endpoint) => Some(endpoint.as_str()),
            _ => None,
        });
        new.collect()
    }

    /// How many stayed, and became different.
    pub fn changed(&self) -> usize {
        self.differences.keys().filter_map(kind).count()
    }

    /// How many changes of its endpoints an Envoy counted: each came in an update of its own.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Writes the row of the fault: what Envoys saw, how it was noticed, and what came once it was over.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn record(&self, noticed: &str, over: &str) -> anyhow::Result<()> {
        self.fault.record([&self.words(), noticed, over])
    }

    /// What the Envoys saw, for people.
    fn words(&self) -> String {
        let Self { envoys, endpoints, .. } = self;
        let plural = if *endpoints == 1 { "" } else { "s" };
        let whose = format!("({envoys} Envoys, {endpoints} endpoint{plural})");
        let lasted = seconds(self.lasted);
        if self.nothing() {
            return format!("nothing, for {lasted} {whose}");
        }
        let mut parts = Vec::new();
        let mut part = |words: &str, is_one: &dyn Fn(&Difference) -> bool| {
            let found = self.differences.iter().filter(|(difference, _)| is_one(difference));
            let found: Vec<_> = found.map(|(_, after)| *after).collect();
            if let Some(first) = found.iter().min() {
                parts.push(format!("{} {words} after {}", found.len(), seconds(*first)));
            }
        };
        part("gone", &|difference| matches!(difference, Difference::Gone(_)));
        part("new", &|difference| matches!(difference, Difference::New(_)));
        let kinds: BTreeSet<_> = self.differences.keys().filter_map(kind).collect();
        for one in kinds {
            part(one, &|difference| kind(difference) == Some(one));
        }
        if parts.is_empty() {
            parts.push(format!("{} changes that no look saw", self.changes));
        }
        format!("{} {whose}", parts.join(", "))
    }
}

/// What became of an endpoint that is there before and after.
fn kind(difference: &Difference) -> Option<&str> {
    match difference {
        Difference::Changed(_, how) => Some(how),
        _ => None,
    }
}

/// A time as the page has it: another run has about the same.
pub fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        below if below < 1.0 => "less than 1 s".to_owned(),
        time => format!("{time:.0} s"),
    }
}

async fn held(admin: SocketAddr, cluster: &str) -> anyhow::Result<Held> {
    let mut all = clusters::parse(&http::get(admin, "/clusters?format=json").await?.ok()?)?;
    let hosts = all.remove(cluster).unwrap_or_default().into_iter();
    // In the names of statistics there are no colons.
    let name = format!("cluster.{}.membership_change: ", cluster.replace(':', "_"));
    let stats = http::get(admin, "/stats?filter=membership_change")
        .await
        .and_then(Response::ok)?;
    let changes = stats.lines().find_map(|line| line.strip_prefix(&name));
    Ok(Held {
        hosts: hosts
            .map(|host| (format!("{}:{}", host.address, host.port), host))
            .collect(),
        changes: changes.map(str::parse).transpose()?,
    })
}

async fn look(
    fault: Fault,
    cluster: String,
    before: Vec<(SocketAddr, Held)>,
    begun: Instant,
    mut ended: oneshot::Receiver<()>,
) -> anyhow::Result<Seen> {
    let endpoints: BTreeSet<_> = before.iter().flat_map(|(_, held)| held.hosts.keys()).collect();
    let mut seen = Seen {
        fault,
        envoys: before.len(),
        endpoints: endpoints.len(),
        looks: 0,
        lasted: Duration::ZERO,
        differences: BTreeMap::new(),
        changes: 0,
    };
    loop {
        let is_last = tokio::time::timeout(PAUSE, &mut ended).await.is_ok();
        for (admin, before) in &before {
            let now = held(*admin, &cluster).await?;
            seen.lasted = begun.elapsed();
            for difference in differences(&before.hosts, &now.hosts) {
                seen.differences.entry(difference).or_insert(seen.lasted);
            }
            let changes = now.changes.unwrap_or_default();
            let changes = changes.saturating_sub(before.changes.unwrap_or_default());
            seen.changes = seen.changes.max(changes);
        }
        seen.looks += 1;
        if is_last {
            return Ok(seen);
        }
    }
}

fn differences(before: &BTreeMap<String, Host>, now: &BTreeMap<String, Host>) -> Vec<Difference> {
    let mut found = Vec::new();
    for (name, old) in before {
        match now.get(name) {
            None => found.push(Difference::Gone(name.clone())),
            Some(new) if new != old => found.push(Difference::Changed(name.clone(), change(old, new))),
            Some(_) => {}
        }
    }
    let new = now.keys().filter(|name| !before.contains_key(*name));
    found.extend(new.cloned().map(Difference::New));
    found
}

fn change(old: &Host, new: &Host) -> String {
    if old.priority != new.priority {
        return format!("moved from priority {} to {}", old.priority, new.priority);
    }
    if old.weight != new.weight {
        return format!("moved from weight {} to {}", old.weight, new.weight);
    }
    "changed otherwise".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(address: &str, priority: u32) -> Host {
        Host {
            priority,
            region: String::new(),
            zone: String::new(),
            sub_zone: String::new(),
            address: address.to_owned(),
            port: 80,
            weight: 1,
            eds_health: "HEALTHY".to_owned(),
            health_flags: Vec::new(),
        }
    }

    fn hosts(all: &[Host]) -> BTreeMap<String, Host> {
        let named = all
            .iter()
            .map(|host| (format!("{}:{}", host.address, host.port), host.clone()));
        named.collect()
    }

    #[test]
    fn what_is_gone_or_changed_at_any_time_is_told_and_nothing_only_if_nothing_was() {
        let before = hosts(&[host("a", 0), host("b", 0), host("c", 0)]);
        let now = hosts(&[host("b", 1), host("c", 0), host("d", 0)]);
        assert!(differences(&before, &before).is_empty());
        let mut seen = Seen {
            fault: Fault::EtcdKilled,
            envoys: 4,
            endpoints: 3,
            looks: 600,
            lasted: Duration::from_millis(61_700),
            differences: BTreeMap::new(),
            changes: 0,
        };
        assert!(seen.nothing());
        assert_eq!(seen.words(), "nothing, for 62 s (4 Envoys, 3 endpoints)");
        // Between two looks.
        seen.changes = 2;
        assert!(!seen.nothing());
        assert_eq!(seen.words(), "2 changes that no look saw (4 Envoys, 3 endpoints)");
        let found = differences(&before, &now);
        seen.differences = found
            .into_iter()
            .map(|found| (found, Duration::from_secs(17)))
            .collect();
        let words =
            "1 gone after 17 s, 1 new after 17 s, 1 moved from priority 0 to 1 after 17 s (4 Envoys, 3 endpoints)";
        assert_eq!(seen.words(), words);
        assert_eq!((seen.gone(), seen.added()), (["a:80"].into(), ["d:80"].into()));
    }
}
