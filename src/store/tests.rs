//! What comes back after a restart, whatever happened to the file.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::pending::Pending;
use super::*;
use crate::table::testing::*;
use crate::table::{EventSink, Kind, Record, RegistryChange, RegistryEvent};

fn batch(events: &[RegistryEvent]) -> Pending {
    let mut pending = Pending::default();
    for event in events {
        pending.add(event);
    }
    pending
}

fn known(database: &Database, of: &str) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    if let Some(remembered) = database.load().unwrap().remove(&member(of)) {
        records.extend(remembered.records.into_values().flatten());
    }
    records
}

/// Every kind of record, with every kind of value in it.
fn everything() -> Vec<Record> {
    let mut records = web(&["10.1.0.1", "fd00::1"]);
    records.extend([
        gateway("gw", "net1", &["192.0.2.1"]),
        namespace("istio-system", Some("net1")),
        namespace("shop", None),
    ]);
    records.sort_by_key(|record| (record.kind(), record.name()));
    records
}

#[test]
fn everything_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known.redb");
    let database = Database::open(&path).unwrap();
    database
        .write(&batch(&[
            listed("east", everything()),
            listed("west", [node("n", "z1")]),
        ]))
        .unwrap();
    drop(database);
    let database = Database::open(&path).unwrap();
    let remembered = database.load().unwrap().remove(&member("east")).unwrap();
    assert_eq!(
        remembered.records.keys().copied().collect::<Vec<_>>(),
        Kind::ALL,
        "no kind is missing: it is complete"
    );
    assert_eq!(remembered.unreadable, 0);
    assert_eq!(known(&database, "east"), everything());
    assert_eq!(known(&database, "west"), [node("n", "z1")]);
}

#[test]
fn words_add_up_over_batches_as_they_do_in_one() {
    let events = [
        listed("east", everything()),
        remove("east", &node("node-1", "z1")),
        upsert("east", node("node-2", "z2")),
        event(
            "east",
            RegistryChange::Replace([(Kind::Pod, vec![pod("web-9", "10.1.0.9")])].into()),
        ),
        upsert("east", namespace("other", None)),
    ];
    let folder = tempfile::tempdir().unwrap();
    let one = Database::open(&folder.path().join("one.redb")).unwrap();
    one.write(&batch(&events)).unwrap();
    let many = Database::open(&folder.path().join("many.redb")).unwrap();
    for event in &events {
        many.write(&batch(std::slice::from_ref(event))).unwrap();
    }
    let records = known(&one, "east");
    assert_eq!(records, known(&many, "east"));
    assert!(records.contains(&node("node-2", "z2")) && !records.contains(&node("node-1", "z1")));
    assert!(records.contains(&pod("web-9", "10.1.0.9")) && !records.contains(&pod("web-1", "10.1.0.1")));
    many.write(&batch(&[event("east", RegistryChange::Left)])).unwrap();
    assert_eq!(known(&many, "east"), []);
    assert!(many.load().unwrap().is_empty());
}

#[test]
fn what_could_not_be_written_waits_under_what_came_since() {
    let older = batch(&[
        upsert("east", node("a", "old")),
        upsert("east", node("b", "old")),
        listed("west", [node("w", "old")]),
    ]);
    let mut pending = batch(&[upsert("east", node("a", "new")), event("west", RegistryChange::Left)]);
    pending.put_back(older);
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("known.redb")).unwrap();
    database
        .write(&batch(&[listed("west", [node("w", "before")])]))
        .unwrap();
    database.write(&pending).unwrap();
    assert_eq!(known(&database, "east"), [node("a", "new"), node("b", "old")]);
    assert_eq!(known(&database, "west"), []);
}

#[test]
fn a_damaged_file_is_set_aside_and_a_new_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known.redb");
    std::fs::write(&path, b"this was a database once, and then the disk failed".repeat(100)).unwrap();
    for round in 1..=2 {
        let database = Database::open(&path).unwrap();
        assert!(database.load().unwrap().is_empty());
        drop(database);
        assert!(folder.path().join(format!("known.redb.unreadable-{round}")).exists());
        std::fs::write(&path, b"again").unwrap();
    }
}

#[test]
fn a_row_that_cannot_be_read_costs_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known.redb");
    let database = Database::open(&path).unwrap();
    let mut words = batch(&[listed("east", everything())]);
    let nodes = words
        .0
        .get_mut(&member("east"))
        .unwrap()
        .kinds
        .get_mut(&Kind::Node)
        .unwrap();
    nodes
        .objects
        .insert(crate::model::ObjectName::new("", "broken"), Some(vec![0xff; 3]));
    database.write(&words).unwrap();
    let remembered = database.load().unwrap().remove(&member("east")).unwrap();
    assert_eq!(remembered.unreadable, 1);
    assert_eq!(known(&database, "east"), everything());
}

#[test]
fn one_file_is_for_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known.redb");
    let _open = Database::open(&path).unwrap();
    let error = Database::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("known.redb is in use") && error.contains("file of its own"),
        "{error}"
    );
    let nowhere = folder.path().join("no/such/folder/known.redb");
    let error = Database::open(&nowhere).unwrap_err().to_string();
    assert!(error.contains("store.path"), "{error}");
}

/// Counts what reaches the table.
#[derive(Default)]
struct Table(AtomicUsize);

impl EventSink for Table {
    fn apply(&self, _event: RegistryEvent) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn words_reach_the_table_at_once_and_the_file_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known.redb");
    let table = std::sync::Arc::new(Table::default());
    let sink = std::sync::Arc::clone(&table) as std::sync::Arc<dyn EventSink>;
    let recorder = Recorder::new(sink, Database::open(&path).unwrap(), StoreMetrics::default());
    let cancel = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn({
        let (recorder, cancel) = (std::sync::Arc::clone(&recorder), cancel.clone());
        async move { recorder.run(cancel).await }
    });
    recorder.apply(listed("east", everything()));
    recorder.apply(upsert("east", node("late", "z9")));
    assert_eq!(table.0.load(Ordering::Relaxed), 2);
    cancel.cancel();
    tokio::time::timeout(std::time::Duration::from_secs(10), running)
        .await
        .unwrap()
        .unwrap();
    drop(recorder);
    let database = Database::open(&path).unwrap();
    assert_eq!(known(&database, "east").len(), everything().len() + 1);
}
