//! The members that are being read, and the new kubeconfigs that are being tried.

mod settle;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::kubernetes::{Allowed, Fingerprint};
use super::super::run::read_member;
use super::super::status::Voice;
use super::super::{MemberSource, MemberState, Members, Problem, Reason, Verdict};
use super::handover::{Gate, Sizes, Turn};
use super::trial::{Outcome, Rest, Takeover, Trial};
use super::wanted::{Place, Wanted};
use crate::lifecycle::Backoff;
use crate::model::ClusterId;
use crate::table::{EventSink, RegistryChange, RegistryEvent};

/// A kubeconfig that does not work is tried again this soon at first, and at least this often.
const TRY_AGAIN: Duration = Duration::from_secs(2);
const TRY_AGAIN_AT_MOST: Duration = Duration::from_secs(60);
/// The credentials of a member that is not synced are looked at this often.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Which of the lists of the home cluster are complete: what is missing in others may still come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) secrets: bool,
    pub(super) members: bool,
}

/// Of credentials that work.
fn valid() -> Verdict {
    Verdict::yes(Reason::Valid, "the API server takes them")
}

/// One member that is being read.
struct Reader {
    number: u64,
    /// What it is read by.
    wanted: Wanted,
    turn: Turn,
    voice: Voice,
    /// Dropping it ends the reading.
    cancel: DropGuard,
    task: JoinHandle<()>,
    /// Which cluster it is, once that is known.
    cluster: Option<Fingerprint>,
    /// What is known of its credentials.
    credentials: Verdict,
    trial: Option<UnderWay>,
    tried: Option<Instant>,
    /// It was not up to date when last looked at.
    away: bool,
    doubted: Option<Sizes>,
}

/// A trial that is under way.
struct UnderWay {
    task: tokio::task::Id,
    /// It is told here that it is not wanted any more.
    hurry: Arc<Notify>,
}

pub(super) struct Running {
    sink: Arc<dyn EventSink>,
    members: Members,
    cancel: CancellationToken,
    allowed: Arc<Allowed>,
    /// Members that are served as they were known before the start, until complete lists tell which of them are left.
    known: BTreeSet<ClusterId>,
    /// Those of members that nobody reads yet.
    turns: BTreeMap<ClusterId, Turn>,
    readers: BTreeMap<ClusterId, Reader>,
    /// What the home cluster asks for.
    wanted: BTreeMap<ClusterId, Wanted>,
    trials: JoinSet<(Trial, Outcome)>,
    numbers: u64,
    /// What keeps a member from being read as it is asked for.
    problems: BTreeMap<ClusterId, Problem>,
}

impl Running {
    pub(super) fn new(
        sink: Arc<dyn EventSink>,
        members: Members,
        allowed: Arc<Allowed>,
        cancel: CancellationToken,
        known: BTreeSet<ClusterId>,
    ) -> Self {
        Self {
            sink,
            members,
            cancel,
            allowed,
            known,
            turns: BTreeMap::new(),
            readers: BTreeMap::new(),
            wanted: BTreeMap::new(),
            trials: JoinSet::new(),
            numbers: 0,
            problems: BTreeMap::new(),
        }
    }

    /// Closes these turns when somebody reads the member, or it leaves.
    pub(super) fn with_turns(self, turns: BTreeMap<ClusterId, Turn>) -> Self {
        Self { turns, ..self }
    }

    /// Whether members are served as they were known before the start, and nobody has said yet whether they are left.
    pub(super) fn remembers(&self) -> bool {
        !self.known.is_empty()
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.values()
    }

    /// What is known of the credentials of a member; `None` where it is not read, with the reason.
    pub(super) fn credentials(&self, name: &ClusterId) -> Result<Verdict, Option<&Problem>> {
        let synced = || {
            self.members
                .get(name)
                .is_some_and(|report| report.state == MemberState::Synced)
        };
        match self.readers.get(name) {
            // Reading with them shows it.
            Some(reader) if reader.credentials.reason == Reason::NotTried && synced() => Ok(valid()),
            Some(reader) => Ok(reader.credentials.clone()),
            None => Err(self.problems.get(name)),
        }
    }

