//! Where the watches of a member meet: the table is told, and the status kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::Problem;
use super::super::convert::Converted;
use super::super::status::{KindState, MemberStatus, Topic};
use super::failure::Failure;
use super::fold::{Fold, Heard, Word};
use super::listing::{Listing, topic};
use super::optional::PAUSE;
use super::policies::Told;
use super::scope::{self, Scope};
use super::state::State;
use crate::model::ClusterId;
use crate::table::{EventSink, Kind, Record, RegistryChange, RegistryEvent};

/// What an object costs while it is looked at, though nothing of it is kept: about, in bytes.
const UNUSED: usize = 64;

/// A list that leaves too much out is confirmed by another one after this time.
const CONFIRM_AFTER: Duration = Duration::from_secs(5);

/// Hears the watches of one member. They run in one task, so nobody ever waits for the lock.
pub(super) struct Listener<'a> {
    name: &'a ClusterId,
    sink: &'a dyn EventSink,
    status: &'a MemberStatus,
    scope: Scope,
    state: Mutex<State>,
    /// Wakes whoever rests after a failure, once there is a sign of life.
    answered: Notify,
    /// Wakes watches that are to end for another list.
    pub(super) wonders: Notify,
    /// Cancelled once all kinds are listed that every member has.
    core_listed: CancellationToken,
    /// Cancelled once the table was told of everything.
    started: CancellationToken,
    /// What the table was told of policies by this reader, if anything.
    policies: Mutex<Told>,
}

