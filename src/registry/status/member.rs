//! What the reader of a member says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use super::super::kubernetes::Fingerprint;
use super::super::metrics::{ByCredential, ByKind, ByMember};
use super::super::problem::shorten;
use super::super::{Credential, Expiry, MemberOptions, Problem};
use super::{
    CATCHING_UP, Entry, Inner, KindReport, KindState, MOST_PROBLEMS, MOST_TOPICS, MemberState, Members, READING, Topic,
    log_new,
};
use crate::model::{ClusterId, MemberStanding, Rank};
use crate::table::Kind;

/// Writes the status of one member.
#[derive(Debug)]
pub(in super::super) struct MemberStatus {
    name: ClusterId,
    members: Members,
    /// Whose words are shown: of two readers of a member only one is.
    shown: Arc<AtomicBool>,
    /// Where the words of the other go.
    aside: Members,
}

/// Whether what a reader says of its member is shown. Clones are the same.
#[derive(Debug, Clone)]
pub(in super::super) struct Voice {
    shown: Arc<AtomicBool>,
    name: ClusterId,
    members: Members,
    aside: Members,
}

impl Voice {
    /// From now on what its reader says is shown, with what it has said so far, and what the other says no longer.
    pub(in super::super) fn take_over(&self, from: &Self) {
        from.shown.store(false, Ordering::Release);
        self.members.adopt(&self.name, &self.aside);
        self.shown.store(true, Ordering::Release);
    }
}

impl MemberStatus {
    pub(super) fn new(name: &ClusterId, members: &Members) -> Self {
        Self {
            name: name.clone(),
            members: members.clone(),
            shown: Arc::new(AtomicBool::new(true)),
            aside: Members::default(),
        }
    }

    /// For a second reader of a member of `members`. What it says is shown in `aside` until its voice is set.
    pub(in super::super) fn of_second(name: &ClusterId, members: &Members, aside: &Members) -> Self {
        let status = Self {
            aside: aside.clone(),
            ..Self::new(name, members)
        };
        status.shown.store(false, Ordering::Release);
        status
    }

    pub(in super::super) fn voice(&self) -> Voice {
        Voice {
            shown: Arc::clone(&self.shown),
            name: self.name.clone(),
            members: self.members.clone(),
            aside: self.aside.clone(),
        }
    }

    /// Where its words are shown.
    fn board(&self) -> &Members {
        match self.shown.load(Ordering::Acquire) {
            true => &self.members,
            false => &self.aside,
        }
    }

    /// How the member is treated, now and from now on; closed once the member left.
    pub(in super::super) fn options(&self) -> watch::Receiver<MemberOptions> {
        match self.members.entries().get(&self.name) {
            Some(entry) => entry.options.subscribe(),
            None => watch::channel(MemberOptions::default()).1,
        }
    }

    /// Everything of the member is known and changes arrive.
    pub(in super::super) fn synced(&self) {
        self.change(|entry| {
            if entry.state != MemberState::Synced {
                tracing::info!(member = %self.name, source = %entry.source, "member is synced");
            }
            entry.state = MemberState::Synced;
            entry.synced_once = true;
            entry.stale.send_if_modified(|stale| stale.take().is_some());
            if entry.confirmed.is_none() || entry.remembered {
                entry.confirmed = Some(SystemTime::now());
                entry.heard = Some(Instant::now());
                entry.remembered = false;
            }
        });
        self.show(|board| {
            let metrics = &board.metrics;
            metrics.synced.get_or_create(&ByMember::new(&self.name)).set(1);
            board.synced.send_if_modified(|synced| synced.insert(self.name.clone()));
        });
    }

