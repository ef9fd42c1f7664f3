//! What no API server is needed for: names that change hands, and trials that end in ways they should not.

use std::sync::Mutex;

use super::super::super::testing::id;
use super::super::super::{MemberOptions, SecretText};
use super::super::trial::NewReader;
use super::*;
use crate::model::ObjectName;

/// The members that were said to have left.
#[derive(Debug, Default)]
struct Left(Mutex<Vec<ClusterId>>);

impl EventSink for Left {
    fn apply(&self, event: RegistryEvent) {
        if matches!(event.change, RegistryChange::Left) {
            self.0.lock().unwrap().push(event.member);
        }
    }
}

const BOTH: Listed = Listed {
    secrets: true,
    members: true,
};

fn wanted() -> Wanted {
    Wanted {
        place: Place::Secret,
        secret: ObjectName::new("istio-system", "west"),
        kubeconfig: SecretText::new("of no use"),
        options: MemberOptions::default(),
    }
}

fn running(known: &[&str]) -> (Running, Arc<Left>, Members) {
    let (left, members) = (Arc::new(Left::default()), Members::default());
    let known = known.iter().map(|name| id(name)).collect();
    let sink = Arc::clone(&left) as Arc<dyn EventSink>;
    let running = Running::new(sink, members.clone(), Arc::default(), CancellationToken::new(), known);
    (running, left, members)
}

#[tokio::test]
async fn what_was_remembered_leaves_unless_somebody_else_reads_it_by_now() {
    let (mut running, left, members) = running(&["gone", "west", "asked"]);
    let options = MemberOptions::default();
    let folder = MemberSource::Folder { path: "west".into() };
    let _west = members.join(&id("west"), &folder, options).unwrap();
    let asked = BTreeMap::from([(id("asked"), wanted())]);
    running
        .want(asked.clone(), &BTreeSet::new(), Listed { members: false, ..BOTH })
        .await;
    assert!(left.0.lock().unwrap().is_empty(), "a list is missing");
    running.want(asked, &BTreeSet::new(), BOTH).await;
    assert_eq!(*left.0.lock().unwrap(), [id("gone")]);
    assert!(members.get(&id("west")).is_some());
}

#[tokio::test]
async fn a_name_that_becomes_free_is_taken() {
    let (mut running, _, members) = running(&[]);
    let elsewhere = members.join(&id("west"), &MemberSource::InCluster, MemberOptions::default());
    let asked = BTreeMap::from([(id("west"), wanted())]);
    running.want(asked, &BTreeSet::new(), BOTH).await;
    running.join_free();
    assert_eq!((running.readers.len(), running.problems().count()), (0, 1));
    drop(elsewhere);
    members.leave(&id("west"));
    running.join_free();
    assert_eq!((running.readers.len(), running.problems().count()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_broke_off_is_made_again() {
    let (mut running, _, _) = running(&[]);
    let asked = BTreeMap::from([(id("west"), wanted())]);
    running.want(asked, &BTreeSet::new(), BOTH).await;
    running.look();
    let of = |running: &Running| running.readers[&id("west")].trial.as_ref().map(|trial| trial.task);
    let first = of(&running);
    running.trials.abort_all();
    running.tried().await;
    let second = of(&running);
    assert!(second.is_some() && second != first);
    // That one tells what became of it.
    running.tried().await;
    let found = running.credentials(&id("west")).unwrap();
    assert_eq!(found.reason, Reason::InvalidKubeconfig);
}

#[tokio::test]
async fn a_reader_that_took_over_from_a_member_that_is_gone_ends() {
    let (mut running, _, _) = running(&[]);
    let status = Members::default()
        .join(&id("west"), &MemberSource::InCluster, MemberOptions::default())
        .unwrap();
    let cancel = CancellationToken::new();
    let reading = cancel.clone();
    let new = NewReader {
        number: 2,
        cluster: Fingerprint::default(),
        voice: status.voice(),
        cancel: cancel.clone().drop_guard(),
        task: tokio::spawn(async move { reading.cancelled().await }),
    };
    let trial = Trial {
        name: id("west"),
        source: running.source(&wanted()),
        wanted: wanted(),
        reader: 1,
        backoff: Backoff::new(TRY_AGAIN, TRY_AGAIN),
        rest: Rest::No,
        hurry: Arc::default(),
        takeover: None,
    };
    running.settle(trial, Outcome::TookOver(new)).await;
    assert!(cancel.is_cancelled());
}
