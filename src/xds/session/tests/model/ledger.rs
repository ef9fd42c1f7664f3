//! Which answer is due now: read off from what was received and sent, with no state of its own beyond that.

use super::*;

use super::order::Naming;

/// A resource that exists now.
#[derive(Debug, Clone, Copy)]
pub(super) struct There {
    pub(super) version: Version,
    pub(super) size: usize,
    pub(super) clusters: &'static [Name],
}

/// What exists now.
pub(super) type Now<'a> = &'a dyn Fn(ResourceType, Name) -> Option<There>;

/// An answer that is this large takes no more; what is left follows in the next one.
const FULL: usize = 1 << 20;

/// What was received and sent about one type.
#[derive(Debug, Default)]
pub(super) struct Account {
    asked: bool,
    /// A name, even one that means nothing, was asked for.
    named: bool,
    star: bool,
    names: BTreeSet<Name>,
    /// What the client was last given, or says that it has.
    pub(super) has: BTreeMap<Name, Version>,
    /// Of these, what the client has had in some version, or has refused.
    pub(super) settled: BTreeSet<Name>,
    /// Of listeners and routes.
    pub(super) naming: Naming,
    /// Of these, what was given on this stream.
    pub(super) given: BTreeSet<Name>,
    /// To be given whatever the client has: it asked for these, or got a new parent of theirs.
    again: BTreeSet<Name>,
    /// What the client took.
    took: BTreeMap<Name, Version>,
    /// It refused an answer with these, and may have kept them all the same.
    unsure: BTreeSet<Name>,
    /// Lost by the client together with their parents; nobody waits for them until they change.
    lost: BTreeSet<Name>,
    /// A `*` waits for a word.
    greet: bool,
    /// The nonce of the answer in flight, the names in it, and those that the client loses by it.
    out: Option<(String, Vec<Name>, Vec<Name>)>,
}

impl Account {
    pub(super) fn wants(&self, name: Name) -> bool {
        self.star || self.names.contains(name)
    }

    /// Reads what was said to the answer in flight as said about everything: right for full sets, and only there it counts.
    fn settle(&mut self, refused: bool) {
        if refused {
            let has = self
                .has
                .iter()
                .filter(|(name, version)| self.took.get(*name) != Some(version));
            self.unsure.extend(has.map(|(name, _)| name));
        } else {
            self.took.clone_from(&self.has);
            self.unsure.clear();
        }
    }

    fn drop_unwanted(&mut self) {
        let (star, names) = (self.star, &self.names);
        let wanted = |name: &Name| star || names.contains(name);
        self.has.retain(|name, _| wanted(name));
        self.took.retain(|name, _| wanted(name));
        self.naming.retain(wanted);
        for set in [
            &mut self.given,
            &mut self.again,
            &mut self.unsure,
            &mut self.lost,
            &mut self.settled,
        ] {
            set.retain(wanted);
        }
        self.greet &= star;
    }
}

/// An answer that is due.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) resources: BTreeMap<Name, Version>,
    pub(super) removed: BTreeSet<Name>,
    /// Names whose children are awaited anew.
    fresh: Vec<Name>,
    /// Names that the client loses.
    pub(super) gone: Vec<Name>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    dialect: Dialect,
    role: Role,
    pub(super) accounts: BTreeMap<ResourceType, Account>,
    /// Nothing waits any more, until nothing more is due.
    pub(super) impatient: bool,
}

impl Ledger {
    pub(super) fn new(dialect: Dialect, role: Role) -> Self {
        let accounts = ResourceType::ALL.map(|kind| (kind, Account::default()));
        Self {
            dialect,
            role,
            accounts: accounts.into(),
            impatient: false,
        }
    }

    fn account(&mut self, kind: ResourceType) -> &mut Account {
        self.accounts.get_mut(&kind).unwrap()
    }

    pub(super) fn in_flight(&self, kind: ResourceType) -> bool {
        self.accounts[&kind].out.is_some()
    }

    pub(super) fn wants(&self, kind: ResourceType, name: &str) -> bool {
        name_of(name).is_some_and(|name| self.accounts[&kind].wants(name))
    }

    /// Whether a client has this from an answer of this stream.
    pub(super) fn gave(&self, kind: ResourceType, name: Name) -> bool {
        self.accounts[&kind].given.contains(name)
    }

    /// Whether the client has yet to say what it has of a type.
    pub(super) fn awaits(&self, kind: ResourceType) -> bool {
        asks(self.role, kind) && !self.accounts[&kind].asked
    }

    /// A resource changed, or may have.
    pub(super) fn changed(&mut self, kind: ResourceType, name: Name) {
        self.account(kind).lost.remove(name);
    }

