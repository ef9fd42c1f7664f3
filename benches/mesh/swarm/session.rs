//! One proxy's side of the protocol: what it holds, what it asks for and acknowledges, and whether what it is told is right.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::ensure;
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::wire::{Answer, CDS, Dialect, EDS, Request};
use super::{Shared, Slot};
use crate::clock;

/// Nothing has this name; the answer about it proves that everything asked before was looked at.
const PROBE: &str = "outbound|1||probe.nowhere.svc.cluster.local";

/// One resource that a proxy holds.
#[derive(Debug)]
struct Held {
    name: Arc<str>,
    version: Arc<str>,
    content: u64,
}

/// What is held of one type.
#[derive(Debug, Default)]
struct Type {
    /// By the hash of the name.
    held: HashMap<u64, Held>,
    nonce: Vec<u8>,
}

/// The state of a proxy; lives longer than its streams.
#[derive(Debug, Default)]
pub(super) struct Session {
    clusters: Type,
    assignments: Type,
    /// Assignments that are asked for, by hash of the name.
    wanted: BTreeSet<u64>,
    probing: bool,
}

fn mix(name: u64, content: u64) -> u64 {
    (name ^ content.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Session {
    /// What a new stream begins with.
    pub(super) fn begin(&mut self, shared: &Shared, index: usize, node: &[u8]) -> Vec<Bytes> {
        let dialect = shared.plan.dialect;
        self.clusters.nonce.clear();
        self.assignments.nonce.clear();
        let mut first = Request::new(dialect, CDS).node(node);
        if let Some(scope) = shared.scope(index) {
            first = first.names(scope.iter().map(|name| &**name));
        }
        if dialect == Dialect::Sotw {
            self.clusters = Type::default();
            self.assignments = Type::default();
            self.wanted.clear();
            return vec![first.finish()];
        }
        let versions = |held: &Type| -> Vec<(Arc<str>, Arc<str>)> {
            let held = held.held.values();
            held.map(|held| (Arc::clone(&held.name), Arc::clone(&held.version)))
                .collect()
        };
        let clusters = versions(&self.clusters);
        let first = first.holding(clusters.iter().map(|(name, version)| (&**name, &**version)));
        if clusters.is_empty() {
            return vec![first.finish()];
        }
        self.probing = true;
        let held = versions(&self.assignments);
        let second = Request::new(dialect, EDS)
            .names(clusters.iter().map(|(name, _)| &**name))
            .holding(held.iter().map(|(name, version)| (&**name, &**version)))
            .finish();
        let probe = Request::new(dialect, EDS).names([PROBE]).finish();
        vec![first.finish(), second, probe]
    }

    /// Takes an answer, and gives what the proxy says to it.
    pub(super) fn take(
        &mut self,
        shared: &Shared,
        index: usize,
        slot: &Slot,
        message: &[u8],
    ) -> anyhow::Result<Vec<Bytes>> {
        let at = clock::now();
        let answer = Answer::read(shared.plan.dialect, message);
        let _ = slot.first.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed);
        slot.last.store(at, Ordering::Relaxed);
        slot.messages.fetch_add(1, Ordering::Relaxed);
        slot.bytes.fetch_add(message.len() as u64 + 5, Ordering::Relaxed);
        let requests = match answer.type_url {
            url if url == CDS.as_bytes() => self.take_clusters(shared, slot, &answer)?,
            url if url == EDS.as_bytes() => self.take_assignments(shared, index, slot, &answer, at)?,
            other => anyhow::bail!("nobody asked for {:?}", String::from_utf8_lossy(other)),
        };
        if slot.in_sync.load(Ordering::Relaxed) == 0
            && !self.probing
            && !self.clusters.nonce.is_empty()
            && self.wanted.iter().all(|name| self.assignments.held.contains_key(name))
        {
            slot.in_sync.store(clock::now(), Ordering::Relaxed);
        }
        Ok(requests)
    }

    fn check_nonce(kind: &mut Type, answer: &Answer<'_>, strict: bool) -> anyhow::Result<()> {
        if strict {
            ensure!(!answer.nonce.is_empty(), "an answer has no nonce");
            ensure!(kind.nonce != answer.nonce, "two answers have the same nonce");
        }
        kind.nonce.clear();
        kind.nonce.extend_from_slice(answer.nonce);
        Ok(())
    }

    fn take_clusters(&mut self, shared: &Shared, slot: &Slot, answer: &Answer<'_>) -> anyhow::Result<Vec<Bytes>> {
        Self::check_nonce(&mut self.clusters, answer, shared.plan.strict)?;
        let dialect = shared.plan.dialect;
        let mut named = BTreeSet::new();
        let mut added = Vec::new();
        for resource in answer.resources() {
            let key = xxh3_64(resource.name);
            ensure!(named.insert(key), "an answer has a cluster twice");
            let content = xxh3_64(resource.content);
            let held = self.clusters.held.entry(key).or_insert_with(|| {
                let name = shared.intern(resource.name);
                added.push(Arc::clone(&name));
                Held {
                    name,
                    version: Arc::clone(&shared.nothing),
                    content,
                }
            });
            held.content = content;
            if shared.plan.reconnect {
                held.version = shared.intern(resource.version);
            }
        }
        let gone: Vec<u64> = match dialect {
            Dialect::Delta => answer.removed().map(xxh3_64).collect(),
            Dialect::Sotw => {
                let held = self.clusters.held.keys();
                held.filter(|name| !named.contains(name)).copied().collect()
            }
        };
        slot.resources.fetch_add(named.len() as u64, Ordering::Relaxed);
        slot.removals.fetch_add(gone.len() as u64, Ordering::Relaxed);
        let mut dropped = Vec::new();
        for name in gone {
            self.wanted.remove(&name);
            dropped.extend(self.clusters.held.remove(&name).map(|held| held.name));
        }
        self.wanted.extend(added.iter().map(|name| xxh3_64(name.as_bytes())));
        let mut ack = Request::new(dialect, CDS).nonce(answer.nonce);
        if dialect == Dialect::Sotw {
            ack = ack.version(answer.version);
        }
        let mut requests = vec![ack.finish()];
        let changed = !added.is_empty() || !dropped.is_empty();
        match dialect {
            _ if !changed => {}
            Dialect::Delta => requests.push(
                Request::new(dialect, EDS)
                    .names(added.iter().map(|name| &**name))
                    .unsubscribe(dropped.iter().map(|name| &**name))
                    .finish(),
            ),
            Dialect::Sotw => requests.push(self.all_assignments(b"", shared)),
        }
        Ok(requests)
    }

    /// State of the world: names everything, with every request.
    fn all_assignments(&self, version: &[u8], shared: &Shared) -> Bytes {
        let names = self.clusters.held.values().map(|held| &*held.name);
        Request::new(shared.plan.dialect, EDS)
            .version(version)
            .nonce(&self.assignments.nonce)
            .names(names)
            .finish()
    }

    fn take_assignments(
        &mut self,
        shared: &Shared,
        index: usize,
        slot: &Slot,
        answer: &Answer<'_>,
        at: u64,
    ) -> anyhow::Result<Vec<Bytes>> {
        let strict = shared.plan.strict;
        Self::check_nonce(&mut self.assignments, answer, strict)?;
        ensure!(
            !self.clusters.nonce.is_empty() || self.probing || !strict,
            "EDS before CDS"
        );
        let mut digest = slot.digest.load(Ordering::Relaxed);
        let mut last = 0;
        let mut count = 0;
        for resource in answer.resources() {
            let key = xxh3_64(resource.name);
            ensure!(key != last, "an answer has an assignment twice");
            last = key;
            count += 1;
            ensure!(
                self.wanted.contains(&key) || !strict,
                "an assignment that was not asked for"
            );
            let content = xxh3_64(resource.content);
            if let Some(watch) = &shared.plan.watch {
                watch(index, resource.content, at);
            }
            let held = self.assignments.held.entry(key).or_insert_with(|| Held {
                name: shared.intern(resource.name),
                version: Arc::clone(&shared.nothing),
                content: 0,
            });
            if held.content != 0 {
                digest = digest.wrapping_sub(mix(key, held.content));
            }
            held.content = content;
            digest = digest.wrapping_add(mix(key, content));
            if shared.plan.reconnect {
                held.version = shared.intern(resource.version);
            }
        }
        let mut probed = false;
        for name in answer.removed() {
            if name == PROBE.as_bytes() {
                probed = true;
            } else {
                slot.removals.fetch_add(1, Ordering::Relaxed);
            }
            let key = xxh3_64(name);
            if let Some(held) = self.assignments.held.remove(&key) {
                digest = digest.wrapping_sub(mix(key, held.content));
            }
        }
        slot.digest.store(digest, Ordering::Relaxed);
        slot.resources.fetch_add(count, Ordering::Relaxed);
        let mut requests = vec![match shared.plan.dialect {
            Dialect::Delta => Request::new(Dialect::Delta, EDS).nonce(answer.nonce).finish(),
            Dialect::Sotw => self.all_assignments(answer.version, shared),
        }];
        if std::mem::take(&mut self.probing) {
            if probed {
                requests.push(Request::new(Dialect::Delta, EDS).unsubscribe([PROBE]).finish());
                slot.in_sync.store(at, Ordering::Relaxed);
            } else {
                self.probing = true;
            }
        }
        Ok(requests)
    }
}