    /// The member can't be read at present.
    pub(in super::super) fn failing(&self, reason: impl Into<String>) {
        let reason = shorten(reason.into());
        self.change(|entry| {
            let (since, known) = match &entry.state {
                MemberState::Connecting { since, reason } | MemberState::Stale { since, reason } => {
                    (*since, Some(reason))
                }
                // Not since it was noticed: what happened after the last good word is not known.
                MemberState::Synced => (entry.confirmed.unwrap_or_else(SystemTime::now), None),
            };
            if entry.state == MemberState::Synced {
                entry.stale.send_replace(Some(entry.heard.unwrap_or_else(Instant::now)));
            }
            if known != Some(&reason) {
                tracing::warn!(member = %self.name, source = %entry.source, %reason, "member can't be read, what is known of it is kept");
            }
            entry.state = match entry.synced_once || entry.remembered {
                true => MemberState::Stale { since, reason },
                false => MemberState::Connecting { since, reason },
            };
        });
        self.show(|board| {
            let synced = &board.metrics.synced;
            synced.get_or_create(&ByMember::new(&self.name)).set(0);
        });
    }

    /// Whether the member can be reached at all.
    pub(in super::super) fn reached(&self, reached: bool) {
        self.show(|board| {
            board.unreached.send_if_modified(|unreached| match reached {
                true => unreached.remove(&self.name),
                false => unreached.insert(self.name.clone()),
            });
        });
    }

    /// Whether the member has more than its budget allows.
    pub(in super::super) fn over_budget(&self, over: bool) {
        self.show(|board| {
            let gauges = &board.metrics.over_budget;
            gauges.get_or_create(&ByMember::new(&self.name)).set(over.into());
        });
    }

    /// The member changes no faster than it may.
    pub(in super::super) fn keeps_pace(&self) {
        self.problems(Topic::Pace, Vec::new());
    }

    /// The member changes faster than its budget allows, and is let wait for so long.
    pub(in super::super) fn throttled(&self, rest: Duration) {
        self.show(|board| {
            let throttled = &board.metrics.throttled;
            throttled
                .get_or_create(&ByMember::new(&self.name))
                .inc_by(rest.as_secs_f64());
        });
        let rate = self.options().borrow().budget.events_per_second;
        let problem = Problem::new(
            format!("member {}", self.name),
            format!(
                "it changed faster than {rate} objects a second, so it is read more slowly: what is known of it may be late"
            ),
            "find out what changes there all the time, or raise budget.eventsPerSecond",
        );
        self.problems(Topic::Pace, vec![problem]);
    }

    /// An attempt to read the member failed.
    pub(in super::super) fn count_failure(&self) {
        self.show(|board| {
            let failures = &board.metrics.failures;
            failures.get_or_create(&ByMember::new(&self.name)).inc();
        });
    }

    /// Everything that is held of the member is up to date at this moment.
    pub(in super::super) fn confirmed(&self) {
        let now = SystemTime::now();
        self.change(|entry| {
            entry.confirmed = Some(now);
            entry.heard = Some(Instant::now());
        });
        let seconds = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        self.show(|board| {
            let confirmed = &board.metrics.confirmed;
            confirmed.get_or_create(&ByMember::new(&self.name)).set(seconds);
        });
    }

    /// The member's API server answered a heartbeat within this time.
    pub(in super::super) fn heartbeat(&self, took: Duration) {
        self.change(|entry| entry.heartbeat = Some(took));
        self.show(|board| {
            let heartbeats = &board.metrics.heartbeat;
            heartbeats
                .get_or_create(&ByMember::new(&self.name))
                .set(took.as_secs_f64());
        });
    }

    /// Since when the member is stale, if it is, now and from now on; closed once the member left.
    pub(in super::super) fn stale(&self) -> watch::Receiver<Option<Instant>> {
        match self.members.entries().get(&self.name) {
            Some(entry) => entry.stale.subscribe(),
            None => watch::channel(None).1,
        }
    }

    /// What the member's endpoints count, as the table was told last.
    pub(in super::super) fn standing(&self) -> MemberStanding {
        let entries = self.members.entries();
        entries
            .get(&self.name)
            .map_or_else(MemberStanding::default, |entry| entry.standing)
    }

