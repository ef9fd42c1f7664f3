//! How each member is doing: what admin shows and readiness waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use tokio::sync::watch;

use crate::model::{ClusterId, ObjectName};
use crate::table::Kind;

use super::metrics::{ByKind, ByMember, RegistryMetrics};
use super::{MemberSource, Problem};

/// How many problems of a member are told; the others are counted.
const MOST_PROBLEMS: usize = 100;
/// The reason of a member that is new.
const READING: &str = "reading it for the first time";
/// The reason of a member that is only remembered.
const REMEMBERED: &str = "not read since the start; what was known of it is served";

/// Whether what is held of a member is up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberState {
    /// Nothing of it is known yet.
    Connecting {
        /// Since when.
        since: SystemTime,
        /// What is being waited for, or why it fails.
        reason: String,
    },
    /// Everything is known and changes arrive.
    Synced,
    /// It was synced, in this life of the process or before, and cannot be read now. What was known of it is kept.
    Stale {
        /// Since when.
        since: SystemTime,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting { reason, .. } => write!(f, "connecting: {reason}"),
            Self::Synced => f.write_str("synced"),
            Self::Stale { reason, .. } => write!(f, "stale: {reason}"),
        }
    }
}

/// One member, as a person asks for it.
#[derive(Debug, Clone)]
pub struct MemberReport {
    /// Its name.
    pub name: ClusterId,
    /// Where it is read from.
    pub source: MemberSource,
    /// Whether what is held of it is up to date.
    pub state: MemberState,
    /// It was synced at least once since the start.
    pub synced_once: bool,
    /// When it last told of an object.
    pub last_event: Option<SystemTime>,
    /// The version of its API server.
    pub server_version: Option<String>,
    /// How many objects of each kind are held.
    pub counts: BTreeMap<Kind, usize>,
    /// What is wrong in it, sorted, 100 at most.
    pub problems: Vec<Problem>,
    /// How much is wrong in it altogether.
    pub problem_count: usize,
    /// How many objects it told of since the start, in lists and in changes.
    pub events_total: u64,
}

/// What problems are filed under, so that those of an object end with their cause.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// One object.
    Object(Kind, ObjectName),
    /// Objects of a kind that have no name.
    Nameless(Kind),
    /// Everything in a folder.
    Folder,
}

#[derive(Debug)]
struct Entry {
    source: MemberSource,
    state: MemberState,
    synced_once: bool,
    /// It was known before the start.
    remembered: bool,
    last_event: Option<SystemTime>,
    server_version: Option<String>,
    counts: BTreeMap<Kind, usize>,
    problems: BTreeMap<Topic, Vec<Problem>>,
    problem_count: usize,
    events_total: u64,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Mutex<BTreeMap<ClusterId, Entry>>,
    general: Mutex<BTreeMap<PathBuf, Vec<Problem>>>,
    /// Members known before the start, and when they last said something.
    remembered: Mutex<BTreeMap<ClusterId, SystemTime>>,
    synced: watch::Sender<BTreeSet<ClusterId>>,
    metrics: RegistryMetrics,
}

/// All members. Clones share what they know.
#[derive(Debug, Clone, Default)]
pub struct Members {
    inner: Arc<Inner>,
}

impl Members {
    /// No members yet; counts into `metrics`.
    #[must_use]
    pub fn new(metrics: RegistryMetrics) -> Self {
        Self {
            inner: Arc::new(Inner {
                metrics,
                ..Inner::default()
            }),
        }
    }

    /// All members, by name.
    #[must_use]
    pub fn list(&self) -> Vec<MemberReport> {
        let entries = self.entries();
        entries.iter().map(|(name, entry)| entry.report(name)).collect()
    }

    /// One member.
    #[must_use]
    pub fn get(&self, name: &ClusterId) -> Option<MemberReport> {
        self.entries().get(name).map(|entry| entry.report(name))
    }

