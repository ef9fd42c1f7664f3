//! Building the next answer of one type from the present state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::held::Held;
use super::order::Order;
use super::response::{Answer, Response, TypeUrl};
use super::subscription::{Carried, InFlight, Subscription};
use super::{Dialect, MAX_NAME_BYTES, child_of};
use crate::cache::Lookup;
use crate::resources::{Resource, ResourceType, Version, empty_assignment};

/// From this size on the rest goes into another answer: gRPC clients take 4 MiB by default, and one more resource has to
/// fit below that.
const ANSWER_BYTES: usize = 1 << 20;

// One name always fits next to what is already there.
const _: () = assert!(MAX_NAME_BYTES < ANSWER_BYTES);

impl Subscription {
    /// The answer that is due now, if any; none while one waits for its ACK.
    pub(super) fn answer(&mut self, nonce: u64, lookup: &dyn Lookup, order: &Order<'_>) -> Option<Answer> {
        let idle = self.changed.is_empty() && self.owed.is_empty() && !self.sweep;
        if self.in_flight.is_some() || idle {
            return None;
        }
        if self.dialect == Dialect::StateOfTheWorld && self.kind.is_wildcard_capable() {
            self.full_set(nonce, lookup, order)
        } else {
            self.difference(nonce, lookup, order)
        }
    }

    /// State of the world, for types where absence means deletion: everything that is wanted, or nothing at all when the
    /// client has just that.
    fn full_set(&mut self, nonce: u64, lookup: &dyn Lookup, order: &Order<'_>) -> Option<Answer> {
        let mut set: BTreeMap<Arc<str>, Arc<Resource>> = BTreeMap::new();
        if self.is_whole() {
            for resource in lookup.all(self.kind) {
                set.insert(Arc::clone(&resource.name), resource);
            }
        }
        for name in &self.names {
            if let Some(resource) = lookup.get(self.kind, name) {
                set.insert(Arc::clone(name), resource);
            }
        }
        let is_new = |resource: &Resource| !self.holds(resource) || self.is_unsure(resource);
        let mut new = set.values().filter(|resource| is_new(resource));
        // A set without those that have to wait would take away what the client has of them.
        if new.any(|resource| order.waits(self.kind, &resource.name, Some(resource), None)) {
            return None;
        }
        let owed = std::mem::take(&mut self.owed);
        self.owed_for_nothing = 0;
        let due = owed.iter().any(|name| self.wants(name)) || self.answer_owed;
        self.changed.clear();
        self.sweep = false;
        self.answer_owed = false;
        for (name, had) in &self.held {
            if !set.contains_key(name) && order.waits(self.kind, name, None, Some(had)) {
                set.extend(
                    self.content
                        .get_key_value(name)
                        .map(|(name, kept)| (Arc::clone(name), Arc::clone(kept))),
                );
                self.changed.insert(Arc::clone(name));
            }
        }
        let news = set.values().any(|resource| !self.holds(resource));
        // What was refused before it may take this time, and then it awaits what belongs to it.
        let fresh = set
            .values()
            .filter(|resource| !self.holds(resource) || self.is_unsure(resource));
        let fresh: Vec<_> = fresh.map(|resource| Arc::clone(&resource.name)).collect();
        let mut gone = Vec::new();
        self.held.retain(|name, _| {
            let stays = set.contains_key(name);
            if !stays {
                gone.push(Arc::clone(name));
            }
            stays
        });
        if !due && !news && gone.is_empty() {
            return None;
        }
        for name in &gone {
            self.lost(name);
        }
        for resource in set.values() {
            self.hold(resource);
        }
        let resources: Vec<_> = set.into_values().collect();
        Some(self.send(nonce, resources, Vec::new(), Carried::All, fresh, gone))
    }