    /// Makes the members that are read those that are wanted. Those that are `pending` neither come nor go.
    pub(super) async fn want(
        &mut self,
        wanted: BTreeMap<ClusterId, Wanted>,
        pending: &BTreeSet<ClusterId>,
        listed: Listed,
    ) {
        let said_so = |reader: &Reader| match reader.wanted.place {
            Place::Secret => listed.secrets,
            Place::Member(_) => listed.members,
        };
        let gone: Vec<_> = self
            .readers
            .iter()
            .filter(|(name, reader)| !wanted.contains_key(*name) && !pending.contains(*name) && said_so(reader))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            if let Some(reader) = self.readers.remove(&name) {
                // Its last word must come before the one that it left.
                reader.turn.close();
                drop(reader.cancel);
                if let Some(trial) = &reader.trial {
                    trial.hurry.notify_one();
                }
                let _ = reader.task.await;
                self.leave(&name);
            }
        }
        if listed.secrets && listed.members {
            for name in std::mem::take(&mut self.known) {
                if pending.contains(&name) {
                    self.known.insert(name);
                } else if !wanted.contains_key(&name) {
                    if let Some(turn) = self.turns.remove(&name) {
                        turn.close();
                    }
                    // Unless the settings have a member of that name by now.
                    self.members.forget_remembered(&name, || self.say_left(&name));
                }
            }
        }
        self.problems.retain(|name, _| wanted.contains_key(name));
        for (name, wanted) in &wanted {
            let Some(reader) = self.readers.get_mut(name) else {
                self.join(name, wanted);
                continue;
            };
            if reader.wanted.options != wanted.options {
                tracing::info!(member = %name, "how it is treated has changed");
                self.members.reconfigure(name, wanted.options.clone());
            }
            let rescoped = reader.wanted.options.namespaces != wanted.options.namespaces;
            if rescoped && let Some(trial) = &reader.trial {
                // What it has to read is other now.
                trial.hurry.notify_one();
            }
            reader.wanted.options = wanted.options.clone();
            let changed = self.wanted.get(name).map(|known| &known.kubeconfig) != Some(&wanted.kubeconfig);
            if reader.wanted.kubeconfig == wanted.kubeconfig {
                reader.wanted = wanted.clone();
                self.problems.remove(name);
                if changed {
                    // Back to the one in use while another was tried.
                    reader.credentials = Verdict::unknown(Reason::NotTried, "they are not tried yet");
                    match &reader.trial {
                        Some(trial) => trial.hurry.notify_one(),
                        None => self.attempt(name, Rest::No, None),
                    }
                }
            } else if changed {
                reader.doubted = None;
                match &reader.trial {
                    // What comes of it is seen to then.
                    Some(trial) => trial.hurry.notify_one(),
                    None => self.begin(name, wanted.clone(), Rest::No, None),
                }
            }
        }
        self.wanted = wanted;
    }

    /// Waits until something became of a kubeconfig that is being tried, and acts on it. Safe to drop and call again.
    pub(super) async fn tried(&mut self) {
        loop {
            match self.trials.join_next_with_id().await {
                Some(Ok((_, (trial, outcome)))) => return self.settle(trial, outcome).await,
                // It panicked, which the log tells.
                Some(Err(error)) => return self.broke_off(error.id()),
                None => std::future::pending().await,
            }
        }
    }

    /// Tries the credentials of members that are not up to date: they may be why.
    pub(super) fn look(&mut self) {
        let mut due = Vec::new();
        for (name, reader) in &mut self.readers {
            let report = self.members.get(name);
            let away = report.is_some_and(|report| report.state != MemberState::Synced);
            let news = away && !std::mem::replace(&mut reader.away, away);
            reader.away = away;
            let rested = reader.tried.is_none_or(|tried| tried.elapsed() >= LOOK_AGAIN);
            if reader.trial.is_none() && (news || away && rested) {
                due.push(name.clone());
            }
        }
        for name in due {
            self.attempt(&name, Rest::No, None);
        }
    }

    /// Reads what could not be read while another member had its name, where that is free by now.
    pub(super) fn join_free(&mut self) {
        let waiting: Vec<_> = self
            .wanted
            .iter()
            .filter(|(name, _)| !self.readers.contains_key(*name) && self.members.source(name).is_none())
            .map(|(name, wanted)| (name.clone(), wanted.clone()))
            .collect();
        for (name, wanted) in waiting {
            self.join(&name, &wanted);
        }
    }

    /// Waits until nothing is read any more; to be called once all is cancelled.
    pub(super) async fn end(&mut self) {
        self.trials.shutdown().await;
        for (_, reader) in std::mem::take(&mut self.readers) {
            let _ = reader.task.await;
        }
    }

    fn join(&mut self, name: &ClusterId, wanted: &Wanted) {
        let source = self.source(wanted);
        if let Some(turn) = self.turns.remove(name) {
            turn.close();
        }
        let Some(status) = self.members.join(name, &source, wanted.options.clone()) else {
            let problem = Problem::new(
                wanted.subject(),
                format!("member {name} is already one of the settings; this one is not read"),
                "name it otherwise, or take the member out of the settings",
            );
            self.problems.insert(name.clone(), problem);
            return;
        };
        let cancel = self.cancel.child_token();
        let guard = cancel.clone().drop_guard();
        self.numbers += 1;
        let turn = Turn::new(self.numbers);
        let gate = Gate {
            inner: Arc::clone(&self.sink),
            turn: turn.clone(),
            reader: self.numbers,
        };
        let voice = status.voice();
        let task = tokio::spawn(read_member(name.clone(), source, Arc::new(gate), status, cancel));
        let reader = Reader {
            number: self.numbers,
            wanted: wanted.clone(),
            turn,
            voice,
            cancel: guard,
            task,
            cluster: None,
            credentials: Verdict::unknown(Reason::NotTried, "they are not tried yet"),
            trial: None,
            tried: None,
            away: true,
            doubted: None,
        };
        self.readers.insert(name.clone(), reader);
        self.problems.remove(name);
    }

    fn leave(&self, name: &ClusterId) {
        self.say_left(name);
        self.members.leave(name);
    }

    fn say_left(&self, name: &ClusterId) {
        tracing::info!(member = %name, "member left: nothing in the home cluster asks for it any more");
        self.sink.apply(RegistryEvent {
            member: name.clone(),
            change: RegistryChange::Left,
        });
    }

    /// Tries the kubeconfig in use.
    fn attempt(&mut self, name: &ClusterId, rest: Rest, backoff: Option<Backoff>) {
        if let Some(reader) = self.readers.get(name) {
            let wanted = reader.wanted.clone();
            self.begin(name, wanted, rest, backoff);
        }
    }

    fn begin(&mut self, name: &ClusterId, wanted: Wanted, rest: Rest, backoff: Option<Backoff>) {
        let source = self.source(&wanted);
        let Some(reader) = self.readers.get_mut(name).filter(|reader| reader.trial.is_none()) else {
            return;
        };
        let takeover = (reader.wanted.kubeconfig != wanted.kubeconfig).then(|| {
            self.numbers += 1;
            Takeover {
                number: self.numbers,
                turn: reader.turn.clone(),
                voice: reader.voice.clone(),
                sink: Arc::clone(&self.sink),
                members: self.members.clone(),
                cancel: self.cancel.clone(),
                cluster: reader.cluster.clone().or_else(|| self.members.fingerprint(name)),
                doubted: reader.doubted.clone(),
            }
        });
        let hurry = Arc::new(Notify::new());
        let trial = Trial {
            name: name.clone(),
            wanted,
            source,
            reader: reader.number,
            backoff: backoff.unwrap_or_else(|| Backoff::new(TRY_AGAIN, TRY_AGAIN_AT_MOST)),
            rest,
            hurry: Arc::clone(&hurry),
            takeover,
        };
        let task = self.trials.spawn(trial.run()).id();
        reader.trial = Some(UnderWay { task, hurry });
    }

    /// A trial ended without a word: the next one comes after a long rest.
    fn broke_off(&mut self, task: tokio::task::Id) {
        let mut readers = self.readers.iter_mut();
        let found = readers.find(|(_, reader)| reader.trial.as_ref().is_some_and(|trial| trial.task == task));
        let Some((name, reader)) = found else { return };
        reader.trial = None;
        reader.tried = Some(Instant::now());
        let name = name.clone();
        if let Some(latest) = self.wanted.get(&name).cloned() {
            let rarely = Backoff::new(TRY_AGAIN_AT_MOST, TRY_AGAIN_AT_MOST);
            self.begin(&name, latest, Rest::First, Some(rarely));
        }
    }

    fn source(&self, wanted: &Wanted) -> MemberSource {
        MemberSource::Secret {
            secret: wanted.secret.clone(),
            kubeconfig: wanted.kubeconfig.clone(),
            allowed: Arc::clone(&self.allowed),
        }
    }
}

#[cfg(test)]
mod tests;
