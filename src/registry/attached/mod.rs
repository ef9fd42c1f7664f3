//! Members that join and leave at run time, as the home cluster lists them: kubeconfigs in Secrets labelled
//! `istio/multiCluster: "true"`, as Istio has them, and `Member` objects that name a Secret.
//!
//! A key or object that comes is a member that joins, one that goes is a member that leaves. A kubeconfig that changes is a
//! rotation: the new one is tried first, must lead to the same cluster and list what is known of it; then it takes over from
//! the one before, which was heard until that moment. What else an object says takes effect without a new connection.

mod absence;
mod handover;
mod home;
mod options;
mod record;
mod remembered;
mod running;
mod trial;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::runtime::watcher;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::kubernetes::{self, Allowed};
use super::{Answer, Attachment, MemberOptions, MemberSource, Members, Problem, Reason, Verdict};
use crate::lifecycle::Backoff;
use crate::model::{ClusterId, ObjectName};
use crate::table::EventSink;
use absence::{Absence, AtStake, Groups};
pub use home::member_resource;
use home::{Heard, Kept, Meant, Watches};
use record::{MemberRecord, SecretRecord};
use running::{Listed, Running};
use wanted::{Asked, Home, asked};

/// How often members that are away are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// So many failures of a watch without a word in between, and the connection is made anew: the kubeconfig may be another by now.
const FAILURES: u32 = 8;

/// Where members are listed, and what is known of them already.
#[derive(Debug)]
pub struct AttachedMembers {
    /// The cluster that lists them.
    pub source: MemberSource,
    /// The namespace in it.
    pub namespace: String,
    /// How members are treated where nothing else is said.
    pub options: MemberOptions,
    /// What kubeconfigs may use beside tokens and data.
    pub allowed: Allowed,
    /// Members that are served as they were known before the start; those that are not listed leave once the lists are complete.
    pub known: BTreeSet<ClusterId>,
    /// Told the members of the first lists.
    pub listed: oneshot::Sender<Vec<ClusterId>>,
}

/// Reads the members that a cluster lists, until cancelled. Whatever fails is retried for ever and shown in `members`; members
/// stay while the lists can't be read.
pub async fn run_attached_members(
    place: AttachedMembers,
    sink: Arc<dyn EventSink>,
    members: Members,
    cancel: CancellationToken,
) {
    let source = place.source.clone();
    let mut attached = Attached::new(place, sink, members, cancel.clone());
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
    let reading = async {
        loop {
            match kubernetes::connect(&source).await {
                Ok(client) => {
                    let begun = Instant::now();
                    attached.follow(Watches::new(client, &attached.namespace)).await;
                    if begun.elapsed() > Duration::from_secs(120) {
                        backoff.reset();
                    }
                }
                Err(failure) => attached.unreadable(SECRETS, failure.to_string()),
            }
            // Members go on being looked after.
            let rest = Instant::now() + backoff.next_delay();
            while tokio::time::timeout_at(rest, attached.running.tried()).await.is_ok() {
                attached.show();
            }
        }
    };
    cancel.run_until_cancelled(reading).await;
    attached.running.end().await;
}

const SECRETS: &str = "Secrets";
const MEMBERS: &str = "Members";

/// How reading the lists fares.
#[derive(Debug, Default)]
struct Reading {
    listed: Listed,
    /// The list of `Member` objects failed, so nobody waits for it.
    members_failed: bool,
    /// What the server says where it says that it has no such objects.
    absence: Absence,
    /// Failures in a row.
    failures: u32,
    /// What can't be read at present, and why.
    unreadable: BTreeMap<&'static str, String>,
}

/// A Secret of a name, if there is one.
#[derive(Default)]
struct Named {
    kept: Kept<ObjectName, SecretRecord>,
    /// It was looked for.
    listed: bool,
}

struct Attached {
    running: Running,
    /// Taken with the first lists.
    first: Option<oneshot::Sender<Vec<ClusterId>>>,
    options: MemberOptions,
    secrets: Kept<ObjectName, SecretRecord>,
    objects: Kept<ObjectName, MemberRecord>,
    /// Secrets that objects name, and that have no label.
    named: BTreeMap<Arc<str>, Named>,
    state: Reading,
    asked: Asked,
    members: Members,
    namespace: String,
    /// What problems are filed under.
    shown: PathBuf,
}

