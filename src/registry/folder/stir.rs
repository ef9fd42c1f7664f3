//! Notices from the file system that something below a folder was changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use notify::event::{AccessKind, AccessMode, Event, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// So many files are remembered as closed between two looks at a folder; others have to settle by their age.
const MOST_CLOSED: usize = 10_000;

#[derive(Debug, Default)]
struct Shared {
    closed: Mutex<BTreeSet<PathBuf>>,
    stirred: Notify,
}

/// Collects notices until somebody looks. Latest wins: nothing queues up.
#[derive(Debug, Clone, Default)]
pub(super) struct Stir {
    shared: Arc<Shared>,
}

impl Stir {
    /// Returns once something was changed since the last look, or at once if it was already.
    pub(super) async fn wait(&self) {
        self.shared.stirred.notified().await;
    }

    /// Takes the files that were closed by a writer, or moved into place, since the last look.
    pub(super) fn take_closed(&self) -> BTreeSet<PathBuf> {
        std::mem::take(&mut *self.closed())
    }

    /// Has the file system tell of changes below `path`, for as long as the returned watch lives. Blocks while it walks
    /// through the folder.
    pub(super) fn watch(&self, path: &Path, depth: RecursiveMode) -> notify::Result<RecommendedWatcher> {
        let stir = self.clone();
        let mut watcher = notify::recommended_watcher(move |event| stir.note(event))?;
        watcher.watch(path, depth)?;
        Ok(watcher)
    }

    fn note(&self, event: notify::Result<Event>) {
        match event {
            Ok(event) => match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Modify(ModifyKind::Name(_)) => {
                    let mut closed = self.closed();
                    if closed.len() + event.paths.len() <= MOST_CLOSED {
                        closed.extend(event.paths);
                    }
                }
                // Our own reading, among others.
                EventKind::Access(_) => return,
                _ => {}
            },
            // Some notices may be lost; a look finds what they were about.
            Err(error) => tracing::debug!(%error, "a notice of a file system failed"),
        }
        self.shared.stirred.notify_one();
    }

    fn closed(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        // A set of paths is whole at any time.
        self.shared
            .closed
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
