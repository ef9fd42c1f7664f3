//! What watches tell becomes what the table is told: never half a list. Pure.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::guard::{is_built_in, is_doubtful};
use crate::model::ObjectName;
use crate::table::{Kept, Kind, Record, RegistryChange, Strings};

/// What the watch of one kind tells.
#[derive(Debug)]
pub(super) enum Heard {
    /// A complete list begins.
    ListBegins,
    /// An object of the list.
    Listed(Record),
    /// An object of the list that can't be read as a whole, and what can.
    ListedInPart(ObjectName, Option<Record>),
    /// The list is without this namespace, which can't be read.
    ListLacks(Arc<str>),
    /// The list is complete.
    ListEnds(Word),
    /// An object that can't be read as a whole was added or changed, and what can.
    ChangedInPart(ObjectName, Option<Record>),
    /// An object was added or changed; `None` where it says nothing to us (any more).
    Changed(ObjectName, Option<Record>),
    /// An object was deleted.
    Deleted(ObjectName),
    /// There is nothing to wait for: the member has no such kind, or does not let us read it.
    Missing,
}

/// What a list weighs that leaves much out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// It has to be confirmed.
    First,
    /// It comes so long after one that was doubted that it decides.
    Second,
}

#[derive(Debug, Default)]
struct OfKind {
    /// The list that is being told.
    listing: Vec<Record>,
    /// A list was complete once.
    listed: bool,
    /// Nothing of it is waited for.
    missing: bool,
    /// That list, held back until all kinds are listed, and what changed since.
    held: Vec<Record>,
    since: BTreeMap<ObjectName, Option<Record>>,
    /// What the table was told.
    told: Names,
    /// Objects of the list that can't be read as a whole: what was known of them is kept.
    in_part: BTreeSet<ObjectName>,
    /// The namespace that the list is without: what was known of it is kept.
    lacks: Option<Arc<str>>,
    /// How many objects the table has from before, whose names are not known here.
    before: usize,
    /// How many objects are kept that a list left out, until another list says the same.
    doubted: usize,
}

impl OfKind {
    /// How many objects the table holds.
    fn count(&self) -> usize {
        // Those of before are replaced by the first list that is taken at its word.
        self.told.0.len().max(self.before)
    }

    /// Takes a complete list, and says what else is kept.
    fn take(&mut self, list: &[Record], word: Word) -> Kept {
        let listed: Names = list.iter().collect();
        let lacks = self.lacks.take();
        let in_part = std::mem::take(&mut self.in_part);
        let named = |name: &Names| in_part.iter().filter(|one| !name.has(one)).count();
        let missing = match self.before {
            0 => {
                let missing = self.told.0.iter().filter(|hash| !listed.0.contains(*hash)).count();
                let kept = in_part.iter().filter(|name| self.told.has(name)).count();
                missing.saturating_sub(kept)
            }
            // That is the least that is missing.
            before => before.saturating_sub(listed.0.len() + named(&listed)),
        };
        let is_in_list = list.iter().filter(|record| !is_built_in(record)).count() + in_part.len();
        if word == Word::First && is_doubtful(self.count(), missing, is_in_list) {
            self.doubted = missing;
            self.told.0.extend(listed.0);
            return Kept::All;
        }
        (self.doubted, self.before) = (0, 0);
        let told = std::mem::replace(&mut self.told, listed);
        if let Some(namespace) = lacks {
            // Which of them are in there, no hash tells.
            self.told.0.extend(told.0);
            return Kept::Namespace(namespace, in_part);
        }
        let still = in_part.iter().filter(|name| told.has(name)).map(Names::hash);
        self.told.0.extend(still);
        Kept::These(in_part)
    }
}

/// A set of names, of which only a hash is kept: the table has the names.
#[derive(Debug, Default)]
struct Names(HashSet<u128, BuildHasherDefault<AsItIs>>);

impl Names {
    fn hash(name: &ObjectName) -> u128 {
        let mut hash = Xxh3::new();
        hash.update(name.namespace.as_bytes());
        hash.update(&[0]);
        hash.update(name.name.as_bytes());
        hash.digest128()
    }

    fn has(&self, name: &ObjectName) -> bool {
        self.0.contains(&Self::hash(name))
    }

    fn insert(&mut self, name: &ObjectName) {
        self.0.insert(Self::hash(name));
    }

    fn remove(&mut self, name: &ObjectName) -> bool {
        let known = self.0.remove(&Self::hash(name));
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(self.0.len() * 2);
        }
        known
    }
}

impl<'a> FromIterator<&'a Record> for Names {
    fn from_iter<I: IntoIterator<Item = &'a Record>>(records: I) -> Self {
        Self(records.into_iter().map(|record| Self::hash(&record.name())).collect())
    }
}

/// Takes a hash for a hash.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, number: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "half of a hash is one")]
        let half = number as u64;
        self.0 = half;
    }
}