impl Attached {
    fn new(place: AttachedMembers, sink: Arc<dyn EventSink>, members: Members, cancel: CancellationToken) -> Self {
        let turns = remembered::turns(&place.known);
        let aging = remembered::age(turns.clone(), place.options.stale, Arc::clone(&sink), members.clone());
        let ended = cancel.clone();
        // Ends by itself, or with this process.
        tokio::spawn(async move { ended.run_until_cancelled(aging).await });
        Self {
            running: Running::new(sink, members.clone(), Arc::new(place.allowed), cancel, place.known)
                .with_turns(turns),
            first: Some(place.listed),
            options: place.options,
            secrets: Kept::default(),
            objects: Kept::default(),
            named: BTreeMap::new(),
            state: Reading::default(),
            asked: Asked::default(),
            members,
            shown: PathBuf::from(format!("members in {}", place.namespace)),
            namespace: place.namespace,
        }
    }

    /// Follows the watches until a new connection is needed.
    async fn follow(&mut self, mut watches: Watches) {
        let mut freed = self.members.freed();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.state.failures = 0;
        watches.name(&self.named.keys().cloned().collect());
        loop {
            tokio::select! {
                heard = watches.next() => match heard {
                    Some(heard) => {
                        if let Some(names) = self.hear(heard).await {
                            watches.name(&names);
                        }
                        if self.state.failures >= FAILURES {
                            return;
                        }
                    }
                    None => return,
                },
                () = self.running.tried() => self.show(),
                _ = freed.changed() => {
                    self.running.join_free();
                    self.show();
                }
                _ = look.tick() => {
                    self.running.look();
                    self.show();
                }
            }
        }
    }

    /// Takes in what a watch tells; the names of Secrets that have to be watched, where these are others now.
    async fn hear(&mut self, heard: Heard) -> Option<BTreeSet<Arc<str>>> {
        let meant = match heard {
            Heard::Secrets(Ok(event)) => {
                self.readable(SECRETS);
                let complete = matches!(event, watcher::Event::InitDone);
                self.state.listed.secrets |= complete;
                self.secrets.take(event, record::of_secret)
            }
            Heard::Members(Ok(event)) => {
                // That a list begins is said before the server was asked.
                if !matches!(event, watcher::Event::Init) {
                    self.readable(MEMBERS);
                    self.state.absence.end();
                }
                let complete = matches!(event, watcher::Event::InitDone);
                self.state.listed.members |= complete;
                self.objects.take(event, record::of_member)
            }
            Heard::Named(name, Ok(event)) => {
                self.readable(SECRETS);
                let named = self.named.entry(name).or_default();
                named.listed |= matches!(event, watcher::Event::InitDone);
                named.kept.take(event, record::of_secret)
            }
            Heard::NoMembers(groups) => self.no_members(&groups),
            Heard::Members(Err(error)) => {
                self.state.members_failed = true;
                self.state.absence.end();
                self.failed(MEMBERS, &error);
                Meant::News
            }
            Heard::Secrets(Err(error)) | Heard::Named(_, Err(error)) => {
                self.failed(SECRETS, &error);
                return None;
            }
        };
        match meant {
            Meant::Listing => None,
            Meant::News => self.news().await,
        }
    }

    /// The server says that it has no such kind: nobody has installed it, or it is gone with all its objects, or the server
    /// has just started.
    fn no_members(&mut self, groups: &Groups) -> Meant {
        self.state.members_failed = true;
        let at_stake = match self.objects.held.is_empty() && !self.running.remembers() {
            true => AtStake::Nothing,
            false => AtStake::Members,
        };
        let believed = self.state.absence.hear(groups, at_stake, Instant::now());
        if believed {
            self.state.listed.members = true;
            self.objects = Kept::default();
        }
        if believed || at_stake == AtStake::Nothing {
            self.state.unreadable.remove(MEMBERS);
        } else {
            let why = match groups {
                Groups::WithoutOurs => "the API server says that it has no such kind, which is not believed at once",
                Groups::WithOurs => "the API server says that there are none of the kind, though it has its group",
                Groups::Untold(_) => "the API server says that it has no such kind, and does not tell which it has",
            };
            self.state.unreadable.insert(MEMBERS, why.to_owned());
        }
        Meant::News
    }

