//! Virtual addresses after a restart.

use super::*;
use crate::table::Record;

/// Who is away still has what it was given, and nobody else gets it.
#[test]
fn virtual_addresses_are_the_same_after_a_restart_while_a_member_is_away() {
    let pair = rivals();
    let words: Vec<_> = [("east", &pair[0], 1), ("west", &pair[1], 2)]
        .into_iter()
        .map(|(of, key, created)| {
            let mut service = service_record(&key.name, vec![port(80, "http")]);
            service.created = Some(created);
            let endpoints = slice(
                &format!("{}-a", key.name),
                &key.name,
                "http",
                vec![backend("10.1.0.1", None)],
            );
            listed(of, [Record::Service(service), endpoints])
        })
        .collect();
    let addresses = |words: &[RegistryEvent]| {
        let table = table();
        for word in words {
            table.apply(word.clone());
        }
        pair.each_ref()
            .map(|key| table.service(key).and_then(|service| service.virtual_ip))
    };
    let before = addresses(&words);
    assert!(before[0].is_some() && before[1].is_some() && before[0] != before[1]);

    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(&folder.path().join("known.redb")).unwrap();
    database.write(&batch(&words)).unwrap();
    // West is there again and says what it has; of east there is only what is remembered.
    let remembered = database.load().unwrap().remove(&member("east")).unwrap();
    let east = event("east", RegistryChange::Replace(remembered.records));
    assert_eq!(addresses(&[words[1].clone(), east]), before);
    // Without it west would have the address of the other.
    assert_eq!(addresses(&words[1..]), [None, before[0]]);
}
