//! What waits to be written: the latest word on each object and host name, so that it is bounded by their number. Pure.

use std::collections::BTreeMap;

use super::hosts::HostWords;
use super::row;
use crate::model::{ClusterId, MemberWeight, NetworkId, ObjectName};
use crate::table::{Kept, Kind, Record, RegistryChange, RegistryEvent};

/// The words on one kind of one member.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// Everything that the file has of this kind goes before the objects below are written.
    pub(super) replaces: bool,
    /// All but these.
    pub(super) spared: Kept,
    /// The bytes of each object; none for one that is gone.
    pub(super) objects: BTreeMap<ObjectName, Option<Vec<u8>>>,
}

impl Words {
    /// Puts a list in place of what was said before, but for what is kept.
    fn replace(&mut self, records: &[Record], kept: &Kept) {
        if *kept != Kept::All {
            let older = std::mem::replace(
                self,
                Self {
                    replaces: true,
                    spared: kept.clone(),
                    objects: BTreeMap::new(),
                },
            );
            self.spare(older);
        }
        self.objects.extend(records.iter().map(written));
    }

    /// Takes what was said earlier of what is spared, and forgets the rest.
    fn spare(&mut self, older: Self) {
        for (name, word) in older.objects {
            if self.spared.keeps(&name) {
                self.objects.entry(name).or_insert(word);
            }
        }
        if older.replaces {
            self.spared = self.spared.and(&older.spared);
        }
    }
}

/// What waits for one member.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OfMember {
    /// The member left: everything of it goes first.
    pub(super) left: bool,
    /// How it is treated, where that was said.
    pub(super) network: Option<Option<NetworkId>>,
    pub(super) weight: Option<MemberWeight>,
    pub(super) kinds: BTreeMap<Kind, Words>,
}

/// What waits.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) members: BTreeMap<ClusterId, OfMember>,
    /// What host names lead to, which is nobody's own.
    pub(super) hosts: HostWords,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.hosts.is_empty()
    }

    /// Adds a member's word.
    pub(super) fn add(&mut self, event: &RegistryEvent) {
        match &event.change {
            RegistryChange::Joined { network } => self.of(&event.member).network = Some(network.clone()),
            // Its rank is a matter of how old its words are, which a restart begins to count anew.
            RegistryChange::Stands(standing) => self.of(&event.member).weight = Some(standing.weight),
            // Nothing that would be known after a restart.
            RegistryChange::Policies(_) => {}
            RegistryChange::Left => {
                let left = OfMember {
                    left: true,
                    ..OfMember::default()
                };
                self.members.insert(event.member.clone(), left);
            }
            RegistryChange::Replace(lists) => {
                for (kind, records) in lists {
                    self.words(&event.member, *kind).replace(records, &Kept::default());
                }
            }
            RegistryChange::ReplaceExcept { lists, kept } => {
                let nothing = Kept::default();
                for (kind, records) in lists {
                    let kept = kept.get(kind).unwrap_or(&nothing);
                    self.words(&event.member, *kind).replace(records, kept);
                }
            }
            RegistryChange::Upsert(record) => {
                let (name, bytes) = written(record);
                self.words(&event.member, record.kind()).objects.insert(name, bytes);
            }
            RegistryChange::Remove(kind, name) => {
                self.words(&event.member, *kind).objects.insert(name.clone(), None);
            }
        }
    }

    /// Puts back what could not be written, under what came since.
    pub(super) fn put_back(&mut self, older: Self) {
        for (name, word) in older.hosts {
            self.hosts.entry(name).or_insert(word);
        }
        for (member, older) in older.members {
            let newer = self.members.entry(member).or_default();
            if newer.left {
                continue;
            }
            newer.left = older.left;
            newer.network = newer.network.take().or(older.network);
            newer.weight = newer.weight.or(older.weight);
            for (kind, older) in older.kinds {
                let newer = newer.kinds.entry(kind).or_default();
                if newer.replaces {
                    newer.spare(older);
                    continue;
                }
                newer.replaces = older.replaces;
                newer.spared = older.spared;
                for (name, word) in older.objects {
                    newer.objects.entry(name).or_insert(word);
                }
            }
        }
    }

    fn of(&mut self, member: &ClusterId) -> &mut OfMember {
        self.members.entry(member.clone()).or_default()
    }

    fn words(&mut self, member: &ClusterId, kind: Kind) -> &mut Words {
        self.of(member).kinds.entry(kind).or_default()
    }
}

fn written(record: &Record) -> (ObjectName, Option<Vec<u8>>) {
    (record.name(), Some(row::encode(record)))
}