    /// Acts on what is held now, once that is enough.
    async fn news(&mut self) -> Option<BTreeSet<Arc<str>>> {
        let enough = self.state.listed.secrets && (self.state.listed.members || self.state.members_failed);
        if !enough {
            self.show();
            return None;
        }
        let names = self.names();
        let changed = !names.iter().eq(self.named.keys());
        self.named.retain(|name, _| names.contains(name));
        for name in &names {
            self.named.entry(Arc::clone(name)).or_default();
        }
        // A Secret that nobody has looked for yet is not one that does not exist.
        if self.named.values().all(|named| named.listed) {
            self.act().await;
        }
        changed.then_some(names)
    }

    /// The Secrets that objects name and that have no label.
    fn names(&self) -> BTreeSet<Arc<str>> {
        let objects = self.objects.held.iter();
        let named = objects.filter_map(|(name, object)| Home::secret_of(name, object));
        named
            .filter(|secret| !self.secrets.held.contains_key(secret))
            .map(|secret| secret.name)
            .collect()
    }

    async fn act(&mut self) {
        let home = Home {
            secrets: self.secrets.held.clone(),
            named: self.named.values().flat_map(|named| named.kept.held.clone()).collect(),
            members: self.objects.held.clone(),
        };
        self.asked = asked(&home, &self.options);
        let wanted = self.asked.members.clone();
        let names: Vec<_> = wanted.keys().cloned().collect();
        let pending = std::mem::take(&mut self.asked.pending);
        self.running.want(wanted, &pending, self.state.listed).await;
        if let Some(first) = self.first.take() {
            // Whoever waited may have given up.
            let _ = first.send(names);
        }
        self.show();
    }

    fn failed(&mut self, what: &'static str, error: &watcher::Error) {
        match home::code(error) {
            // No connection helps that.
            Some(403) => {}
            // Another token may be there by now.
            Some(401) => self.state.failures = FAILURES,
            _ => self.state.failures += 1,
        }
        self.unreadable(what, error.to_string());
    }

    fn readable(&mut self, what: &'static str) {
        self.state.failures = 0;
        self.state.unreadable.remove(what);
    }

    fn unreadable(&mut self, what: &'static str, error: String) {
        self.state.unreadable.insert(what, error);
        self.show();
    }

    fn show(&self) {
        let unreadable = self.state.unreadable.iter().map(|(what, error)| {
            Problem::new(
                format!("{what} in {}", self.namespace),
                format!("they can't be read: {error}; members that are known stay"),
                format!("let this process get, list and watch {what} there").as_str(),
            )
        });
        let wrong = self.asked.problems.iter().chain(self.running.problems()).cloned();
        self.members
            .set_problems(&self.shown, unreadable.chain(wrong).collect());
        let attachments = self.asked.attachments.values().map(|attachment| {
            let mut attachment = attachment.clone();
            if attachment.member.is_none() && attachment.accepted.reason != Reason::NameConflict {
                self.goes_on(&mut attachment);
            } else if let Some(name) = &attachment.member {
                match self.running.credentials(name) {
                    Ok(credentials) => attachment.credentials = credentials,
                    Err(problem) => {
                        let why = problem.map(ToString::to_string).unwrap_or_default();
                        attachment.accepted = Verdict::no(Reason::NameConflict, why);
                        attachment.credentials = Verdict::unknown(Reason::NotRead, "this object is not read");
                        attachment.member = None;
                    }
                }
            }
            attachment
        });
        self.members.set_attachments(attachments.collect());
    }

    /// An object that says too little to read its member anew does not end the reading.
    fn goes_on(&self, attachment: &mut Attachment) {
        let Ok(name) = ClusterId::new(&attachment.object.name) else {
            return;
        };
        if self.running.credentials(&name).is_ok() {
            attachment.member = Some(name);
            for verdict in [&mut attachment.accepted, &mut attachment.credentials] {
                verdict.message += "; it is read as before";
            }
            if attachment.credentials.answer == Answer::Unknown {
                attachment.credentials = attachment.accepted.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests;
