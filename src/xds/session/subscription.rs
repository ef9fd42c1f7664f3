//! One type of a session: what is asked for, what the client holds, what is due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::held::Held;
use super::status::{Nack, ResourceState, ResourceStatus, TypeStatus};
use super::uses::Uses;
use super::{Body, Dialect, Interest, Rejection, Verdict};
use crate::resources::{Resource, ResourceType, Version};

/// Whether the whole type is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    /// No request came yet, so naming nothing may still mean everything.
    Unsaid,
    /// Yes, in the old way: no name was ever asked for.
    Silently,
    /// Yes, by `*`.
    Asked,
    /// No; from now on naming nothing means nothing.
    No,
}

/// What an answer carried, to know whom its ACK is about.
#[derive(Debug)]
pub(super) enum Carried {
    /// Everything that is held.
    All,
    /// These names.
    Names(Vec<Arc<str>>),
}

/// The answer that waits for its ACK or NACK.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) nonce: String,
    pub(super) version: Version,
    pub(super) carried: Carried,
    /// Of listeners and routes: the names that the client loses.
    pub(super) gone: Vec<Arc<str>>,
}

/// One type of a session.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) kind: ResourceType,
    pub(super) dialect: Dialect,
    /// A request came; what a client claims to hold counts in the first one only.
    asked: bool,
    whole: Whole,
    pub(super) names: BTreeSet<Arc<str>>,
    pub(super) held: BTreeMap<Arc<str>, Held>,
    /// Of listeners and routes: which clusters they name.
    pub(super) uses: Uses,
    /// Of clusters in state of the world: what was sent, because a set holds those too that have to stay for a while.
    pub(super) content: BTreeMap<Arc<str>, Arc<Resource>>,
    /// Names that may differ from what is held.
    pub(super) changed: BTreeSet<Arc<str>>,
    /// Names to be sent even if they equal what was sent before.
    pub(super) owed: BTreeSet<Arc<str>>,
    /// How many names given back under `*` are among those, at most: a client that never acknowledges can make them grow.
    pub(super) owed_for_nothing: usize,
    /// Every name of the type has to be compared.
    pub(super) sweep: bool,
    /// An answer is due even if there is nothing to say.
    pub(super) answer_owed: bool,
    pub(super) in_flight: Option<InFlight>,
    pub(super) sent_version: Option<Version>,
    acked_version: Option<Version>,
    pub(super) pushes: u64,
    acks: u64,
    nacks: u64,
    last_nack: Option<Nack>,
}

impl Subscription {
    pub(super) fn new(kind: ResourceType, dialect: Dialect) -> Self {
        Self {
            kind,
            dialect,
            asked: false,
            whole: if kind.is_wildcard_capable() {
                Whole::Unsaid
            } else {
                Whole::No
            },
            names: BTreeSet::new(),
            held: BTreeMap::new(),
            uses: Uses::default(),
            content: BTreeMap::new(),
            changed: BTreeSet::new(),
            owed: BTreeSet::new(),
            owed_for_nothing: 0,
            sweep: false,
            answer_owed: false,
            in_flight: None,
            sent_version: None,
            acked_version: None,
            pushes: 0,
            acks: 0,
            nacks: 0,
            last_nack: None,
        }
    }

    /// How many names are kept for what the client asked.
    pub(super) fn name_count(&self) -> usize {
        self.names.len() + self.owed_for_nothing
    }

