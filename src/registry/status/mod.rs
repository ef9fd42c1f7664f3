//! How each member is doing: what admin shows and readiness waits for.

mod member;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::model::{ClusterId, MemberStanding, ObjectName, Rank};
use crate::table::Kind;

use super::kubernetes::Fingerprint;
use super::metrics::{ByKind, ByMember, RegistryMetrics};
use super::{Attachment, Expiry, MemberOptions, MemberSource, Problem};

pub(super) use member::{MemberStatus, Voice};
pub use report::{KindReport, KindState, MemberReport, MemberState};

/// How many problems of a member are told; the others are counted.
const MOST_PROBLEMS: usize = 100;
/// The problems of so many objects are remembered: a member may be wrong altogether.
const MOST_TOPICS: usize = 5_000;
/// The reason of a member that is new.
const READING: &str = "reading it for the first time";
/// The reason of a member that is read again after it was away.
const CATCHING_UP: &str = "it is there again, and what was missed is being read";
/// The reason of a member that is only remembered.
const REMEMBERED: &str = "not read since the start; what was known of it is served";

/// What problems are filed under, so that those of an object end with their cause.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// One object.
    Object(Kind, ObjectName),
    /// Objects of a kind that have no name.
    Nameless(Kind),
    /// All objects of a kind.
    Kind(Kind),
    /// What a kind is read without.
    Lacking(Kind),
    /// Everything in a folder.
    Folder,
    /// How fast the member changes.
    Pace,
}

#[derive(Debug)]
struct Entry {
    source: MemberSource,
    options: watch::Sender<MemberOptions>,
    state: MemberState,
    /// Since when it is stale, by the clock that goes on evenly; what the policy for stale members goes by.
    stale: watch::Sender<Option<Instant>>,
    confirmed: Option<SystemTime>,
    /// The same by the clock that goes on evenly; nothing before the first good word since the start.
    heard: Option<Instant>,
    heartbeat: Option<Duration>,
    standing: MemberStanding,
    kinds: BTreeMap<Kind, KindReport>,
    synced_once: bool,
    /// It was known before the start.
    remembered: bool,
    last_event: Option<SystemTime>,
    server_version: Option<String>,
    /// Which cluster it is, by the word of the reader in use.
    fingerprint: Option<Fingerprint>,
    credentials: Vec<Expiry>,
    counts: BTreeMap<Kind, usize>,
    problems: BTreeMap<Topic, Vec<Problem>>,
    problem_count: usize,
    events_total: u64,
}

/// How long a member that can't be reached is waited for at the start: as long as one attempt to connect takes at most.
const GIVE_UP: Duration = Duration::from_secs(3);

/// Why a member need not be waited for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Everything of it is known.
    Synced,
    /// It can't be reached, or does not let us in.
    Unreached,
}