    /// What the member's endpoints count from now on.
    pub(in super::super) fn stands(&self, standing: MemberStanding) {
        self.change(|entry| entry.standing = standing);
        let rank = match standing.rank {
            Rank::Normal => 0,
            Rank::Last => 1,
            Rank::Out => 2,
        };
        let weight = i64::from(standing.weight.percent());
        self.show(|board| {
            let metrics = &board.metrics;
            metrics.rank.get_or_create(&ByMember::new(&self.name)).set(rank);
            metrics.weight.get_or_create(&ByMember::new(&self.name)).set(weight);
        });
    }

    /// The watch of a kind gave a sign of life.
    pub(in super::super) fn heard(&self, kind: Kind) {
        let now = SystemTime::now();
        self.change_kind(kind, |report| report.heard = Some(now));
    }

    /// A kind is being listed.
    pub(in super::super) fn catching_up(&self, kind: Kind) {
        let now = SystemTime::now();
        self.change_kind(kind, |report| {
            if !matches!(report.state, KindState::CatchingUp { .. }) {
                report.state = KindState::CatchingUp { since: now };
            }
        });
        self.show_connected(kind, false);
    }

    /// A kind is listed and its watch is open.
    pub(in super::super) fn connected(&self, kind: Kind) {
        let now = SystemTime::now();
        self.change_kind(kind, |report| {
            report.state = KindState::Connected;
            report.heard = Some(now);
        });
        self.show_connected(kind, true);
    }

    /// A kind can't be followed at present.
    pub(in super::super) fn disconnected(&self, kind: Kind) {
        self.change_kind(kind, |report| {
            report.state = match (report.state, report.heard) {
                (missing @ (KindState::NotInstalled | KindState::NotAllowed), _) => missing,
                (KindState::NeverSeen, _) | (_, None) => KindState::NeverSeen,
                (stale @ KindState::Stale { .. }, _) => stale,
                (_, Some(since)) => KindState::Stale { since },
            };
        });
        self.show_connected(kind, false);
    }

    /// The member has no such kind, or does not let us read it: nothing of it is followed, and nothing is wrong.
    pub(in super::super) fn missing(&self, kind: Kind, why: KindState) {
        self.change_kind(kind, |report| {
            report.state = why;
            report.held_back = 0;
        });
        let metrics = &self.board().inner.metrics;
        let label = ByKind::new(&self.name, kind);
        metrics.connected.remove(&label);
        metrics.held_back.remove(&label);
    }

    /// So many objects of a kind are kept though a list left them out.
    pub(in super::super) fn holds_back(&self, kind: Kind, objects: usize) {
        self.change_kind(kind, |report| report.held_back = objects);
        self.show(|board| {
            let gauges = &board.metrics.held_back;
            gauges
                .get_or_create(&ByKind::new(&self.name, kind))
                .set(i64::try_from(objects).unwrap_or(i64::MAX));
        });
    }

    /// Nothing fails at present, though not everything was read yet.
    pub(in super::super) fn reading(&self) {
        self.change(|entry| {
            if let MemberState::Connecting { reason, .. } = &mut entry.state {
                READING.clone_into(reason);
            }
        });
    }

    /// Nothing fails any more; what was missed is being read.
    pub(in super::super) fn catching_up_again(&self) {
        self.change(|entry| {
            if let MemberState::Stale { reason, .. } = &mut entry.state {
                CATCHING_UP.clone_into(reason);
            }
        });
    }

    /// The member told of this many objects of a kind.
    pub(in super::super) fn told(&self, kind: Kind, objects: u64) {
        self.change(|entry| {
            let now = SystemTime::now();
            entry.last_event = Some(now);
            if let Some(report) = entry.kinds.get_mut(&kind) {
                report.heard = Some(now);
            }
            entry.events_total += objects;
        });
        self.show(|board| {
            let events = &board.metrics.events;
            events.get_or_create(&ByKind::new(&self.name, kind)).inc_by(objects);
        });
    }

