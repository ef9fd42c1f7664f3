//! Addresses behind host names after a restart.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::model::HostName;

fn name(text: &str) -> HostName {
    HostName::new(text).unwrap()
}

/// Seconds after the epoch, which is what rows hold.
fn host(addresses: &[&str], seconds: u64) -> RememberedHost {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    RememberedHost { addresses, at }
}

fn recorder(path: &std::path::Path, metrics: &StoreMetrics) -> Arc<Recorder> {
    let table = Arc::new(Table::default()) as Arc<dyn EventSink>;
    let database = Database::open(path).unwrap();
    let known = database.load_hosts().unwrap();
    let recorder = Recorder::new(table, database, metrics.clone());
    recorder.remembers_hosts(known);
    recorder
}

/// Writes what waits, and ends.
async fn finish(recorder: Arc<Recorder>) {
    let cancel = tokio_util::sync::CancellationToken::new();
    cancel.cancel();
    recorder.run(cancel).await;
}

#[tokio::test]
async fn the_last_good_addresses_of_host_names_come_back_until_nobody_wants_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known.redb");
    let metrics = StoreMetrics::default();
    let both = host(&["192.0.2.1", "2001:db8::1"], 1_000);
    let first = recorder(&path, &metrics);
    first.keep_hosts(
        &[
            (name("a.test"), both.clone()),
            (name("b.test"), host(&["192.0.2.2"], 1_000)),
        ]
        .into(),
    );
    finish(first).await;
    let known = || Database::open(&path).unwrap().load_hosts().unwrap();
    assert_eq!(
        known(),
        [
            (name("a.test"), both.clone()),
            (name("b.test"), host(&["192.0.2.2"], 1_000))
        ]
        .into()
    );

    // Confirmed a little later: no write. Others now: one. The other one is not wanted any more, also by whoever did not know
    // of it before the start.
    let second = recorder(&path, &metrics);
    assert!(!metrics.is_waiting());
    second.keep_hosts(
        &[
            (name("a.test"), host(&["192.0.2.1", "2001:db8::1"], 1_500)),
            (name("b.test"), host(&["192.0.2.2"], 1_599)),
        ]
        .into(),
    );
    assert!(!metrics.is_waiting(), "nothing to write");
    let moved = host(&["192.0.2.9"], 1_600);
    second.keep_hosts(&[(name("a.test"), moved.clone())].into());
    assert!(metrics.is_waiting());
    finish(second).await;
    assert_eq!(known(), [(name("a.test"), moved)].into());

    // Much later the age counts.
    let third = recorder(&path, &metrics);
    third.keep_hosts(&[(name("a.test"), host(&["192.0.2.9"], 2_200))].into());
    finish(third).await;
    assert_eq!(known(), [(name("a.test"), host(&["192.0.2.9"], 2_200))].into());
}

#[test]
fn a_file_from_before_there_were_host_names_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known.redb");
    Database::open(&path)
        .unwrap()
        .write(&batch(&[listed("east", everything())]))
        .unwrap();
    let file = redb::Database::open(&path).unwrap();
    let write = file.begin_write().unwrap();
    assert!(write.delete_table(super::super::hosts::HOSTS).unwrap());
    write.commit().unwrap();
    drop(file);
    let database = Database::open(&path).unwrap();
    assert_eq!(known(&database, "east"), everything());
    assert_eq!(database.load_hosts().unwrap(), BTreeMap::new());
    assert!(!folder.path().join("known.redb.unreadable-1").exists());
}

#[test]
fn what_could_not_be_written_of_a_name_waits_under_what_came_since() {
    let words = |words: &[(&str, Option<RememberedHost>)]| Pending {
        hosts: words.iter().map(|(text, word)| (name(text), word.clone())).collect(),
        ..Pending::default()
    };
    let (old, new) = (host(&["192.0.2.1"], 1), host(&["192.0.2.2"], 2));
    let mut pending = words(&[("a.test", Some(new.clone())), ("b.test", None)]);
    pending.put_back(words(&[
        ("a.test", Some(old.clone())),
        ("b.test", Some(old.clone())),
        ("c.test", Some(old.clone())),
    ]));
    assert_eq!(
        pending,
        words(&[("a.test", Some(new)), ("b.test", None), ("c.test", Some(old))])
    );
}