    /// A request was received; true when it settles the answer in flight.
    pub(super) fn received(&mut self, request: &Request) -> bool {
        let kind = ResourceType::from_url(&request.type_url).unwrap();
        let parent = ResourceType::ALL
            .into_iter()
            .find(|other| child_of(*other) == Some(kind));
        let new_parents = parent
            .map(|parent| self.accounts[&parent].given.clone())
            .unwrap_or_default();
        let account = self.account(kind);
        let out = account.out.take_if(|(nonce, ..)| *nonce == request.nonce);
        let settles = out.is_some();
        if let Some((_, names, gone)) = out {
            let refused = request.error.is_some();
            account.settle(refused);
            account
                .settled
                .extend(names.iter().filter(|name| account.has.contains_key(*name)));
            account.naming.settle(&names, &gone, refused);
        }
        let first = !std::mem::replace(&mut account.asked, true);
        let capable = kind.is_wildcard_capable();
        let star = |list: &[String]| capable && list.iter().any(|name| name == "*");
        let real = |list: &[String]| -> Vec<Name> { list.iter().filter_map(|name| name_of(name)).collect() };
        match &request.body {
            Body::Names(list) => {
                account.named |= !list.is_empty();
                let before = account.star;
                account.star = star(list) || (capable && !account.named);
                account.greet |= account.star && !before;
                let names: BTreeSet<Name> = real(list).into_iter().collect();
                account.again.extend(names.difference(&account.names));
                account.names = names;
                account.drop_unwanted();
            }
            Body::Delta {
                subscribe,
                unsubscribe,
                initial,
            } => {
                let silent = first && capable && subscribe.is_empty();
                let claims: BTreeMap<Name, &String> = match first {
                    true => initial
                        .iter()
                        .map(|(name, text)| (name_of(name).unwrap(), text))
                        .collect(),
                    false => BTreeMap::new(),
                };
                if silent || star(subscribe) {
                    if let (false, Some((_, names, _))) = (account.star, &account.out) {
                        // The client may get these only now, when it wants them again.
                        let lost = names.iter().filter(|name| !account.has.contains_key(*name));
                        account.again.extend(lost);
                    }
                    account.star = true;
                    account.greet = claims.is_empty();
                }
                for name in real(subscribe) {
                    account.names.insert(name);
                    // Who has it needs it again only with a parent that is new.
                    if !claims.contains_key(name) || new_parents.contains(name) {
                        account.again.insert(name);
                    }
                }
                for (name, text) in claims {
                    account.lost.remove(name);
                    let version = run::version_of(text);
                    account.has.insert(name, version);
                    account.settled.insert(name);
                    if matches!(kind, LDS | RDS) {
                        account.naming.claimed(name);
                    }
                }
                for name in real(unsubscribe) {
                    if account.names.remove(name) {
                        // Whether `*` still covers it the client can't know. A star that goes too is seen below.
                        account.again.insert(name);
                    }
                }
                account.star &= !star(unsubscribe);
                account.drop_unwanted();
            }
        }
        settles
    }

    /// What must be given now, if anything; it counts as given from here on.
    pub(super) fn next(&mut self, now: Now<'_>) -> Option<(ResourceType, Due)> {
        loop {
            let unknown = self.unknown();
            if let Some(due) = self.look(now) {
                return Some(due);
            }
            if self.unknown() == unknown {
                break;
            }
        }
        self.impatient = false;
        None
    }

    /// How many listeners and routes of the client may name any cluster.
    fn unknown(&self) -> usize {
        [LDS, RDS].iter().map(|kind| self.accounts[kind].naming.unknown()).sum()
    }

    /// One look at every type.
    fn look(&mut self, now: Now<'_>) -> Option<(ResourceType, Due)> {
        for kind in ResourceType::ALL {
            let full = self.dialect == Dialect::StateOfTheWorld && kind.is_wildcard_capable();
            if self.accounts[&kind].out.is_some() {
                continue;
            }
            if full && self.is_incomplete(kind, now) {
                continue;
            }
            let kept = self.kept(kind, full, now);
            let account = self.account(kind);
            let greet = std::mem::take(&mut account.greet);
            let again = std::mem::take(&mut account.again);
            let due = match full {
                true => full_set(account, kind, greet || !again.is_empty(), kept, now),
                false => self.difference(kind, greet, &again, now),
            };
            let Some(due) = due else { continue };
            let silent = self.dialect == Dialect::StateOfTheWorld && !kind.is_wildcard_capable();
            let account = self.account(kind);
            for name in &due.gone {
                match silent {
                    true => account.naming.dropped(name),
                    false => account.naming.removed(name),
                }
                account.has.remove(name);
                account.settled.remove(name);
                account.given.remove(name);
                account.took.remove(name);
                account.unsure.remove(name);
            }
            for (name, version) in &due.resources {
                account.has.insert(name, *version);
                account.lost.remove(name);
                if let (LDS | RDS, Some(there)) = (kind, now(kind, name)) {
                    account.naming.sent(name, there.clusters);
                }
                if due.fresh.contains(name) {
                    account.given.insert(name);
                }
            }
            if let Some(child) = child_of(kind) {
                let child = self.account(child);
                let awaited = due.fresh.iter().filter(|name| child.names.contains(*name));
                child.again.extend(awaited);
                for name in &due.gone {
                    child.has.remove(name);
                    child.settled.remove(name);
                    child.given.remove(name);
                    child.lost.insert(name);
                }
            }
            return Some((kind, due));
        }
        None
    }

