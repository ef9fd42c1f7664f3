//! What the registry's tests share: a sink that remembers, and waiting with a deadline.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

use super::{MemberReport, MemberState, Members};
use crate::model::{ClusterId, ObjectName};
use crate::table::{EventSink, Kind, Record, RegistryChange, RegistryEvent};

pub(super) const DEADLINE: Duration = Duration::from_secs(90);

type Held = BTreeMap<(Kind, ObjectName), Record>;

/// Holds what a table would hold, and all changes.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    state: Mutex<BTreeMap<ClusterId, Held>>,
    changes: Mutex<Vec<RegistryChange>>,
    told: watch::Sender<usize>,
}

impl EventSink for Recorder {
    fn apply(&self, event: RegistryEvent) {
        let mut state = self.state.lock().unwrap();
        let held = state.entry(event.member).or_default();
        match event.change.clone() {
            RegistryChange::Joined { .. } | RegistryChange::Stands(_) | RegistryChange::Policies(_) => {}
            RegistryChange::Replace(lists) => {
                held.retain(|(kind, _), _| !lists.contains_key(kind));
                for (kind, records) in lists {
                    held.extend(records.into_iter().map(|record| ((kind, record.name()), record)));
                }
            }
            RegistryChange::ReplaceExcept { lists, kept } => {
                held.retain(|(kind, name), _| {
                    !lists.contains_key(kind) || kept.get(kind).is_some_and(|kept| kept.keeps(name))
                });
                for (kind, records) in lists {
                    held.extend(records.into_iter().map(|record| ((kind, record.name()), record)));
                }
            }
            RegistryChange::Upsert(record) => {
                held.insert((record.kind(), record.name()), record);
            }
            RegistryChange::Remove(kind, name) => {
                held.remove(&(kind, name));
            }
            RegistryChange::Left => panic!("nobody said that it left"),
        }
        drop(state);
        self.changes.lock().unwrap().push(event.change);
        self.told.send_modify(|told| *told += 1);
    }
}

impl Recorder {
    /// What is held of a member, as `Kind namespace/name`.
    pub(super) fn names(&self, member: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let held = state.get(&id(member));
        held.into_iter()
            .flat_map(BTreeMap::keys)
            .map(|(kind, name)| format!("{kind} {name}"))
            .collect()
    }

    pub(super) fn record(&self, member: &str, kind: Kind, name: &str) -> Option<Record> {
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        let state = self.state.lock().unwrap();
        let key = (kind, ObjectName::new(namespace, name));
        state.get(&id(member))?.get(&key).cloned()
    }

    pub(super) fn changes(&self) -> Vec<RegistryChange> {
        self.changes.lock().unwrap().clone()
    }

    /// Waits until `done`, which is asked after each event.
    pub(super) async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let mut told = self.told.subscribe();
        let waiting = async {
            while !done(self) {
                told.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(DEADLINE, waiting).await.is_err() {
            panic!("never: {what}; {:?}", self.changes());
        }
    }

    pub(super) async fn until_names(&self, member: &str, names: &[&str]) {
        let what = format!("{member} has {names:?}");
        self.until(&what, |recorder| recorder.names(member) == names).await;
    }
}

pub(super) fn id(name: &str) -> ClusterId {
    ClusterId::new(name).unwrap()
}

/// Looks at a member's status until it is as wanted.
pub(super) async fn until_report(
    members: &Members,
    name: &str,
    what: &str,
    done: impl Fn(&MemberReport) -> bool,
) -> MemberReport {
    let waiting = async {
        loop {
            match members.get(&id(name)) {
                Some(report) if done(&report) => return report,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    match tokio::time::timeout(DEADLINE, waiting).await {
        Ok(report) => report,
        Err(_) => panic!("never: {what}; {:?}", members.get(&id(name))),
    }
}

pub(super) fn is_stale(report: &MemberReport) -> bool {
    matches!(report.state, MemberState::Stale { .. })
}