impl<'a> Listener<'a> {
    /// `held`: how many objects of each kind the table has that are still to be listed.
    pub(super) fn new(
        name: &'a ClusterId,
        sink: &'a dyn EventSink,
        status: &'a MemberStatus,
        scope: Scope,
        held: &BTreeMap<Kind, usize>,
    ) -> Self {
        Self {
            name,
            sink,
            status,
            scope,
            state: Mutex::new(State {
                fold: Fold::after(held),
                ..State::default()
            }),
            answered: Notify::new(),
            wonders: Notify::new(),
            core_listed: CancellationToken::new(),
            started: CancellationToken::new(),
            policies: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &ClusterId {
        self.name
    }

    pub(super) fn status(&self) -> &MemberStatus {
        self.status
    }

    /// What of the member is read.
    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns once the table was told of everything.
    pub(super) async fn started(&self) {
        self.started.cancelled().await;
    }

    /// Returns once all kinds are listed that every member has.
    pub(super) async fn core_listed(&self) {
        self.core_listed.cancelled().await;
    }

    /// What the table was told of policies.
    pub(super) fn policies(&self) -> MutexGuard<'_, Told> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a kind was listed, or is not waited for.
    pub(super) fn is_settled(&self, kind: Kind) -> bool {
        self.state().fold.is_settled(&[kind])
    }

    /// The member does not know this kind. What is held of it goes only by a second word.
    pub(super) fn not_installed(&self, kind: Kind) {
        self.missing(kind, KindState::NotInstalled, Vec::new());
        self.settled(kind);
        let first = *self.state().absent.entry(kind).or_insert_with(Instant::now);
        let word = if first.elapsed() < PAUSE {
            Word::First
        } else {
            Word::Second
        };
        let held = self.state().fold.count(kind);
        if word == Word::Second && held > 0 && self.started.is_cancelled() {
            tracing::info!(member = %self.name, %kind, held, "the kind is not installed any more, so its objects are gone");
            self.state().account.list_begins(kind);
            self.state().account.list_ends(kind);
            self.hear(kind, Heard::ListBegins);
            self.hear(kind, Heard::ListEnds(word));
            self.status.forget_problems(kind, &BTreeSet::new());
        }
    }

    /// The member does not let us read this kind. What is held of it stays, also outside of the namespaces that are read where
    /// these have become fewer: what can't be read tells nobody what is gone, and with a policy that closes a port would go more
    /// than an entry that nobody asks for. It goes with the next list, or with the member.
    pub(super) fn not_allowed(&self, kind: Kind) {
        self.state().absent.remove(&kind);
        self.forbidden(kind);
        self.missing(kind, KindState::NotAllowed, scope::forbidden(self.name, kind));
    }

    /// The member is read without this kind, which it does not let us read. What is held of it stays.
    pub(super) fn goes_without(&self, kind: Kind, failure: &Failure) {
        let problem = scope::without(self.name, kind, failure);
        self.missing(kind, KindState::NotAllowed, vec![problem]);
        let mut state = self.state();
        if state.without.insert(kind) {
            self.status.count_failure();
        }
        self.show(&state);
    }

    /// A kind is read without a namespace that would count too, which the member does not let us read. What is held of it stays.
    pub(super) fn lacks(&self, kind: Kind, namespace: &Arc<str>, message: &str) {
        let problem = scope::lacking(self.name, kind, namespace, message);
        let mut state = self.state();
        if let Some(listing) = state.listing.get_mut(&kind) {
            listing.lacking.push(problem);
            drop(state);
            self.hear(kind, Heard::ListLacks(Arc::clone(namespace)));
        } else {
            self.status.problems(Topic::Lacking(kind), vec![problem]);
        }
    }

    fn missing(&self, kind: Kind, why: KindState, problems: Vec<Problem>) {
        let mut state = self.state();
        state.failing.remove(&kind);
        state.followed.remove(&kind);
        state.account.list_fails(kind);
        drop(state);
        self.status.missing(kind, why);
        self.status.problems(Topic::Kind(kind), problems);
        self.status.problems(Topic::Lacking(kind), Vec::new());
        self.hear(kind, Heard::Missing);
        self.note_doubts();
    }

    /// A kind is known and watched.
    pub(super) fn alive(&self, kind: Kind) {
        let mut state = self.state();
        state.failing.remove(&kind);
        if kind.is_optional() || state.without.remove(&kind) {
            self.status.problems(Topic::Kind(kind), Vec::new());
        }
        state.absent.remove(&kind);
        state.followed.insert(kind);
        state.heard = Some(Instant::now());
        self.status.connected(kind);
        self.show(&state);
    }

    /// The watch of a kind told something that is no object.
    pub(super) fn heard(&self, kind: Kind) {
        self.state().heard = Some(Instant::now());
        self.status.heard(kind);
    }

    /// Nothing looks as if the API server could not be reached.
    pub(super) fn is_reached(&self) -> bool {
        let state = self.state();
        state.missed.is_none() && !state.failing.values().any(Failure::is_of_connection)
    }

    /// No watch gave a sign of life since then.
    pub(super) fn silent_since(&self, then: Instant) -> bool {
        self.state().heard.is_none_or(|heard| heard < then)
    }

    /// The API server answered a heartbeat within this time.
    pub(super) fn beat(&self, took: Duration) {
        self.status.heartbeat(took);
        let mut state = self.state();
        let was_missed = state.missed.take().is_some();
        if self.show(&state) {
            self.status.confirmed();
        }
        drop(state);
        if was_missed {
            self.answered.notify_waiters();
        }
    }

    /// The API server did not answer a heartbeat.
    pub(super) fn missed(&self, failure: &Failure) {
        self.status.count_failure();
        let mut state = self.state();
        state.missed = Some(failure.clone());
        self.show(&state);
    }

    /// Waits until heartbeats are answered again: then it is worth a try.
    pub(super) async fn answered(&self) {
        self.answered.notified().await;
    }

    /// A request for a kind failed.
    pub(super) fn failed(&self, kind: Kind, failure: &Failure) {
        self.status.count_failure();
        let mut state = self.state();
        state.followed.remove(&kind);
        self.status.disconnected(kind);
        if kind.is_optional() {
            // The member is as good as without it. What is wrong with the way to it, the others tell.
            state.account.list_fails(kind);
            if !failure.is_of_connection() && !matches!(failure, Failure::Unauthorized(_)) {
                let subject = format!("member {}", self.name);
                let problem = format!("{kind} objects can't be read, and what is known of them is kept: {failure}");
                let problem = Problem::new(subject, problem, "see to that, or remove the kind");
                self.status.problems(Topic::Kind(kind), vec![problem]);
            }
        } else {
            state.failing.insert(kind, failure.clone());
        }
        self.show(&state);
    }

    /// There is no client, so all kinds fail.
    pub(super) fn unconnected(&self, failure: &Failure) {
        self.status.count_failure();
        let mut state = self.state();
        state.failing = Kind::CORE.map(|kind| (kind, failure.clone())).into();
        state.followed.clear();
        for kind in Kind::ALL {
            self.status.disconnected(kind);
        }
        self.show(&state);
    }

    pub(super) fn list_begins(&self, kind: Kind) {
        let mut state = self.state();
        state.account.list_begins(kind);
        state.listing.insert(kind, Listing::default());
        state.followed.remove(&kind);
        drop(state);
        self.status.catching_up(kind);
        self.hear(kind, Heard::ListBegins);
    }

    /// An object of a list. One too many is an error: the list is not read on.
    pub(super) fn listed(&self, kind: Kind, converted: Converted) -> Result<(), Failure> {
        let mut converted = self.scope.within(kind, converted);
        let mut state = self.state();
        let size = converted.record.as_ref().map_or(UNUSED, Record::size);
        state.account.listed(kind, size);
        self.within_budget(&state)?;
        state.listing.entry(kind).or_default().take(kind, &mut converted);
        drop(state);
        match (converted.is_unreadable, converted.name, converted.record) {
            (true, Some(name), record) => self.hear(kind, Heard::ListedInPart(name, record)),
            (_, _, Some(record)) => self.hear(kind, Heard::Listed(record)),
            _ => {}
        }
        Ok(())
    }

    fn within_budget(&self, state: &State) -> Result<(), Failure> {
        let excess = state.account.excess(&self.status.options().borrow().budget);
        excess.map_or(Ok(()), |excess| Err(Failure::OverBudget(excess)))
    }

    /// Rests where changes come faster than the member's budget allows; then its API server has to wait.
    pub(super) async fn keep_pace(&self) {
        // Whoever never has to wait for its connection must not keep others from running.
        tokio::task::consume_budget().await;
        let rest = {
            let mut state = self.state();
            let now = Instant::now();
            let since = state.changed.replace(now).map(|last| now - last);
            let rate = self.status.options().borrow().budget.events_per_second;
            let rest = state.pace.change(since.unwrap_or_default(), rate);
            if rest.is_some() {
                state.throttled = true;
            } else if state.throttled && state.pace.is_calm() {
                state.throttled = false;
                self.status.keeps_pace();
            }
            rest
        };
        if let Some(rest) = rest {
            self.status.throttled(rest);
            tokio::time::sleep(rest).await;
        }
    }

    pub(super) fn list_ends(&self, kind: Kind) {
        let mut state = self.state();
        state.account.list_ends(kind);
        let listing = state.listing.remove(&kind).unwrap_or_default();
        let Listing {
            objects,
            problems,
            lacking,
        } = listing;
        drop(state);
        self.status.told(kind, objects);
        self.status.listed(kind);
        self.status.problems(Topic::Lacking(kind), lacking);
        let keep: BTreeSet<_> = problems.keys().cloned().collect();
        self.status.forget_problems(kind, &keep);
        for (topic, problems) in problems {
            self.status.problems(topic, problems);
        }
        let is_second = self.confirm_due(kind).is_some_and(|due| due <= Instant::now());
        let word = if is_second { Word::Second } else { Word::First };
        self.hear(kind, Heard::ListEnds(word));
        self.note_doubts();
        self.settled(kind);
        self.alive(kind);
    }

    /// When a kind is to be listed once more, if its last list was not taken at its word.
    pub(super) fn confirm_due(&self, kind: Kind) -> Option<Instant> {
        self.state().doubted.get(&kind).copied()
    }

    pub(super) fn note_doubts(&self) {
        let mut state = self.state();
        for kind in Kind::ALL {
            let objects = state.fold.doubted(kind);
            if objects > 0 && !state.doubted.contains_key(&kind) {
                let held = state.fold.count(kind);
                tracing::warn!(
                    member = %self.name, %kind, objects, held,
                    "a list leaves out most of what is held; that is kept until a second list says the same"
                );
                state.doubted.insert(kind, Instant::now() + CONFIRM_AFTER);
                self.wonders.notify_waiters();
                self.status.holds_back(kind, objects);
            } else if objects == 0 && state.doubted.remove(&kind).is_some() {
                let held = state.fold.count(kind);
                tracing::info!(member = %self.name, %kind, held, "a second list decided what is held");
                self.status.holds_back(kind, 0);
            }
        }
    }

    /// An object was added or changed. One that goes beyond the budget is an error.
    pub(super) fn changed(&self, kind: Kind, converted: Converted) -> Result<(), Failure> {
        let converted = self.scope.within(kind, converted);
        self.told_one(kind);
        let size = converted.record.as_ref().map_or(0, Record::size);
        let topic = topic(kind, &converted);
        self.status.problems(topic, converted.problems);
        if let Some(name) = converted.name {
            let heard = match converted.is_unreadable {
                true => Heard::ChangedInPart(name, converted.record),
                false => Heard::Changed(name, converted.record),
            };
            self.hear(kind, heard);
        }
        self.account(kind, size)
    }

    fn account(&self, kind: Kind, size: usize) -> Result<(), Failure> {
        let mut state = self.state();
        let objects = state.fold.count(kind);
        state.account.changed(kind, size, objects);
        self.within_budget(&state)
    }

    pub(super) fn deleted(&self, kind: Kind, converted: Converted) {
        self.told_one(kind);
        let topic = topic(kind, &converted);
        self.status.problems(topic, Vec::new());
        if let Some(name) = converted.name {
            self.hear(kind, Heard::Deleted(name));
            // Less is never too much; if it is still more than the budget, the next list tells.
            let _ = self.account(kind, 0);
        }
    }

    fn told_one(&self, kind: Kind) {
        self.state().heard = Some(Instant::now());
        self.status.told(kind, 1);
    }

    pub(super) fn hear(&self, kind: Kind, heard: Heard) {
        let mut state = self.state();
        let started = state.fold.started();
        let Some(change) = state.fold.hear(kind, heard) else {
            if state.fold.waits_for_optional() {
                self.core_listed.cancel();
            }
            return;
        };
        self.say(change);
        if started {
            self.status.holds(kind, state.fold.count(kind));
        } else {
            self.core_listed.cancel();
            self.started.cancel();
            for kind in Kind::ALL {
                self.status.holds(kind, state.fold.count(kind));
            }
            self.show(&state);
            drop(state);
            self.tell_policies();
        }
    }

    pub(super) fn say(&self, change: RegistryChange) {
        self.sink.apply(RegistryEvent {
            member: self.name.clone(),
            change,
        });
    }

    /// A member is synced when everything was told and nothing fails. True where all of it is followed, too.
    fn show(&self, state: &State) -> bool {
        let is_followed = |kind| state.followed.contains(kind) || state.without.contains(kind);
        let is_followed = Kind::CORE.iter().all(is_followed);
        let lasting = state.failing.values().chain(&state.missed).any(Failure::is_lasting);
        self.status.reached(!lasting);
        let is_over = |failure: &Failure| matches!(failure, Failure::OverBudget(_));
        self.status.over_budget(state.failing.values().any(is_over));
        if !state.failing.is_empty() || state.missed.is_some() {
            self.status
                .failing(Failure::summary(state.failing.values().chain(&state.missed)));
        } else if !state.fold.started() {
            self.status.reading();
        } else if is_followed {
            self.status.synced();
            return true;
        } else {
            self.status.catching_up_again();
        }
        false
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever panicked has ended the member's task, which alone uses this.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
