//! What one API server holds, and whom it tells.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::clock;
use crate::objects::{KINDS, Kind};

/// How many events a watch may have missed.
const LOG: usize = 4096;

/// What a watcher is told: one line of JSON.
pub(crate) type Line = Bytes;

/// The objects of a member.
#[derive(Default)]
pub(crate) struct Store(Mutex<State>);

#[derive(Default)]
struct State {
    version: u64,
    objects: [BTreeMap<String, Bytes>; KINDS.len()],
    log: [VecDeque<(u64, Line)>; KINDS.len()],
    watchers: [Vec<UnboundedSender<Line>>; KINDS.len()],
    /// Watches from before this version are told that they are too old.
    oldest: u64,
    requests: u64,
    /// When the end of a list was told last.
    listed: u64,
}

/// What a watch begins with, and what follows.
pub(super) struct Watch {
    pub(super) first: Vec<Line>,
    pub(super) then: UnboundedReceiver<Line>,
}

fn key(object: &Value) -> String {
    let text = |field| object["metadata"][field].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}

fn event(kind: &str, object: &[u8]) -> Line {
    let mut line = Vec::with_capacity(object.len() + 40);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(kind.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line.into()
}

impl State {
    fn set(&mut self, kind: Kind, mut object: Value) -> (bool, Bytes) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let bytes: Bytes = object.to_string().into();
        let new = self.objects[kind].insert(key(&object), bytes.clone()).is_none();
        (new, bytes)
    }

    fn tell(&mut self, kind: Kind, line: Line) -> u64 {
        self.log[kind].push_back((self.version, line.clone()));
        if self.log[kind].len() > LOG
            && let Some((version, _)) = self.log[kind].pop_front()
        {
            self.oldest = self.oldest.max(version);
        }
        let told = clock::now();
        self.watchers[kind].retain(|watcher| watcher.send(line.clone()).is_ok());
        told
    }

    fn bookmark(&self) -> Line {
        let object = format!(
            "{{\"kind\":\"Bookmark\",\"apiVersion\":\"v1\",\"metadata\":{{\"resourceVersion\":\"{}\",\
             \"annotations\":{{\"k8s.io/initial-events-end\":\"true\"}}}}}}",
            self.version
        );
        event("BOOKMARK", object.as_bytes())
    }
}

impl Store {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an object without telling anybody.
    pub(super) fn load(&self, kind: Kind, object: Value) {
        let mut state = self.state();
        state.set(kind, object);
        state.oldest = state.version;
    }

    /// Takes an object and tells; returns when that was.
    pub(super) fn put(&self, kind: Kind, object: Value) -> u64 {
        let mut state = self.state();
        let (new, bytes) = state.set(kind, object);
        let line = event(if new { "ADDED" } else { "MODIFIED" }, &bytes);
        state.tell(kind, line)
    }

    /// Ends all watches; whoever comes back is told that its version is too old, and has to list everything.
    pub(crate) fn expire(&self) {
        let mut state = self.state();
        state.version += 1;
        state.oldest = state.version;
        drop(state);
        self.cut();
    }

    /// Ends all watches.
    pub(crate) fn cut(&self) {
        self.state().watchers.iter_mut().for_each(Vec::clear);
    }

    /// How many requests were answered.
    pub(crate) fn requests(&self) -> u64 {
        self.state().requests
    }

    /// How many watches are open.
    pub(crate) fn watches(&self) -> usize {
        let state = self.state();
        state
            .watchers
            .iter()
            .flatten()
            .filter(|watcher| !watcher.is_closed())
            .count()
    }

    /// When the end of a list was told last; 0 is never.
    pub(crate) fn listed(&self) -> u64 {
        self.state().listed
    }

    pub(super) fn list_ended(&self) {
        self.state().listed = clock::now();
    }

    pub(super) fn count_request(&self) {
        self.state().requests += 1;
    }

    /// A watch from a version on, or with the whole list first; nothing where the version is too old.
    pub(super) fn watch(&self, kind: Kind, from: Option<u64>) -> Option<Watch> {
        let mut state = self.state();
        let first: Vec<Line> = match from {
            None => {
                let objects = state.objects[kind].values();
                let mut lines: Vec<_> = objects.map(|object| event("ADDED", object)).collect();
                lines.push(state.bookmark());
                lines
            }
            Some(version) if version < state.oldest => return None,
            Some(version) => {
                let later = state.log[kind].iter().filter(|(at, _)| *at > version);
                later.map(|(_, line)| line.clone()).collect()
            }
        };
        let (sender, then) = mpsc::unbounded_channel();
        state.watchers[kind].push(sender);
        Some(Watch { first, then })
    }

    /// A page of a list, and where the next one begins.
    pub(super) fn page(&self, kind: Kind, from: usize, limit: usize) -> (u64, Vec<Bytes>, Option<usize>) {
        let state = self.state();
        let objects = &state.objects[kind];
        let page = objects.values().skip(from).take(limit).cloned().collect();
        let next = from.saturating_add(limit);
        (state.version, page, (next < objects.len()).then_some(next))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
