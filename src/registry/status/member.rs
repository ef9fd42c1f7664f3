//! What the reader of a member says of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use tokio::sync::watch;

use super::super::metrics::{ByCredential, ByKind, ByMember};
use super::super::problem::shorten;
use super::super::{Credential, Expiry, MemberOptions, Problem};
use super::{Entry, MOST_PROBLEMS, MemberState, Members, READING, Topic, log_new};
use crate::model::ClusterId;
use crate::table::Kind;

/// Writes the status of one member.
#[derive(Debug)]
pub(in super::super) struct MemberStatus {
    name: ClusterId,
    members: Members,
    /// Whose words are shown: of two readers of a member only one is.
    voice: Voice,
    /// Where the words of the other go.
    aside: Members,
}

/// Whether what a reader says of its member is shown. Clones are the same.
#[derive(Debug, Clone)]
pub(in super::super) struct Voice(Arc<AtomicBool>);

impl Voice {
    /// Shows what its reader says, or no longer.
    pub(in super::super) fn set(&self, shown: bool) {
        self.0.store(shown, Ordering::Release);
    }
}

impl MemberStatus {
    pub(super) fn new(name: &ClusterId, members: &Members) -> Self {
        Self {
            name: name.clone(),
            members: members.clone(),
            voice: Voice(Arc::new(AtomicBool::new(true))),
            aside: Members::default(),
        }
    }

    /// For a second reader of a member of `members`. What it says is shown in `aside` until its voice is set.
    pub(in super::super) fn of_second(name: &ClusterId, members: &Members, aside: &Members) -> Self {
        let status = Self {
            aside: aside.clone(),
            ..Self::new(name, members)
        };
        status.voice.set(false);
        status
    }

    pub(in super::super) fn voice(&self) -> Voice {
        self.voice.clone()
    }

    /// Where its words are shown.
    fn board(&self) -> &Members {
        match self.voice.0.load(Ordering::Acquire) {
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
        });
        let metrics = &self.board().inner.metrics;
        metrics.synced.get_or_create(&ByMember::new(&self.name)).set(1);
        self.board()
            .inner
            .synced
            .send_if_modified(|synced| synced.insert(self.name.clone()));
    }

    /// The member can't be read at present.
    pub(in super::super) fn failing(&self, reason: impl Into<String>) {
        let reason = shorten(reason.into());
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
        let metrics = &self.board().inner.metrics;
        metrics.synced.get_or_create(&ByMember::new(&self.name)).set(0);
    }

    /// An attempt to read the member failed.
    pub(in super::super) fn count_failure(&self) {
        let failures = &self.board().inner.metrics.failures;
        failures.get_or_create(&ByMember::new(&self.name)).inc();
    }

    /// Nothing fails at present, though not everything was read yet.
    pub(in super::super) fn reading(&self) {
        self.change(|entry| {
            if let MemberState::Connecting { reason, .. } = &mut entry.state {
                READING.clone_into(reason);
            }
        });
    }

    /// The member told of this many objects of a kind.
    pub(in super::super) fn told(&self, kind: Kind, objects: u64) {
        self.change(|entry| {
            entry.last_event = Some(SystemTime::now());
            entry.events_total += objects;
        });
        let events = &self.board().inner.metrics.events;
        events.get_or_create(&ByKind::new(&self.name, kind)).inc_by(objects);
    }

    /// This many objects of a kind are held now.
    pub(in super::super) fn holds(&self, kind: Kind, objects: usize) {
        self.change(|entry| {
            entry.counts.insert(kind, objects);
        });
        let gauges = &self.board().inner.metrics.objects;
        gauges
            .get_or_create(&ByKind::new(&self.name, kind))
            .set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    /// The version of the member's API server.
    pub(in super::super) fn server_version(&self, version: String) {
        self.change(|entry| entry.server_version = Some(version));
    }

    /// When the member's credentials expire, as far as they say.
    pub(in super::super) fn credentials(&self, expiries: Vec<Expiry>) {
        let gauges = &self.board().inner.metrics.expiry;
        for credential in Credential::ALL {
            let label = ByCredential::new(&self.name, credential);
            match expiries.iter().find(|expiry| expiry.credential == credential) {
                Some(expiry) => drop(gauges.get_or_create(&label).set(expiry.seconds())),
                None => drop(gauges.remove(&label)),
            }
        }
        self.change(|entry| entry.credentials = expiries);
    }

    /// What is wrong under a topic now, in place of what was before.
    pub(in super::super) fn problems(&self, topic: Topic, problems: Vec<Problem>) {
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
    pub(in super::super) fn forget_problems(&self, kind: Kind, keep: &BTreeSet<Topic>) {
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
        let gauges = &self.board().inner.metrics.problems;
        gauges
            .get_or_create(&ByMember::new(&self.name))
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn change(&self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.board().entries().get_mut(&self.name) {
            change(entry);
        }
    }
}
