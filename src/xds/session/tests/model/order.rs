//! What may not go out yet, read off from what was received and sent; and what a client must never see.

use super::ledger::{Account, Ledger, Now};
use super::*;

/// Clusters that content names; any, where that is not known.
pub(super) type Named = Option<BTreeSet<Name>>;

/// The clusters that a listener or routes of this content name.
pub(super) fn clusters_of(kind: ResourceType, content: usize) -> &'static [Name] {
    match (kind, content) {
        (LDS | RDS, 1) => &["a"],
        (LDS | RDS, 2) => &["b", "c"],
        _ => &[],
    }
}

/// The clusters that what a client has of one type may name.
#[derive(Debug, Default)]
pub(super) struct Naming {
    now: BTreeMap<Name, Named>,
    /// What it had before, until it takes what was sent.
    before: BTreeMap<Name, Named>,
}

impl Naming {
    pub(super) fn claimed(&mut self, name: Name) {
        self.now.insert(name, None);
    }

    pub(super) fn unknown(&self) -> usize {
        self.now.values().filter(|named| named.is_none()).count()
    }

    pub(super) fn turns_out(&mut self, name: Name, clusters: &[Name]) {
        if let Some(named) = self.now.get_mut(name) {
            named.get_or_insert_with(|| clusters.iter().copied().collect());
        }
    }

    pub(super) fn sent(&mut self, name: Name, clusters: &[Name]) {
        let new: Named = Some(clusters.iter().copied().collect());
        let is_known = self.now.contains_key(name) || self.before.contains_key(name);
        let is_same = self.now.get(name) == Some(&new) && !self.before.contains_key(name);
        if (!is_known && clusters.is_empty()) || is_same {
            return;
        }
        if let Some(old) = self.now.insert(name, new) {
            self.before.entry(name).or_insert(old);
        }
    }

    pub(super) fn removed(&mut self, name: Name) {
        if let Some(old) = self.now.remove(name) {
            self.before.entry(name).or_insert(old);
        }
    }

    pub(super) fn dropped(&mut self, name: Name) {
        self.now.remove(name);
        self.before.remove(name);
    }

    /// What a client says to an answer with these, by which it lost those.
    pub(super) fn settle(&mut self, names: &[Name], gone: &[Name], refused: bool) {
        for name in gone {
            self.before.remove(name);
        }
        for name in names {
            match self.before.get_mut(name) {
                Some(before) if refused => *before = None,
                _ => drop(self.before.remove(name)),
            }
            if !refused && self.now.get(name) == Some(&Some(BTreeSet::new())) {
                self.now.remove(name);
            }
        }
    }

    fn may_name(&self, cluster: Name) -> bool {
        let mut all = self.now.values().chain(self.before.values());
        all.any(|named| named.as_ref().is_none_or(|names| names.contains(cluster)))
    }

    pub(super) fn retain(&mut self, wanted: impl Fn(&Name) -> bool) {
        self.now.retain(|name, _| wanted(name));
        self.before.retain(|name, _| wanted(name));
    }
}

impl Ledger {
    /// Whether what a name is now has to wait for another type.
    pub(super) fn waits(&self, kind: ResourceType, name: Name, now: Now<'_>) -> bool {
        let clusters: &Account = &self.accounts[&CDS];
        let untold = [LDS, RDS].into_iter().any(|kind| self.awaits(kind));
        let used = || {
            let from_before = !clusters.given.contains(name);
            (from_before && untold) || [LDS, RDS].iter().any(|kind| self.accounts[kind].naming.may_name(name))
        };
        let has = self.accounts[&kind].has.contains_key(name);
        let there = now(kind, name);
        !self.impatient
            && match (kind, there) {
                (CDS, None) => has && used(),
                (EDS, None) => has && clusters.has.contains_key(name) && now(CDS, name).is_none() && used(),
                (LDS | RDS, Some(there)) => there.clusters.iter().any(|cluster| {
                    let comes = clusters.has.contains_key(cluster) || now(CDS, cluster).is_some();
                    clusters.wants(cluster) && comes && !clusters.settled.contains(cluster)
                }),
                _ => false,
            }
    }
}

impl Run {
    /// Whether a listener or routes name a cluster that does not exist. Nothing tells that apart from one that is on its way.
    pub(super) fn names_what_is_not(&self) -> bool {
        let all = self.cached.world.iter();
        let mut named = all.flat_map(|((kind, _), content)| clusters_of(*kind, *content));
        named.any(|cluster| self.cached.now(CDS, cluster).is_none())
    }

    /// What no client may meet, whatever the ledger says: routes to a cluster that it is about to get, and the end of a cluster
    /// that its routes name. What it has from another stream, or gave back and wants again, the server can't know.
    pub(super) fn check_order(
        &self,
        kind: ResourceType,
        given: &Response,
        lost: &[Name],
        impatient: bool,
    ) -> Result<(), String> {
        if impatient {
            return Ok(());
        }
        let clusters = &self.client.sides[&CDS];
        let given_back = &self.client.sides[&EDS].orphans;
        let has = |resource: &Resource| {
            let held = &self.client.sides[&kind].held;
            held.get(&*resource.name) == Some(&resource.version)
        };
        for resource in given.resources.iter().filter(|resource| !has(resource)) {
            for cluster in resource.clusters.iter().filter_map(|cluster| name_of(cluster)) {
                let known = clusters.held.contains_key(cluster) || clusters.refused.contains_key(cluster);
                let expected = self.ledger.wants(CDS, cluster) && self.cached.now(CDS, cluster).is_some();
                if expected && clusters.wants(cluster) && !known && !given_back.contains(cluster) {
                    return Err(format!("R81: {kind:?} names {cluster}, which the client has not"));
                }
            }
        }
        for name in lost.iter().copied().filter(|_| kind == CDS) {
            for user in [LDS, RDS] {
                let side = &self.client.sides[&user];
                let names = side.held.iter().filter(|(own, version)| {
                    let content =
                        (0..CONTENTS).find(|content| run::version_of_content(user, own, *content) == **version);
                    let named = content.map_or(&[][..], |content| clusters_of(user, content));
                    // What it refused leaves what it may have from another stream.
                    let known = self.ledger.gave(user, own) && !side.refused.contains_key(*own);
                    let untold = self.ledger.awaits(user) && !self.ledger.gave(CDS, name);
                    side.wants(own) && (known || untold) && named.contains(&name)
                });
                if clusters.held.contains_key(name) && self.ledger.wants(CDS, name) && names.count() > 0 {
                    return Err(format!("R72, R81: {name} goes while {user:?} names it"));
                }
            }
        }
        Ok(())
    }
}