    /// What differs from what the client holds, and what it is owed, as far as it fits into one answer.
    fn difference(&mut self, nonce: u64, lookup: &dyn Lookup, order: &Order<'_>) -> Option<Answer> {
        if std::mem::take(&mut self.sweep) {
            let all = lookup.all(self.kind);
            self.changed
                .extend(all.iter().map(|resource| Arc::clone(&resource.name)));
            self.changed.extend(self.held.keys().cloned());
        }
        let mut resources = Vec::new();
        let mut removed = Vec::new();
        let mut fresh = Vec::new();
        let mut gone = Vec::new();
        let mut bytes = 0;
        // Whose children have to know.
        let is_parent = child_of(self.kind).is_some();
        // What has to wait for another type.
        let mut later = Vec::new();
        let mut changed = std::mem::take(&mut self.changed);
        let mut owed = std::mem::take(&mut self.owed);
        while bytes < ANSWER_BYTES {
            let Some((name, is_owed)) = take_first(&mut changed, &mut owed) else {
                break;
            };
            if !self.wants(&name) {
                // A name that the client gave back while `*` does not cover it: only delta clients are told, see `adjust`.
                continue;
            }
            let now = lookup.get(self.kind, &name);
            let had = self.held.get(&name);
            let held = had.is_some();
            let is_same = |resource: &Arc<Resource>| had.is_some_and(|had| had.is(resource.version));
            let exists = now.is_some();
            let is_news = is_owed || !now.as_ref().is_some_and(is_same);
            if is_news && order.waits(self.kind, &name, now.as_deref(), had) {
                later.push((name, is_owed));
                continue;
            }
            match now.or_else(|| self.instead(&name, held, is_owed)) {
                Some(resource) if is_news && (is_owed || exists || !self.holds(&resource)) => {
                    if is_parent {
                        fresh.push(Arc::clone(&name));
                    }
                    bytes += resource.any.len() + name.len();
                    self.hold(&resource);
                    resources.push(resource);
                }
                None if held || is_owed => {
                    if self.held.remove(&name).is_some() {
                        self.lost(&name);
                        gone.push(Arc::clone(&name));
                    }
                    bytes += name.len();
                    removed.push(name);
                }
                Some(resource) if self.uses.turns_out(&name, &resource.clusters) => order.learn(),
                Some(_) | None => {}
            }
        }
        for (name, is_owed) in later {
            let due = if is_owed { &mut owed } else { &mut changed };
            due.insert(name);
        }
        self.changed = changed;
        if owed.is_empty() {
            self.owed_for_nothing = 0;
        }
        self.owed = owed;
        if self.dialect == Dialect::StateOfTheWorld {
            // It has no way to say so; what a name belongs to says it.
            removed.clear();
        }
        let due = std::mem::take(&mut self.answer_owed);
        if !due && resources.is_empty() && removed.is_empty() {
            return None;
        }
        let carried = resources.iter().map(|resource| Arc::clone(&resource.name));
        let carried = Carried::Names(carried.collect());
        Some(self.send(nonce, resources, removed, carried, fresh, gone))
    }

    /// What goes out of a name that does not exist. An assignment that nobody can build is said to be empty where silence
    /// would do harm: an Envoy ignores the removal of one that it uses, and in state of the world it would wait for a name that
    /// never comes.
    fn instead(&self, name: &Arc<str>, held: bool, owed: bool) -> Option<Arc<Resource>> {
        let awaited = owed && self.dialect == Dialect::StateOfTheWorld;
        let empty_instead = self.kind == ResourceType::ClusterLoadAssignment && (held || awaited);
        empty_instead.then(|| Arc::new(empty_assignment(Arc::clone(name))))
    }

    fn holds(&self, resource: &Resource) -> bool {
        self.held
            .get(&resource.name)
            .is_some_and(|held| held.is(resource.version))
    }

    fn is_unsure(&self, resource: &Resource) -> bool {
        self.held.get(&resource.name).is_some_and(Held::is_unsure)
    }

    /// The client loses a name.
    fn lost(&mut self, name: &str) {
        self.content.remove(name);
        if self.dialect == Dialect::StateOfTheWorld && !self.kind.is_wildcard_capable() {
            // No answer says so, and so none is acknowledged.
            self.uses.dropped(name);
        } else {
            self.uses.removed(name);
        }
    }

    fn hold(&mut self, resource: &Arc<Resource>) {
        if self.names_clusters() {
            self.uses.sent(&resource.name, &resource.clusters);
        }
        if self.kind == ResourceType::Cluster && self.dialect == Dialect::StateOfTheWorld {
            self.content.insert(Arc::clone(&resource.name), Arc::clone(resource));
        }
        match self.held.get_mut(&resource.name) {
            Some(held) => held.send(resource.version),
            None => drop(
                self.held
                    .insert(Arc::clone(&resource.name), Held::first(resource.version)),
            ),
        }
    }

    /// A tree that grew in order has its nodes half empty, and each stream holds hundreds of entries for hours.
    fn pack(&mut self, grown: usize) {
        if grown >= 8 && grown * 2 >= self.held.len() {
            self.held = std::mem::take(&mut self.held).into_iter().collect();
            self.names = std::mem::take(&mut self.names).into_iter().collect();
        }
    }

    fn send(
        &mut self,
        nonce: u64,
        resources: Vec<Arc<Resource>>,
        removed: Vec<Arc<str>>,
        carried: Carried,
        fresh: Vec<Arc<str>>,
        gone: Vec<Arc<str>>,
    ) -> Answer {
        self.pack(resources.len());
        let version = Version::of_set(resources.iter().map(|resource| resource.version));
        let nonce = nonce.to_string();
        self.pushes += 1;
        self.sent_version = Some(version);
        self.in_flight = Some(InFlight {
            nonce: nonce.clone(),
            version,
            carried,
            gone: if self.names_clusters() {
                gone.clone()
            } else {
                Vec::new()
            },
        });
        Answer {
            response: Response {
                type_url: TypeUrl::Served(self.kind),
                version,
                nonce,
                resources,
                removed,
            },
            fresh,
            gone,
        }
    }
}

/// The first name of both sets, taken from each that has it; true when it is owed.
fn take_first(changed: &mut BTreeSet<Arc<str>>, owed: &mut BTreeSet<Arc<str>>) -> Option<(Arc<str>, bool)> {
    let name = match (changed.first(), owed.first()) {
        (Some(a), Some(b)) => a.min(b),
        (a, b) => a.or(b)?,
    };
    let name = Arc::clone(name);
    changed.remove(&name);
    let is_owed = owed.remove(&name);
    Some((name, is_owed))
}