/// What is served of a member from before the start.
#[derive(Debug, Clone)]
struct Before {
    /// When it last said something.
    at: SystemTime,
    /// How many objects of each kind are served.
    counts: BTreeMap<Kind, usize>,
    standing: MemberStanding,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Mutex<BTreeMap<ClusterId, Entry>>,
    general: Mutex<BTreeMap<PathBuf, Vec<Problem>>>,
    /// Members known before the start.
    remembered: Mutex<BTreeMap<ClusterId, Before>>,
    attachments: Mutex<Vec<Attachment>>,
    synced: watch::Sender<BTreeSet<ClusterId>>,
    /// Members whose last attempt to connect failed.
    unreached: watch::Sender<BTreeSet<ClusterId>>,
    /// How many names became free since the start.
    freed: watch::Sender<u64>,
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
        let remembered = lock(&self.inner.remembered);
        let mut all: BTreeMap<_, _> = remembered
            .iter()
            .map(|(name, before)| (name, before.report(name)))
            .collect();
        all.extend(entries.iter().map(|(name, entry)| (name, entry.report(name))));
        all.into_values().collect()
    }

    /// One member that is being read.
    #[must_use]
    pub fn get(&self, name: &ClusterId) -> Option<MemberReport> {
        self.entries().get(name).map(|entry| entry.report(name))
    }

    /// The members that have an API server.
    pub(super) fn with_api_server(&self) -> Vec<ClusterId> {
        let entries = self.entries();
        let served = entries
            .iter()
            .filter(|(_, entry)| !matches!(entry.source, MemberSource::Folder { .. }));
        served.map(|(name, _)| name.clone()).collect()
    }

    /// Where a member is read from.
    pub(super) fn source(&self, name: &ClusterId) -> Option<MemberSource> {
        self.entries().get(name).map(|entry| entry.source.clone())
    }

    /// Which cluster a member is, where its reader found out.
    pub(super) fn fingerprint(&self, name: &ClusterId) -> Option<Fingerprint> {
        self.entries().get(name)?.fingerprint.clone()
    }

    /// What is wrong with folders of members, outside of each member.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let general = lock(&self.inner.general);
        general.values().flatten().cloned().collect()
    }

    /// Notes, before it is read, that so many objects of a member, of this age, are being served, and what they count.
    pub fn remember(&self, name: &ClusterId, at: SystemTime, counts: BTreeMap<Kind, usize>, standing: MemberStanding) {
        let before = Before { at, counts, standing };
        lock(&self.inner.remembered).insert(name.clone(), before);
        let synced = &self.inner.metrics.synced;
        synced.get_or_create(&ByMember::new(name)).set(0);
    }

    /// Notes that the endpoints of a member that nobody reads yet have this rank now, and what they count with it. `None` where
    /// somebody reads it, whose word counts, or where it is forgotten.
    pub(super) fn remembered_stands(&self, name: &ClusterId, rank: Rank) -> Option<MemberStanding> {
        let entries = self.entries();
        let mut remembered = lock(&self.inner.remembered);
        let before = remembered.get_mut(name).filter(|_| !entries.contains_key(name))?;
        before.standing.rank = rank;
        Some(before.standing)
    }

    /// Returns once the member was synced, at once if it was already. Without a limit: the caller sets a deadline.
    pub async fn wait_synced(&self, name: &ClusterId) {
        let mut synced = self.inner.synced.subscribe();
        // The sender lives in `self`, so it can't be gone.
        let _ = synced.wait_for(|synced| synced.contains(name)).await;
    }

    /// Returns once the member was synced, or could not be reached in its first seconds: one that is there and is being read
    /// is worth waiting for, one that is dead is not. Without a limit: the caller sets a deadline.
    pub async fn wait_settled(&self, name: &ClusterId) -> Settled {
        let given_up = async {
            tokio::time::sleep(GIVE_UP).await;
            let mut unreached = self.inner.unreached.subscribe();
            let _ = unreached.wait_for(|unreached| unreached.contains(name)).await;
        };
        tokio::select! {
            biased;
            () = self.wait_synced(name) => Settled::Synced,
            () = given_up => Settled::Unreached,
        }
    }

    /// Changes how a member is treated while it is read; false where there is none of this name.
    pub fn reconfigure(&self, name: &ClusterId, options: MemberOptions) -> bool {
        match self.entries().get(name) {
            Some(entry) => {
                entry.options.send_if_modified(|current| {
                    let differs = *current != options;
                    *current = options;
                    differs
                });
                true
            }
            None => false,
        }
    }

    /// Adds a member, and hands out the only way to write its status. `None` when the name is taken.
    pub(super) fn join(&self, name: &ClusterId, source: &MemberSource, options: MemberOptions) -> Option<MemberStatus> {
        let mut entries = self.entries();
        if entries.contains_key(name) {
            return None;
        }
        let before = lock(&self.inner.remembered).get(name).cloned();
        let remembered = before.as_ref().map(|before| before.at);
        let standing = before.as_ref().map(|before| before.standing).unwrap_or_default();
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
            options: watch::Sender::new(options),
            state,
            // How long we were away says nothing of the member: its time begins now.
            stale: watch::Sender::new(remembered.map(|_| Instant::now())),
            confirmed: remembered,
            heard: None,
            heartbeat: None,
            standing,
            kinds: Kind::ALL.map(|kind| (kind, unseen(remembered))).into(),
            synced_once: false,
            remembered: remembered.is_some(),
            last_event: remembered,
            server_version: None,
            fingerprint: None,
            credentials: Vec::new(),
            counts: before.map_or_else(|| Kind::ALL.map(|kind| (kind, 0)).into(), |before| before.counts),
            problems: BTreeMap::new(),
            problem_count: 0,
            events_total: 0,
        };
        entries.insert(name.clone(), entry);
        let metrics = &self.inner.metrics;
        metrics.synced.get_or_create(&ByMember::new(name)).set(0);
        Some(MemberStatus::new(name, self))
    }

    /// Shows of a member what `aside` shows of it: its reader is another now.
    fn adopt(&self, name: &ClusterId, aside: &Self) {
        let Some(said) = aside.entries().remove(name) else {
            return;
        };
        for (kind, report) in &said.kinds {
            let connected = i64::from(report.state == KindState::Connected);
            let gauges = &self.inner.metrics.connected;
            gauges.get_or_create(&ByKind::new(name, *kind)).set(connected);
        }
        if let Some(entry) = self.entries().get_mut(name) {
            entry.kinds = said.kinds;
            entry.problems = said.problems;
            entry.problem_count = said.problem_count;
            entry.credentials = said.credentials;
            entry.heartbeat = said.heartbeat.or(entry.heartbeat);
            entry.server_version = said.server_version.or(entry.server_version.take());
        }
    }

    /// Notes that a member is read from elsewhere now.
    pub(super) fn moved(&self, name: &ClusterId, source: &MemberSource) {
        if let Some(entry) = self.entries().get_mut(name) {
            entry.source = source.clone();
        }
    }

    /// Goes on with a member that is read from elsewhere now. What is held of it stays, and its state until its new reader says
    /// otherwise; what the old reader said of itself goes, since the new one may never speak of it.
    pub(super) fn join_again(&self, name: &ClusterId, source: &MemberSource, options: MemberOptions) -> MemberStatus {
        if let Some(entry) = self.entries().get_mut(name) {
            entry.source = source.clone();
            entry.kinds = Kind::ALL.map(|kind| (kind, unseen(entry.confirmed))).into();
            entry.problems.clear();
            entry.problem_count = 0;
            entry.credentials.clear();
            entry.heartbeat = None;
            entry.server_version = None;
            entry.fingerprint = None;
        }
        self.inner.metrics.forget_source(name);
        self.inner
            .unreached
            .send_if_modified(|unreached| unreached.remove(name));
        self.reconfigure(name, options);
        MemberStatus::new(name, self)
    }

    /// Notes what became of the `Member` objects.
    pub(super) fn set_attachments(&self, attachments: Vec<Attachment>) {
        *lock(&self.inner.attachments) = attachments;
    }

    /// The `Member` objects of the home cluster and what became of them, by name.
    #[must_use]
    pub fn attachments(&self) -> Vec<Attachment> {
        lock(&self.inner.attachments).clone()
    }

    /// Ends what is served of a member from before the start, if nobody reads one of this name by now; `gone` is called then,
    /// and nobody joins under this name before it returns.
    pub(super) fn forget_remembered(&self, name: &ClusterId, gone: impl FnOnce()) {
        let entries = self.entries();
        if !entries.contains_key(name) {
            gone();
            self.inner.metrics.forget(name);
            lock(&self.inner.remembered).remove(name);
        }
    }

    /// Changes whenever a name becomes free.
    pub(super) fn freed(&self) -> watch::Receiver<u64> {
        self.inner.freed.subscribe()
    }

    /// Takes a member out.
    pub(super) fn leave(&self, name: &ClusterId) {
        {
            let mut entries = self.entries();
            entries.remove(name);
            self.inner.metrics.forget(name);
            lock(&self.inner.remembered).remove(name);
            self.inner.synced.send_if_modified(|synced| synced.remove(name));
            self.inner
                .unreached
                .send_if_modified(|unreached| unreached.remove(name));
        }
        self.inner.freed.send_modify(|freed| *freed += 1);
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

impl Before {
    /// Of a member that nobody reads yet.
    fn report(&self, name: &ClusterId) -> MemberReport {
        MemberReport {
            name: name.clone(),
            source: MemberSource::Remembered,
            options: MemberOptions {
                weight: self.standing.weight,
                ..MemberOptions::default()
            },
            state: MemberState::Stale {
                since: self.at,
                reason: REMEMBERED.to_owned(),
            },
            confirmed: Some(self.at),
            heartbeat: None,
            standing: self.standing,
            kinds: Kind::ALL.map(|kind| (kind, unseen(Some(self.at)))).into(),
            synced_once: false,
            last_event: Some(self.at),
            server_version: None,
            credentials: Vec::new(),
            counts: self.counts.clone(),
            problems: Vec::new(),
            problem_count: 0,
            events_total: 0,
        }
    }
}

/// A kind that nothing was heard of yet, but for what was known before the start.
fn unseen(remembered: Option<SystemTime>) -> KindReport {
    KindReport {
        state: match remembered {
            Some(since) => KindState::CatchingUp { since },
            None => KindState::NeverSeen,
        },
        heard: remembered,
        held_back: 0,
    }
}

impl Entry {
    fn report(&self, name: &ClusterId) -> MemberReport {
        MemberReport {
            name: name.clone(),
            source: self.source.clone(),
            options: self.options.borrow().clone(),
            state: self.state.clone(),
            confirmed: self.confirmed,
            heartbeat: self.heartbeat,
            standing: self.standing,
            kinds: self.kinds.clone(),
            synced_once: self.synced_once,
            last_event: self.last_event,
            server_version: self.server_version.clone(),
            credentials: self.credentials.clone(),
            counts: self.counts.clone(),
            problems: self.problems.values().flatten().take(MOST_PROBLEMS).cloned().collect(),
            problem_count: self.problem_count,
            events_total: self.events_total,
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