    /// What is wrong with folders of members, outside of each member.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let general = lock(&self.inner.general);
        general.values().flatten().cloned().collect()
    }

    /// Notes, before it is read, that a member's objects of this age are being served.
    pub fn remember(&self, name: &ClusterId, at: SystemTime) {
        lock(&self.inner.remembered).insert(name.clone(), at);
    }

    /// Returns once the member was synced, at once if it was already. Without a limit: the caller sets a deadline.
    pub async fn wait_synced(&self, name: &ClusterId) {
        let mut synced = self.inner.synced.subscribe();
        // The sender lives in `self`, so it can't be gone.
        let _ = synced.wait_for(|synced| synced.contains(name)).await;
    }

    /// Adds a member, and hands out the only way to write its status. `None` when the name is taken.
    pub(super) fn join(&self, name: &ClusterId, source: &MemberSource) -> Option<MemberStatus> {
        let mut entries = self.entries();
        if entries.contains_key(name) {
            return None;
        }
        let remembered = lock(&self.inner.remembered).get(name).copied();
        let state = match remembered {
            Some(since) => MemberState::Stale {
                since,
                reason: REMEMBERED.to_owned(),
            },
            None => MemberState::Connecting {
                since: SystemTime::now(),
                reason: READING.to_owned(),
            },
        };
        let entry = Entry {
            source: source.clone(),
            state,
            synced_once: false,
            remembered: remembered.is_some(),
            last_event: remembered,
            server_version: None,
            counts: Kind::ALL.map(|kind| (kind, 0)).into(),
            problems: BTreeMap::new(),
            problem_count: 0,
            events_total: 0,
        };
        entries.insert(name.clone(), entry);
        let metrics = &self.inner.metrics;
        metrics.synced.get_or_create(&ByMember::new(name)).set(0);
        Some(MemberStatus {
            name: name.clone(),
            members: self.clone(),
        })
    }

    /// Adds a member, or goes on with one that is read from elsewhere now.
    pub(super) fn join_again(&self, name: &ClusterId, source: &MemberSource) -> MemberStatus {
        if let Some(entry) = self.entries().get_mut(name) {
            entry.source = source.clone();
            return MemberStatus {
                name: name.clone(),
                members: self.clone(),
            };
        }
        self.join(name, source).expect("nobody else adds members of this name")
    }

    /// Takes a member out.
    pub(super) fn leave(&self, name: &ClusterId) {
        self.entries().remove(name);
        self.inner.metrics.forget(name);
        self.inner.synced.send_if_modified(|synced| synced.remove(name));
    }

    /// Notes what is wrong with a place where members are listed: a folder, or the Secrets of a namespace.
    pub(super) fn set_problems(&self, folder: &std::path::Path, problems: Vec<Problem>) {
        let mut general = lock(&self.inner.general);
        let earlier = general.insert(folder.to_owned(), problems.clone());
        log_new(None, earlier.as_deref().unwrap_or_default(), &problems);
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<ClusterId, Entry>> {
        lock(&self.inner.entries)
    }
}

/// A panic elsewhere must not take the status with it: each change below leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Entry {
    fn report(&self, name: &ClusterId) -> MemberReport {
        MemberReport {
            name: name.clone(),
            source: self.source.clone(),
            state: self.state.clone(),
            synced_once: self.synced_once,
            last_event: self.last_event,
            server_version: self.server_version.clone(),
            counts: self.counts.clone(),
            problems: self.problems.values().flatten().take(MOST_PROBLEMS).cloned().collect(),
            problem_count: self.problem_count,
            events_total: self.events_total,
        }
    }
}

/// Writes the status of one member.
#[derive(Debug)]
pub(super) struct MemberStatus {
    name: ClusterId,
    members: Members,
}

impl MemberStatus {
    /// Everything of the member is known and changes arrive.
    pub(super) fn synced(&self) {
        self.change(|entry| {
            if entry.state != MemberState::Synced {
                tracing::info!(member = %self.name, source = %entry.source, "member is synced");
            }
            entry.state = MemberState::Synced;
            entry.synced_once = true;
        });
        let metrics = &self.members.inner.metrics;
        metrics.synced.get_or_create(&ByMember::new(&self.name)).set(1);
        self.members
            .inner
            .synced
            .send_if_modified(|synced| synced.insert(self.name.clone()));
    }

    /// The member can't be read at present.
    pub(super) fn failing(&self, reason: impl Into<String>) {
        let reason = super::problem::shorten(reason.into());
        self.change(|entry| {
            let now = SystemTime::now();
            let (since, known) = match &entry.state {
                MemberState::Connecting { since, reason } | MemberState::Stale { since, reason } => {
                    (*since, Some(reason))
                }
                MemberState::Synced => (now, None),
            };
            if known != Some(&reason) {
                tracing::warn!(member = %self.name, source = %entry.source, %reason, "member can't be read, what is known of it is kept");
            }
            entry.state = match entry.synced_once || entry.remembered {
                true => MemberState::Stale { since, reason },
                false => MemberState::Connecting { since, reason },
            };
        });
        let metrics = &self.members.inner.metrics;
        metrics.synced.get_or_create(&ByMember::new(&self.name)).set(0);
    }

    /// An attempt to read the member failed.
    pub(super) fn count_failure(&self) {
        let failures = &self.members.inner.metrics.failures;
        failures.get_or_create(&ByMember::new(&self.name)).inc();
    }

    /// Nothing fails at present, though not everything was read yet.
    pub(super) fn reading(&self) {
        self.change(|entry| {
            if let MemberState::Connecting { reason, .. } = &mut entry.state {
                READING.clone_into(reason);
            }
        });
    }

    /// The member told of this many objects of a kind.
    pub(super) fn told(&self, kind: Kind, objects: u64) {
        self.change(|entry| {
            entry.last_event = Some(SystemTime::now());
            entry.events_total += objects;
        });
        let events = &self.members.inner.metrics.events;
        events.get_or_create(&ByKind::new(&self.name, kind)).inc_by(objects);
    }