    /// Whether resources of this type say where traffic goes.
    pub(super) fn names_clusters(&self) -> bool {
        matches!(self.kind, ResourceType::Listener | ResourceType::RouteConfiguration)
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self.whole, Whole::Silently | Whole::Asked)
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        self.is_whole() || self.names.contains(name)
    }

    /// True when the client holds this from an answer on this stream, and not by its own word.
    pub(super) fn was_given(&self, name: &str) -> bool {
        let held = self.held.get(name);
        held.is_some_and(Held::was_given)
    }

    /// Settles the answer in flight when the nonce is its own. What the client says of the version is not looked at.
    pub(super) fn settle(&mut self, nonce: &str, error: Option<Rejection>) -> Option<Verdict> {
        let InFlight {
            version, carried, gone, ..
        } = self.in_flight.take_if(|answer| answer.nonce == nonce)?;
        let each = if error.is_some() { Held::nack } else { Held::ack };
        match carried {
            Carried::All => {
                self.held.values_mut().for_each(each);
                match error {
                    Some(_) => {
                        self.uses.acked(&gone);
                        self.uses.all_nacked();
                    }
                    None => self.uses.all_acked(),
                }
            }
            Carried::Names(names) => {
                for name in &names {
                    if let Some(held) = self.held.get_mut(name) {
                        each(held);
                    }
                }
                // Clients take away what they are told to even where they refuse the rest.
                self.uses.acked(&gone);
                match error {
                    Some(_) => self.uses.nacked(&names),
                    None => self.uses.acked(&names),
                }
            }
        }
        Some(match error {
            Some(Rejection { code, message }) => {
                // Envoys repeat what they refuse, and this may be a private key.
                let message = match self.kind {
                    ResourceType::Secret => {
                        "(what was said of a secret is not kept; see the proxy's own log)".to_owned()
                    }
                    _ => message,
                };
                self.nacks += 1;
                self.last_nack = Some(Nack { version, code, message });
                Verdict::Nacked(self.kind)
            }
            None => {
                self.acks += 1;
                self.acked_version = Some(version);
                self.last_nack = None;
                Verdict::Acked(self.kind)
            }
        })
    }

    /// Applies a change of subscriptions. Names in `renewed` are awaited although the client holds them. `parent` is the
    /// type whose resources these belong to.
    pub(super) fn apply(&mut self, body: Body, renewed: &BTreeSet<String>, parent: Option<&Self>) -> Vec<Interest> {
        let first = !std::mem::replace(&mut self.asked, true);
        match body {
            Body::Names(names) => self.replace(names, parent),
            Body::Delta {
                subscribe,
                unsubscribe,
                initial,
            } => {
                let claims = if first { initial } else { BTreeMap::new() };
                self.adjust(subscribe, &unsubscribe, claims, renewed, parent)
            }
        }
    }

    /// State of the world: the list is all that is wanted.
    fn replace(&mut self, names: Vec<String>, parent: Option<&Self>) -> Vec<Interest> {
        let before = self.is_whole();
        let silent = names.is_empty();
        let (star, wanted) = self.read(names, parent);
        self.whole = match self.whole {
            _ if star => Whole::Asked,
            Whole::Unsaid | Whole::Silently if silent => Whole::Silently,
            _ => Whole::No,
        };
        let added: Vec<_> = wanted.difference(&self.names).cloned().collect();
        let dropped: Vec<_> = self.names.difference(&wanted).cloned().collect();
        self.names = wanted;
        self.owed.extend(added.iter().cloned());
        if !before && self.is_whole() {
            self.sweep = true;
            self.answer_owed = true;
        }
        self.forget(before, &dropped);
        self.interests(before, added, dropped)
    }

    /// Delta: first what is added, then what is taken away.
    fn adjust(
        &mut self,
        subscribe: Vec<String>,
        unsubscribe: &[String],
        claims: BTreeMap<String, String>,
        renewed: &BTreeSet<String>,
        parent: Option<&Self>,
    ) -> Vec<Interest> {
        let before = self.is_whole();
        let silent = subscribe.is_empty();
        let (star, asked) = self.read(subscribe, parent);
        if star {
            self.whole = Whole::Asked;
        } else if self.whole == Whole::Unsaid {
            self.whole = if silent { Whole::Silently } else { Whole::No };
        }
        if star || (!before && self.is_whole()) {
            self.sweep = true;
            // A client that says what it holds needs no word when that is still right.
            self.answer_owed = claims.is_empty();
        }
        if !before && self.is_whole() {
            self.owe_what_is_on_its_way();
        }
        for (name, version) in &claims {
            // Of a name that is not asked for nobody needs to hear.
            if self.is_whole() || asked.contains(name.as_str()) {
                let held = Held::claimed(version);
                let known = asked.get(name.as_str()).cloned();
                let name = known.unwrap_or_else(|| name.as_str().into());
                if self.names_clusters() {
                    self.uses.claimed(&name);
                }
                self.held.insert(name, held);
            }
        }
        let mut added = Vec::new();
        for name in asked {
            // A client that asks for what it says to hold needs only what differs; any other asks because it has nothing.
            if claims.contains_key(&*name) && !renewed.contains(&*name) {
                self.changed.insert(Arc::clone(&name));
            } else {
                self.owed.insert(Arc::clone(&name));
            }
            if self.names.insert(Arc::clone(&name)) {
                added.push(name);
            }
        }
        let mut dropped = Vec::new();
        for name in unsubscribe {
            if name == "*" && self.kind.is_wildcard_capable() {
                self.whole = Whole::No;
            } else if let Some(name) = self.names.take(name.as_str()) {
                added.retain(|other| *other != name);
                dropped.push(name);
            }
        }
        if self.is_whole() {
            // The client can't tell whether `*` still covers these, so it is told.
            self.owed_for_nothing += dropped.len();
            self.owed.extend(dropped.iter().cloned());
        }
        self.forget(before, &dropped);
        self.interests(before, added, dropped)
    }

    /// An answer that left before `*` was given back may arrive after it is asked for again, and then the client holds what
    /// is forgotten here.
    fn owe_what_is_on_its_way(&mut self) {
        if let Some(InFlight { carried, .. }) = &self.in_flight
            && let Carried::Names(names) = carried
        {
            let forgotten = names.iter().filter(|name| !self.held.contains_key(*name));
            self.owed.extend(forgotten.cloned());
        }
    }

    /// Splits a list into `*` and real names. The empty name never exists, and `*` is nothing where a type can't be asked
    /// for as a whole; both still count as having asked.
    fn read(&self, names: Vec<String>, parent: Option<&Self>) -> (bool, BTreeSet<Arc<str>>) {
        let capable = self.kind.is_wildcard_capable();
        let star = capable && names.iter().any(|name| name == "*");
        let names = names.into_iter().filter(|name| name != "*");
        let names = names.filter(|name| !name.is_empty());
        // The Arc of a name that is known is kept, so that an ACK which lists thousands of them costs no memory. An
        // assignment is called as its cluster, whose name all streams share.
        let own = |name: &str| self.names.get(name);
        let of_parent = |name: &str| Some(parent?.held.get_key_value(name)?.0);
        let known = |name: String| match own(&name).or_else(|| of_parent(&name)) {
            Some(name) => Arc::clone(name),
            None => name.into(),
        };
        (star, names.map(known).collect())
    }

    /// Forgets what the client drops, so that it is sent again when it is asked for again.
    fn forget(&mut self, was_whole: bool, dropped: &[Arc<str>]) {
        if self.is_whole() {
            return;
        }
        if was_whole || self.sweep {
            self.sweep = false;
            self.answer_owed = false;
            let names = &self.names;
            self.held.retain(|name, _| names.contains(name));
            self.changed.retain(|name| names.contains(name));
            self.owed.retain(|name| names.contains(name));
            self.uses.retain(|name| names.contains(name));
            self.content.retain(|name, _| names.contains(name));
        }
        for name in dropped {
            self.held.remove(name);
            self.uses.dropped(name);
            self.content.remove(name);
            self.changed.remove(name);
            self.owed.remove(name);
        }
    }

    fn interests(&self, was_whole: bool, added: Vec<Arc<str>>, dropped: Vec<Arc<str>>) -> Vec<Interest> {
        let mut interests = Vec::new();
        if !added.is_empty() {
            interests.push(Interest::Subscribe(self.kind, added));
        }
        if !was_whole && self.is_whole() {
            interests.push(Interest::SubscribeAll(self.kind));
        }
        if !dropped.is_empty() {
            interests.push(Interest::Unsubscribe(self.kind, dropped));
        }
        if was_whole && !self.is_whole() {
            interests.push(Interest::UnsubscribeAll(self.kind));
        }
        interests
    }

    /// Marks names that may have changed.
    pub(super) fn mark(&mut self, names: &BTreeSet<Arc<str>>) {
        for name in names {
            if self.wants(name) {
                self.changed.insert(Arc::clone(name));
            }
        }
    }

    /// The resources that this type's belong to were sent with new content, or taken away. A child of a new parent is
    /// awaited even if it did not change; the child of one that is gone was dropped with it.
    pub(super) fn parents_changed(&mut self, fresh: &[Arc<str>], gone: &[Arc<str>]) {
        for name in fresh {
            if self.names.contains(name) {
                self.owed.insert(Arc::clone(name));
            }
        }
        for name in gone {
            self.held.remove(name);
            self.changed.remove(name);
        }
    }

    pub(super) fn status(&self) -> TypeStatus {
        TypeStatus {
            kind: self.kind,
            subscribed: self.names.len(),
            wildcard: self.is_whole(),
            held: self.held.len(),
            pending: self.changed.union(&self.owed).count(),
            in_flight: self.in_flight.as_ref().map(|answer| answer.nonce.clone()),
            sent_version: self.sent_version,
            acked_version: self.acked_version,
            pushes: self.pushes,
            acks: self.acks,
            nacks: self.nacks,
            last_nack: self.last_nack.clone(),
        }
    }

    pub(super) fn resources(&self) -> Vec<ResourceStatus> {
        let held = self.held.iter().map(|(name, held)| ResourceStatus {
            name: Arc::clone(name),
            sent: held.sent_text(),
            acked: held.taken_text(),
            state: held.state(),
        });
        let missing = self
            .names
            .iter()
            .filter(|name| !self.held.contains_key(*name))
            .map(|name| ResourceStatus {
                name: Arc::clone(name),
                sent: String::new(),
                acked: String::new(),
                state: ResourceState::NotSent,
            });
        let mut all: Vec<_> = held.chain(missing).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}