/// The watches of one member together. Until each kind was listed once nothing is told, and then everything at once: an
/// endpoint without its pod, say, would be taken for one that no other network can reach.
#[derive(Debug, Default)]
pub(super) struct Fold {
    kinds: BTreeMap<Kind, OfKind>,
    started: bool,
    /// What the records of lists repeat, kept once while lists are told.
    strings: Strings,
}

impl Fold {
    /// Everything was told once.
    pub(super) fn started(&self) -> bool {
        self.started
    }

    /// Only kinds are waited for that a member may lack.
    pub(super) fn waits_for_optional(&self) -> bool {
        !self.started && self.has_core()
    }

    fn has_core(&self) -> bool {
        self.is_settled(&Kind::CORE)
    }

    /// Each of these was listed, or is not waited for.
    pub(super) fn is_settled(&self, kinds: &[Kind]) -> bool {
        let settled = |of_kind: &OfKind| of_kind.listed || of_kind.missing;
        kinds.iter().all(|kind| self.kinds.get(kind).is_some_and(settled))
    }

    /// How many objects of a kind the table holds.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.kinds.get(&kind).map_or(0, OfKind::count)
    }

    /// How many objects of a kind are kept that a list left out.
    pub(super) fn doubted(&self, kind: Kind) -> usize {
        self.kinds.get(&kind).map_or(0, |of_kind| of_kind.doubted)
    }

    /// Goes on where the table has so many objects already, of an earlier reader or from before the start.
    pub(super) fn after(counts: &BTreeMap<Kind, usize>) -> Self {
        let mut fold = Self::default();
        for (kind, count) in counts {
            fold.kinds.entry(*kind).or_default().before = *count;
        }
        fold
    }

    /// Takes what a watch tells, and says what the table is to be told.
    pub(super) fn hear(&mut self, kind: Kind, heard: Heard) -> Option<RegistryChange> {
        let started = self.started;
        let of_kind = self.kinds.entry(kind).or_default();
        match heard {
            Heard::ListBegins => {
                of_kind.listing = Vec::new();
                of_kind.in_part = BTreeSet::new();
                of_kind.lacks = None;
                None
            }
            Heard::ListLacks(namespace) => {
                of_kind.lacks = Some(namespace);
                None
            }
            Heard::Listed(mut record) => {
                record.share(&mut self.strings);
                of_kind.listing.push(record);
                None
            }
            Heard::ListedInPart(name, record) => {
                // What was known is nearer to the truth; of one that is new a part is better than nothing.
                let is_new = of_kind.before == 0 && !of_kind.told.has(&name);
                match record {
                    Some(record) if is_new => of_kind.listing.push(record),
                    _ => {
                        of_kind.in_part.insert(name);
                    }
                }
                None
            }
            Heard::ListEnds(word) => {
                let mut list = std::mem::take(&mut of_kind.listing);
                of_kind.listed = true;
                if started {
                    self.strings = Strings::default();
                    let kept = of_kind.take(&list, word);
                    return Some(replace([(kind, list, kept)]));
                }
                list.shrink_to_fit();
                of_kind.held = list;
                of_kind.since.clear();
                self.start()
            }
            Heard::ChangedInPart(name, _) if started && of_kind.told.has(&name) => None,
            Heard::ChangedInPart(name, Some(record)) | Heard::Changed(name, Some(record)) => {
                if !started {
                    of_kind.since.insert(name, Some(record));
                    return None;
                }
                of_kind.told.insert(&name);
                Some(RegistryChange::Upsert(record))
            }
            Heard::ChangedInPart(name, None) => {
                // Held back, so that what was known before is kept.
                if !started {
                    of_kind.in_part.insert(name);
                }
                None
            }
            Heard::Changed(name, None) | Heard::Deleted(name) => {
                if !started {
                    of_kind.since.insert(name, None);
                    return None;
                }
                // What is kept from before has no name here.
                let known = of_kind.told.remove(&name) || of_kind.before > 0;
                known.then_some(RegistryChange::Remove(kind, name))
            }
            Heard::Missing if started => None,
            Heard::Missing => {
                of_kind.missing = true;
                self.start()
            }
        }
    }

    /// Tells everything, once each kind was listed or is known to be missing. Of what was not listed nothing is said, but that
    /// there is nothing to wait for where every member has it.
    fn start(&mut self) -> Option<RegistryChange> {
        if !self.has_core() || !self.is_settled(&Kind::OPTIONAL) {
            return None;
        }
        self.started = true;
        self.strings = Strings::default();
        let lists = self.kinds.iter_mut().filter_map(|(kind, of_kind)| {
            if !of_kind.listed {
                return Kind::CORE.contains(kind).then(|| (*kind, Vec::new(), Kept::All));
            }
            let mut held = std::mem::take(&mut of_kind.held);
            let since = std::mem::take(&mut of_kind.since);
            if !since.is_empty() {
                held.retain(|record| !since.contains_key(&record.name()));
                held.extend(since.into_values().flatten());
            }
            let kept = of_kind.take(&held, Word::First);
            Some((*kind, held, kept))
        });
        Some(replace(lists))
    }
}