    /// A kind was listed.
    pub(in super::super) fn listed(&self, kind: Kind) {
        self.show(|board| {
            let lists = &board.metrics.lists;
            lists.get_or_create(&ByKind::new(&self.name, kind)).inc();
        });
    }

    /// This many objects of a kind are held now.
    pub(in super::super) fn holds(&self, kind: Kind, objects: usize) {
        self.change(|entry| {
            entry.counts.insert(kind, objects);
        });
        self.show(|board| {
            let gauges = &board.metrics.objects;
            gauges
                .get_or_create(&ByKind::new(&self.name, kind))
                .set(i64::try_from(objects).unwrap_or(i64::MAX));
        });
    }

    /// How many objects of each kind are held; none by a second reader, whose lists are compared as a whole before it takes over.
    pub(in super::super) fn counts(&self) -> BTreeMap<Kind, usize> {
        let entries = self.board().entries();
        entries
            .get(&self.name)
            .map_or_else(BTreeMap::new, |entry| entry.counts.clone())
    }

    /// The version of the member's API server.
    pub(in super::super) fn server_version(&self, version: String) {
        self.change(|entry| entry.server_version = Some(version));
    }

    /// Which cluster the member is.
    pub(in super::super) fn identified(&self, fingerprint: Fingerprint) {
        self.change(|entry| entry.fingerprint = Some(fingerprint));
    }

    /// When the member's credentials expire, as far as they say.
    pub(in super::super) fn credentials(&self, expiries: Vec<Expiry>) {
        self.show(|board| {
            let gauges = &board.metrics.expiry;
            for credential in Credential::ALL {
                let label = ByCredential::new(&self.name, credential);
                match expiries.iter().find(|expiry| expiry.credential == credential) {
                    Some(expiry) => drop(gauges.get_or_create(&label).set(expiry.seconds())),
                    None => drop(gauges.remove(&label)),
                }
            }
        });
        self.change(|entry| entry.credentials = expiries);
    }

    /// What is wrong under a topic now, in place of what was before.
    pub(in super::super) fn problems(&self, topic: Topic, problems: Vec<Problem>) {
        self.change(|entry| {
            let is_new = !problems.is_empty() && !entry.problems.contains_key(&topic);
            if is_new && entry.problems.len() >= MOST_TOPICS {
                return;
            }
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
    pub(in super::super) fn forget_problems(&self, kind: Kind, keep: &BTreeSet<Topic>) {
        self.change(|entry| {
            entry.problems.retain(|topic, _| match topic {
                Topic::Object(of, _) | Topic::Nameless(of) => *of != kind || keep.contains(topic),
                Topic::Kind(_) | Topic::Lacking(_) | Topic::Folder | Topic::Pace => true,
            });
            entry.problem_count = entry.problems.values().map(Vec::len).sum();
            self.count_problems(entry.problem_count);
        });
    }

    fn count_problems(&self, count: usize) {
        let gauges = &self.board().inner.metrics.problems;
        gauges
            .get_or_create(&ByMember::new(&self.name))
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn show_connected(&self, kind: Kind, connected: bool) {
        self.show(|board| {
            let gauges = &board.metrics.connected;
            gauges
                .get_or_create(&ByKind::new(&self.name, kind))
                .set(i64::from(connected));
        });
    }

    fn change_kind(&self, kind: Kind, change: impl FnOnce(&mut KindReport)) {
        self.change(|entry| {
            if let Some(report) = entry.kinds.get_mut(&kind) {
                change(report);
            }
        });
    }

    /// Shows something of the member beside its entry, while it has one: what is said of a member that left would stay for ever.
    fn show(&self, show: impl FnOnce(&Inner)) {
        let board = self.board();
        // Held, so that the member does not leave in between.
        let entries = board.entries();
        if entries.contains_key(&self.name) {
            show(&board.inner);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.board().entries().get_mut(&self.name) {
            change(entry);
        }
    }
}
