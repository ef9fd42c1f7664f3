//! What the reader of a member says of it.

use std::collections::BTreeSet;
use std::time::SystemTime;

use tokio::sync::watch;

use super::super::metrics::{ByKind, ByMember};
use super::super::problem::shorten;
use super::super::{MemberOptions, Problem};
use super::{Entry, MOST_PROBLEMS, MemberState, Members, READING, Topic, log_new};
use crate::model::ClusterId;
use crate::table::Kind;

/// Writes the status of one member.
#[derive(Debug)]
pub(in super::super) struct MemberStatus {
    pub(super) name: ClusterId,
    pub(super) members: Members,
}

impl MemberStatus {
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
        let metrics = &self.members.inner.metrics;
        metrics.synced.get_or_create(&ByMember::new(&self.name)).set(1);
        self.members
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
        let metrics = &self.members.inner.metrics;
        metrics.synced.get_or_create(&ByMember::new(&self.name)).set(0);
    }

    /// An attempt to read the member failed.
    pub(in super::super) fn count_failure(&self) {
        let failures = &self.members.inner.metrics.failures;
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
        let events = &self.members.inner.metrics.events;
        events.get_or_create(&ByKind::new(&self.name, kind)).inc_by(objects);
    }

    /// This many objects of a kind are held now.
    pub(in super::super) fn holds(&self, kind: Kind, objects: usize) {
        self.change(|entry| {
            entry.counts.insert(kind, objects);
        });
        let gauges = &self.members.inner.metrics.objects;
        gauges
            .get_or_create(&ByKind::new(&self.name, kind))
            .set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    /// The version of the member's API server.
    pub(in super::super) fn server_version(&self, version: String) {
        self.change(|entry| entry.server_version = Some(version));
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
