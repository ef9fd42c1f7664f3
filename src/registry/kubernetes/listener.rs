//! Where the watches of a member meet: the table is told, and the status kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use tokio_util::sync::CancellationToken;

use super::super::Problem;
use super::super::convert::Converted;
use super::super::status::{MemberStatus, Topic};
use super::failure::Failure;
use super::fold::{Fold, Heard};
use crate::model::ClusterId;
use crate::table::{EventSink, Kind, RegistryEvent};

#[derive(Debug, Default)]
struct State {
    fold: Fold,
    /// What fails at present, by kind.
    failing: BTreeMap<Kind, Failure>,
    /// The lists that are being read.
    listing: BTreeMap<Kind, Listing>,
}

/// A list that is being read.
#[derive(Debug, Default)]
struct Listing {
    objects: u64,
    problems: BTreeMap<Topic, Vec<Problem>>,
}

/// Hears the watches of one member. They run in one task, so nobody ever waits for the lock.
pub(super) struct Listener<'a> {
    name: &'a ClusterId,
    sink: &'a dyn EventSink,
    status: &'a MemberStatus,
    state: Mutex<State>,
    /// Cancelled once the table was told of everything.
    started: CancellationToken,
}

impl<'a> Listener<'a> {
    pub(super) fn new(name: &'a ClusterId, sink: &'a dyn EventSink, status: &'a MemberStatus) -> Self {
        Self {
            name,
            sink,
            status,
            state: Mutex::default(),
            started: CancellationToken::new(),
        }
    }

    pub(super) fn name(&self) -> &ClusterId {
        self.name
    }

    pub(super) fn status(&self) -> &MemberStatus {
        self.status
    }

    /// Returns once the table was told of everything.
    pub(super) async fn started(&self) {
        self.started.cancelled().await;
    }

    /// A kind is known and watched.
    pub(super) fn alive(&self, kind: Kind) {
        let mut state = self.state();
        state.failing.remove(&kind);
        self.show(&state);
    }

    /// A request for a kind failed.
    pub(super) fn failed(&self, kind: Kind, failure: &Failure) {
        self.status.count_failure();
        let mut state = self.state();
        state.failing.insert(kind, failure.clone());
        self.show(&state);
    }

    /// There is no client, so all kinds fail.
    pub(super) fn unconnected(&self, failure: &Failure) {
        self.status.count_failure();
        let mut state = self.state();
        state.failing = Kind::ALL.map(|kind| (kind, failure.clone())).into();
        self.show(&state);
    }

    pub(super) fn list_begins(&self, kind: Kind) {
        self.state().listing.insert(kind, Listing::default());
        self.hear(kind, Heard::ListBegins);
    }

    pub(super) fn listed(&self, kind: Kind, converted: Converted) {
        let mut state = self.state();
        let listing = state.listing.entry(kind).or_default();
        listing.objects += 1;
        if !converted.problems.is_empty() {
            let topic = topic(kind, &converted);
            listing.problems.entry(topic).or_default().extend(converted.problems);
        }
        drop(state);
        if let Some(record) = converted.record {
            self.hear(kind, Heard::Listed(record));
        }
    }

    pub(super) fn list_ends(&self, kind: Kind) {
        let Listing { objects, problems } = self.state().listing.remove(&kind).unwrap_or_default();
        self.status.told(kind, objects);
        let keep: BTreeSet<_> = problems.keys().cloned().collect();
        self.status.forget_problems(kind, &keep);
        for (topic, problems) in problems {
            self.status.problems(topic, problems);
        }
        self.hear(kind, Heard::ListEnds);
        self.alive(kind);
    }

    pub(super) fn changed(&self, kind: Kind, converted: Converted) {
        self.status.told(kind, 1);
        let topic = topic(kind, &converted);
        self.status.problems(topic, converted.problems);
        if let Some(name) = converted.name {
            self.hear(kind, Heard::Changed(name, converted.record));
        }
    }

    pub(super) fn deleted(&self, kind: Kind, converted: Converted) {
        self.status.told(kind, 1);
        let topic = topic(kind, &converted);
        self.status.problems(topic, Vec::new());
        if let Some(name) = converted.name {
            self.hear(kind, Heard::Deleted(name));
        }
    }

    fn hear(&self, kind: Kind, heard: Heard) {
        let mut state = self.state();
        let started = state.fold.started();
        let Some(change) = state.fold.hear(kind, heard) else {
            return;
        };
        self.sink.apply(RegistryEvent {
            member: self.name.clone(),
            change,
        });
        if started {
            self.status.holds(kind, state.fold.count(kind));
        } else {
            self.started.cancel();
            for kind in Kind::ALL {
                self.status.holds(kind, state.fold.count(kind));
            }
            self.show(&state);
        }
    }

    /// A member is synced when everything was told and nothing fails.
    fn show(&self, state: &State) {
        if !state.failing.is_empty() {
            self.status.failing(Failure::summary(state.failing.values()));
        } else if state.fold.started() {
            self.status.synced();
        } else {
            self.status.reading();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever panicked has ended the member's task, which alone uses this.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn topic(kind: Kind, converted: &Converted) -> Topic {
    match &converted.name {
        Some(name) => Topic::Object(kind, name.clone()),
        None => Topic::Nameless(kind),
    }
}
