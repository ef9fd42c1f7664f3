//! What comes back after a restart, whatever happened to the file.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::pending::Pending;
use super::*;
use crate::table::testing::*;
use crate::table::{EventSink, Kept, Kind, Record, RegistryChange, RegistryEvent};

mod addresses;
mod forget;
mod hosts;

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
        .members
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

/// A disk that is full while there is something at the second path.
#[derive(Debug)]
struct Disk(redb::backends::FileBackend, std::path::PathBuf);

impl Disk {
    fn unless_full(&self) -> std::io::Result<()> {
        match self.1.exists() {
            true => Err(std::io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

/// What fills the disk of a file.
fn filler(path: &std::path::Path) -> std::path::PathBuf {
    path.with_extension("full")
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.unless_full().and_then(|()| self.0.set_len(len))
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.unless_full().and_then(|()| self.0.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.unless_full().and_then(|()| self.0.write(offset, data))
    }

    fn close(&self) -> std::io::Result<()> {
        self.0.close()
    }
}

fn on_disk(path: &std::path::Path) -> Result<redb::Database, redb::DatabaseError> {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let file = redb::backends::FileBackend::new(file.map_err(redb::StorageError::Io)?)?;
    let disk = Disk(file, filler(path));
    redb::Builder::new().create_with_backend(disk)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await;
    assert!(waited.is_ok(), "never: {what}");
}

#[tokio::test]
async fn a_full_disk_costs_only_the_file_and_is_over_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known.redb");
    let table = std::sync::Arc::new(Table::default());
    let sink = std::sync::Arc::clone(&table) as std::sync::Arc<dyn EventSink>;
    let metrics = StoreMetrics::default();
    let database = Database::open_by(&path, on_disk).unwrap();
    let recorder = Recorder::new(sink, database, metrics.clone());
    let cancel = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn({
        let (recorder, cancel) = (std::sync::Arc::clone(&recorder), cancel.clone());
        async move { recorder.run(cancel).await }
    });
    recorder.apply(listed("east", everything()));
    until("it is written", || !metrics.is_waiting()).await;
    std::fs::write(filler(&path), "").unwrap();
    recorder.apply(upsert("east", node("late", "z9")));
    until("the alarm", || metrics.is_failing()).await;
    recorder.apply(upsert("east", node("later", "z9")));
    assert_eq!(table.0.load(Ordering::Relaxed), 3, "the table has all of it");
    std::fs::remove_file(filler(&path)).unwrap();
    until("the end of the alarm", || {
        !metrics.is_failing() && !metrics.is_waiting()
    })
    .await;
    cancel.cancel();
    running.await.unwrap();
    drop(recorder);
    let known = known(&Database::open(&path).unwrap(), "east");
    assert_eq!(known.len(), everything().len() + 2, "nothing is lost");
}

#[test]
fn what_waits_is_bounded_by_the_number_of_objects() {
    let mut pending = Pending::default();
    for at in 0..10_000 {
        pending.add(&upsert("east", node(&format!("n{}", at % 10), &format!("z{at}"))));
        if at % 100 == 0 {
            pending.add(&listed("west", everything()));
        }
    }
    let waiting = pending.members.values().flat_map(|of_member| of_member.kinds.values());
    let waiting: usize = waiting.map(|words| words.objects.len()).sum();
    assert_eq!(waiting, 10 + everything().len());
}

#[test]
fn what_a_list_is_not_trusted_to_remove_stays() {
    let node_named = |name: &str| node(name, "z1");
    let except = |records: Vec<Record>, kept: Kept| {
        let change = RegistryChange::ReplaceExcept {
            lists: [(Kind::Node, records)].into(),
            kept: [(Kind::Node, kept)].into(),
        };
        event("east", change)
    };
    let name = |name: &str| crate::model::ObjectName::new("", name);
    let events = [
        listed("east", ["a", "b", "c"].map(node_named)),
        except(vec![node("d", "z1")], Kept::All),
        upsert("east", node("b", "z2")),
        except(vec![node("d", "z3")], Kept::These([name("b"), name("never")].into())),
        // Of a namespace that can't be read all stays; nodes have none.
        except(
            vec![node("d", "z3")],
            Kept::Namespace("".into(), [name("never")].into()),
        ),
        except(
            vec![node("d", "z3")],
            Kept::Namespace("shop".into(), [name("b")].into()),
        ),
    ];
    let expected = [node("b", "z2"), node("d", "z3")];
    let folder = tempfile::tempdir().unwrap();
    let one = Database::open(&folder.path().join("one.redb")).unwrap();
    one.write(&batch(&events)).unwrap();
    assert_eq!(known(&one, "east"), expected);
    for split in 1..events.len() {
        let many = Database::open(&folder.path().join(format!("{split}.redb"))).unwrap();
        many.write(&batch(&events[..split])).unwrap();
        many.write(&batch(&events[split..])).unwrap();
        assert_eq!(known(&many, "east"), expected, "split at {split}");
        let mut back = batch(&events[split..]);
        back.put_back(batch(&events[..split]));
        let put_back = Database::open(&folder.path().join(format!("back-{split}.redb"))).unwrap();
        put_back.write(&back).unwrap();
        assert_eq!(known(&put_back, "east"), expected, "put back at {split}");
    }
}

#[test]
fn how_a_member_is_treated_comes_back_as_it_was_said_last() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("known.redb")).unwrap();
    let joined = |network: Option<&str>| {
        let network = network.map(|network| crate::model::NetworkId::new(network).unwrap());
        event("east", RegistryChange::Joined { network })
    };
    let weighs = |percent| {
        event(
            "east",
            RegistryChange::Stands(crate::model::MemberStanding {
                weight: crate::model::MemberWeight::new(percent).unwrap(),
                rank: crate::model::Rank::Out,
            }),
        )
    };
    let treated = || {
        let remembered = database.load().unwrap().remove(&member("east")).unwrap();
        let network = remembered.network.map(|network| network.to_string());
        (network, remembered.weight.percent())
    };
    database.write(&batch(&[listed("east", everything())])).unwrap();
    assert_eq!(treated(), (None, 100));
    database.write(&batch(&[joined(Some("net2"))])).unwrap();
    let mut unwritten = batch(&[weighs(50)]);
    unwritten.put_back(batch(&[weighs(7)]));
    database.write(&unwritten).unwrap();
    assert_eq!(treated(), (Some("net2".to_owned()), 50));
    database.write(&batch(&[joined(None), weighs(0)])).unwrap();
    assert_eq!(treated(), (None, 0));
    // A member that left and came again is another one.
    database
        .write(&batch(&[
            event("east", RegistryChange::Left),
            listed("east", everything()),
        ]))
        .unwrap();
    assert_eq!(treated(), (None, 100));
}

#[test]
fn a_file_that_is_damaged_in_use_is_not_replaced_by_one_that_holds_less() {
    let folder = tempfile::tempdir().unwrap();
    for (name, damage) in [("gone", None), ("damaged", Some(b"no database".repeat(1_000)))] {
        let path = folder.path().join(name);
        let database = Database::open_by(&path, on_disk).unwrap();
        database.write(&batch(&[listed("east", everything())])).unwrap();
        std::fs::write(filler(&path), "").unwrap();
        let late = batch(&[upsert("east", node("late", "z9"))]);
        assert!(database.write(&late).is_err(), "the disk is full");
        match damage {
            None => std::fs::remove_file(&path).unwrap(),
            Some(text) => std::fs::write(&path, text).unwrap(),
        }
        std::fs::remove_file(filler(&path)).unwrap();
        for _ in 0..2 {
            let error = database.write(&late).unwrap_err().to_string();
            assert!(error.contains("start again"), "{name}: {error}");
        }
        drop(database);
        // A start begins a new one.
        let database = Database::open(&path).unwrap();
        database.write(&late).unwrap();
        assert_eq!(known(&database, "east"), [node("late", "z9")]);
    }
}