    /// Whether something new has to wait, so that a full set has to.
    fn is_incomplete(&self, kind: ResourceType, now: Now<'_>) -> bool {
        let account = &self.accounts[&kind];
        let wanted = NAMES.into_iter().filter(|name| account.wants(name));
        let differs = |name: &Name, there: There| account.has.get(name) != Some(&there.version);
        let mut new = wanted.filter(|name| {
            let there = now(kind, name);
            there.is_some_and(|there| differs(name, there) || account.unsure.contains(name))
        });
        new.any(|name| self.waits(kind, name, now))
    }

    /// What a full set still holds although it is there no more.
    fn kept(&self, kind: ResourceType, full: bool, now: Now<'_>) -> BTreeMap<Name, Version> {
        let has = self.accounts[&kind].has.iter();
        let kept = has.filter(|(name, _)| full && now(kind, name).is_none() && self.waits(kind, name, now));
        kept.map(|(name, version)| (*name, *version)).collect()
    }

    /// The nonce that the answer got.
    pub(super) fn sent(&mut self, kind: ResourceType, nonce: &str, due: &Due) {
        let names = due.resources.keys().copied().collect();
        self.account(kind).out = Some((nonce.to_owned(), names, due.gone.clone()));
    }

    fn difference(&mut self, kind: ResourceType, greet: bool, again: &BTreeSet<Name>, now: Now<'_>) -> Option<Due> {
        let delta = self.dialect == Dialect::Delta;
        let has_empty = kind == EDS;
        let waits = NAMES.map(|name| self.waits(kind, name, now));
        let account = self.account(kind);
        let mut due = Due::default();
        let mut bytes = 0;
        for (name, waits) in NAMES.into_iter().zip(waits) {
            if bytes >= FULL {
                // What was owed stays owed; what differs will differ then too.
                account.again.extend(again.get(name));
                continue;
            }
            if !account.wants(name) || (account.lost.contains(name) && !again.contains(name)) {
                continue;
            }
            let has = account.has.get(name).copied();
            let again = again.contains(name);
            let there = now(kind, name);
            if waits && (again || there.map(|there| there.version) != has) {
                if again {
                    account.again.insert(name);
                }
                continue;
            }
            let there = there.or_else(|| {
                // What was used can only be emptied; what a client of this dialect waits for it must get.
                let empty = has_empty && (has.is_some() || (again && !delta));
                empty.then(|| There {
                    version: run::empty_version(name),
                    size: 0,
                    clusters: &[],
                })
            });
            match there {
                Some(There { version, size, .. }) if again || has != Some(version) => {
                    bytes += size;
                    due.fresh.push(name);
                    due.resources.insert(name, version);
                }
                None if has.is_some() || again => {
                    if account.has.remove(name).is_some() {
                        account.given.remove(name);
                        due.gone.push(name);
                    }
                    if delta {
                        due.removed.insert(name);
                    }
                }
                Some(there) => account.naming.turns_out(name, there.clusters),
                None => {}
            }
        }
        let silent = due.resources.is_empty() && due.removed.is_empty();
        (greet || !silent).then_some(due)
    }
}

fn full_set(
    account: &Account,
    kind: ResourceType,
    asked: bool,
    kept: BTreeMap<Name, Version>,
    now: Now<'_>,
) -> Option<Due> {
    let wanted = NAMES.into_iter().filter(|name| account.wants(name));
    let there = wanted.filter_map(|name| Some((name, now(kind, name)?.version)));
    let resources: BTreeMap<Name, Version> = there.chain(kept).collect();
    let differs = |(name, version): &(&Name, &Version)| account.has.get(**name) != Some(version);
    let new = resources.iter().any(|entry| differs(&entry));
    let fresh = resources
        .iter()
        .filter(|entry| differs(entry) || account.unsure.contains(entry.0));
    let fresh: Vec<Name> = fresh.map(|(name, _)| *name).collect();
    let has = account.has.keys().copied();
    let gone: Vec<Name> = has.filter(|name| !resources.contains_key(name)).collect();
    (asked || new || !gone.is_empty()).then_some(Due {
        resources,
        removed: BTreeSet::new(),
        fresh,
        gone,
    })
}
