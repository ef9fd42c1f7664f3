//! A member whose words are no longer written down.

use super::*;

#[tokio::test]
async fn who_is_served_by_others_words_is_forgotten_by_the_file_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let database = Database::open(&path).unwrap();
    let recorder = Recorder::new(std::sync::Arc::new(NotLeft), database, StoreMetrics::default());
    let cancel = tokio_util::sync::CancellationToken::new();
    let (writer, ended) = (std::sync::Arc::clone(&recorder), cancel.clone());
    let writing = tokio::spawn(async move { writer.run(ended).await });
    for record in everything() {
        recorder.apply(RegistryEvent {
            member: member("east"),
            change: RegistryChange::Upsert(record),
        });
    }
    recorder.forget(&member("east"));
    cancel.cancel();
    writing.await.unwrap();
    drop(recorder);
    assert_eq!(known(&Database::open(&path).unwrap(), "east"), []);
}

/// Nobody must hear that a member left.
#[derive(Debug)]
struct NotLeft;

impl EventSink for NotLeft {
    fn apply(&self, event: RegistryEvent) {
        assert!(!matches!(event.change, RegistryChange::Left));
    }
}