/// Lists, and what else is kept of their kinds.
fn replace(kinds: impl IntoIterator<Item = (Kind, Vec<Record>, Kept)>) -> RegistryChange {
    let (mut lists, mut kept) = (BTreeMap::new(), BTreeMap::new());
    for (kind, list, keep) in kinds {
        lists.insert(kind, list);
        if keep != Kept::default() {
            kept.insert(kind, keep);
        }
    }
    match kept.is_empty() {
        true => RegistryChange::Replace(lists),
        false => RegistryChange::ReplaceExcept { lists, kept },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Locality;
    use crate::table::{NamespaceRecord, NodeRecord};

    fn node(name: &str, zone: &str) -> Record {
        Record::Node(NodeRecord {
            name: name.into(),
            locality: Locality::new("eu", zone, ""),
            labels: Vec::new(),
            external: Vec::new(),
            internal: Vec::new(),
            ready: true,
        })
    }

    fn namespace(name: &str) -> Record {
        Record::Namespace(NamespaceRecord {
            terms: None,
            name: name.into(),
            network: None,
        })
    }

    fn list(fold: &mut Fold, kind: Kind, records: Vec<Record>) -> Option<RegistryChange> {
        assert!(fold.hear(kind, Heard::ListBegins).is_none());
        for record in records {
            assert!(fold.hear(kind, Heard::Listed(record)).is_none());
        }
        fold.hear(kind, Heard::ListEnds(Word::First))
    }

    fn started(nodes: Vec<Record>) -> Fold {
        let mut fold = Fold::default();
        list(&mut fold, Kind::Node, nodes);
        for kind in Kind::ALL {
            if kind != Kind::Node {
                list(&mut fold, kind, Vec::new());
            }
        }
        assert!(fold.started());
        fold
    }

    #[test]
    fn nothing_is_told_before_all_kinds_are_listed_and_then_everything_at_once() {
        let mut fold = Fold::default();
        let nodes = vec![node("a", "1"), node("b", "1"), node("c", "1")];
        assert!(list(&mut fold, Kind::Node, nodes).is_none());
        // What changes meanwhile counts.
        let name = |name| ObjectName::new("", name);
        fold.hear(Kind::Node, Heard::Changed(name("a"), Some(node("a", "2"))));
        fold.hear(Kind::Node, Heard::Deleted(name("b")));
        fold.hear(Kind::Node, Heard::Changed(name("c"), None));
        for kind in [Kind::Pod, Kind::Service, Kind::EndpointSlice] {
            assert!(list(&mut fold, kind, Vec::new()).is_none());
        }
        // What is not there is not waited for.
        for kind in Kind::OPTIONAL {
            assert!(fold.hear(kind, Heard::Missing).is_none());
        }
        let Some(RegistryChange::Replace(lists)) = list(&mut fold, Kind::Namespace, vec![namespace("shop")]) else {
            panic!("not told");
        };
        assert_eq!(lists.keys().copied().collect::<Vec<_>>(), Kind::CORE);
        assert_eq!(lists[&Kind::Node], [node("a", "2")]);
        assert_eq!(lists[&Kind::Namespace], [namespace("shop")]);
        assert_eq!((fold.count(Kind::Node), fold.count(Kind::Pod)), (1, 0));
    }

    #[test]
    fn a_later_list_replaces_its_kind_only_and_only_when_complete() {
        let mut fold = started(vec![node("a", "1")]);
        // A list that broke off in the middle leaves nothing behind.
        fold.hear(Kind::Node, Heard::ListBegins);
        fold.hear(Kind::Node, Heard::Listed(node("ghost", "1")));
        let change = list(&mut fold, Kind::Node, vec![node("b", "1")]);
        let Some(RegistryChange::Replace(lists)) = change else {
            panic!("{change:?}");
        };
        assert_eq!(lists, BTreeMap::from([(Kind::Node, vec![node("b", "1")])]));
    }

    #[test]
    fn single_changes_are_told_as_such_and_removals_of_the_unknown_are_not() {
        let mut fold = started(vec![node("a", "1")]);
        let name = |name| ObjectName::new("", name);
        let change = fold.hear(Kind::Node, Heard::Changed(name("b"), Some(node("b", "1"))));
        assert!(matches!(change, Some(RegistryChange::Upsert(record)) if record == node("b", "1")));
        let change = fold.hear(Kind::Node, Heard::Changed(name("a"), None));
        assert!(matches!(change, Some(RegistryChange::Remove(Kind::Node, removed)) if removed == name("a")));
        assert!(fold.hear(Kind::Node, Heard::Deleted(name("a"))).is_none());
        assert_eq!(fold.count(Kind::Node), 1);
    }
}