    /// This many objects of a kind are held now.
    pub(super) fn holds(&self, kind: Kind, objects: usize) {
        self.change(|entry| {
            entry.counts.insert(kind, objects);
        });
        let gauges = &self.members.inner.metrics.objects;
        gauges
            .get_or_create(&ByKind::new(&self.name, kind))
            .set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    /// The version of the member's API server.
    pub(super) fn server_version(&self, version: String) {
        self.change(|entry| entry.server_version = Some(version));
    }

    /// What is wrong under a topic now, in place of what was before.
    pub(super) fn problems(&self, topic: Topic, problems: Vec<Problem>) {
        self.change(|entry| {
            let earlier = match problems.is_empty() {
                true => entry.problems.remove(&topic),
                false => entry.problems.insert(topic, problems.clone()),
            };
            let earlier = earlier.unwrap_or_default();
            entry.problem_count = entry.problem_count + problems.len() - earlier.len();
            if entry.problem_count <= MOST_PROBLEMS {
                log_new(Some(&self.name), &earlier, &problems);
            }
            self.count_problems(entry.problem_count);
        });
    }

    /// Forgets the problems of a kind's objects, except those that `keep` names: the others are gone.
    pub(super) fn forget_problems(&self, kind: Kind, keep: &BTreeSet<Topic>) {
        self.change(|entry| {
            entry.problems.retain(|topic, _| match topic {
                Topic::Object(of, _) | Topic::Nameless(of) => *of != kind || keep.contains(topic),
                Topic::Folder => true,
            });
            entry.problem_count = entry.problems.values().map(Vec::len).sum();
            self.count_problems(entry.problem_count);
        });
    }

    fn count_problems(&self, count: usize) {
        let gauges = &self.members.inner.metrics.problems;
        gauges
            .get_or_create(&ByMember::new(&self.name))
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn change(&self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.members.entries().get_mut(&self.name) {
            change(entry);
        }
    }
}

/// Tells of a problem when it appears, once.
fn log_new(member: Option<&ClusterId>, earlier: &[Problem], problems: &[Problem]) {
    for problem in problems.iter().filter(|problem| !earlier.contains(problem)) {
        match member {
            Some(member) => tracing::warn!(%member, "{problem}"),
            None => tracing::warn!("{problem}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;

    fn members() -> (Members, MemberStatus, Registry) {
        let mut registry = Registry::default();
        let members = Members::new(RegistryMetrics::register(&mut registry));
        let status = members.join(&ClusterId::new("east").unwrap(), &MemberSource::InCluster);
        (members, status.unwrap(), registry)
    }

    fn report(members: &Members) -> MemberReport {
        members.list().remove(0)
    }

    #[test]
    fn a_member_is_connecting_then_synced_then_stale_and_since_does_not_move() {
        let (members, status, _) = members();
        let MemberState::Connecting { since, .. } = report(&members).state else {
            panic!("{:?}", report(&members).state);
        };
        status.failing("no route");
        let reason = "no route".to_owned();
        assert_eq!(report(&members).state, MemberState::Connecting { since, reason });
        status.synced();
        assert_eq!(
            (report(&members).state, report(&members).synced_once),
            (MemberState::Synced, true)
        );
        status.failing("no route");
        let stale = report(&members).state;
        let MemberState::Stale { since, .. } = stale else {
            panic!("{stale:?}");
        };
        status.failing("still none");
        let reason = "still none".to_owned();
        assert_eq!(report(&members).state, MemberState::Stale { since, reason });
        assert!(report(&members).synced_once);
    }

    #[test]
    fn problems_are_bounded_counted_and_end_with_their_cause() {
        let (members, status, _) = members();
        let topic = |at: usize| Topic::Object(Kind::Pod, ObjectName::new("shop", &format!("p{at}")));
        let problem = Problem::new("Pod", "is wrong", "correct it");
        for at in 0..150 {
            status.problems(topic(at), vec![problem.clone(); 2]);
        }
        assert_eq!(
            (report(&members).problems.len(), report(&members).problem_count),
            (100, 300)
        );
        status.problems(topic(0), vec![problem.clone()]);
        status.problems(topic(1), Vec::new());
        assert_eq!(report(&members).problem_count, 297);
        status.problems(Topic::Nameless(Kind::Node), vec![problem]);
        status.forget_problems(Kind::Pod, &BTreeSet::from([topic(5)]));
        assert_eq!(report(&members).problem_count, 3);
    }

    #[test]
    fn metrics_follow_the_status() {
        let (_members, status, registry) = members();
        status.told(Kind::Pod, 7);
        status.holds(Kind::Pod, 5);
        status.count_failure();
        status.synced();
        status.problems(Topic::Folder, vec![Problem::new("a", "b", "c")]);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "registry_events_total{member=\"east\",kind=\"Pod\"} 7",
            "registry_objects{member=\"east\",kind=\"Pod\"} 5",
            "registry_failures_total{member=\"east\"} 1",
            "registry_synced{member=\"east\"} 1",
            "registry_problems{member=\"east\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[tokio::test]
    async fn whoever_waits_for_a_member_is_told_once_it_is_synced() {
        let (members, status, _) = members();
        let name = ClusterId::new("east").unwrap();
        let mut waiting = std::pin::pin!(members.wait_synced(&name));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        status.synced();
        waiting.await;
        members.wait_synced(&name).await;
    }
}
