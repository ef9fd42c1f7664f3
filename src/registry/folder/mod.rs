//! A member that is a folder of manifests: the same YAML that `kubectl apply` takes, read again whenever it changes.
//!
//! Any notice from the file system leads to a look at the whole folder, so no order of notices can mislead; only changed
//! files are read, and the table hears of a change as one replacement. A slow look from time to time finds what a file
//! system did not tell of.

mod files;
#[cfg(test)]
mod fuzz;
mod members;
mod merge;
mod once;
mod parse;
mod scan;
mod stir;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::model::ClusterId;
use crate::table::{EventSink, RegistryChange, RegistryEvent};

use super::problem::Problem;
use super::status::{MemberStatus, Topic};
use files::{FolderError, identity};
use merge::Lists;
use scan::{Folder, Now, Outcome};
use stir::Stir;

pub(super) use members::{member_names, run_members};
pub use once::{Manifests, read_manifests};

/// How often a folder is looked at without a notice.
const RESCAN: Duration = Duration::from_secs(10);
/// The same where the file system tells of nothing, or the folder is not there.
const RESCAN_UNWATCHED: Duration = Duration::from_secs(1);
/// The first content is held back no longer than this for files that are being written.
const LONGEST_START: Duration = Duration::from_secs(2);
/// After a look there is no other for as long as it took, but no longer than this: half of a core at most.
const LONGEST_REST: Duration = Duration::from_millis(50);

/// Everything that a look needs and leaves behind. It moves to a thread that may block, and back.
#[derive(Debug)]
struct Watched {
    folder: Folder,
    stir: Stir,
    /// Which folder is watched: one that was put in its place must be watched anew.
    identity: Option<(u64, u64)>,
    watcher: Option<RecommendedWatcher>,
    unwatched: Option<Problem>,
}

impl Watched {
    fn new(path: PathBuf, stir: Stir) -> Self {
        Self {
            folder: Folder::new(path),
            stir,
            identity: None,
            watcher: None,
            unwatched: None,
        }
    }

    /// Blocks. First the watch, then the look, so that no change falls between.
    fn look(&mut self, closed: &BTreeSet<PathBuf>) -> Result<Outcome, FolderError> {
        let identity = identity(self.folder.root());
        if identity != self.identity {
            self.watcher = None;
            self.unwatched = None;
            self.identity = identity;
            if identity.is_some() {
                match self.stir.watch(self.folder.root(), RecursiveMode::Recursive) {
                    Ok(watcher) => self.watcher = Some(watcher),
                    Err(error) => {
                        self.unwatched = Some(Problem::new(
                            format!("folder {}", self.folder.root().display()),
                            format!("changes are found by looking every second only: {error}"),
                            "allow more file watches (fs.inotify.max_user_watches and max_user_instances)",
                        ));
                    }
                }
            }
        }
        let now = Now {
            elapsing: Instant::now(),
            wall: SystemTime::now(),
        };
        self.folder.scan(closed, now)
    }
}

/// What one member has sent.
struct Told<'a> {
    name: &'a ClusterId,
    sink: &'a dyn EventSink,
    status: &'a MemberStatus,
    lists: Option<Lists>,
}

impl Told<'_> {
    /// Sends what the folder says, if it is not what was sent last.
    fn publish(&mut self, watched: &Watched) {
        let (lists, mut problems) = watched.folder.contents();
        problems.extend(watched.unwatched.clone());
        self.status.problems(Topic::Folder, problems);
        if self.lists.as_ref() == Some(&lists) {
            return;
        }
        for (kind, records) in &lists {
            let earlier = self.lists.as_ref().and_then(|lists| lists.get(kind));
            if earlier != Some(records) {
                self.status.told(*kind, records.len() as u64);
                self.status.holds(*kind, records.len());
            }
        }
        self.sink.apply(RegistryEvent {
            member: self.name.clone(),
            change: RegistryChange::Replace(lists.clone()),
        });
        self.lists = Some(lists);
    }
}

/// Reads a folder until cancelled.
pub(super) async fn run(
    name: &ClusterId,
    path: PathBuf,
    sink: Arc<dyn EventSink>,
    status: &MemberStatus,
    cancel: CancellationToken,
) {
    let stir = Stir::default();
    let started = Instant::now();
    let mut watched = Watched::new(path.clone(), stir.clone());
    let mut told = Told {
        name,
        sink: &*sink,
        status,
        lists: None,
    };
    loop {
        let closed = stir.take_closed();
        let looked = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let result = watched.look(&closed);
            (watched, result, begun.elapsed())
        });
        let delay;
        let rest;
        match looked.await {
            Ok((looked, result, took)) => {
                watched = looked;
                delay = take(&watched, result, &mut told, started);
                rest = took.min(LONGEST_REST);
            }
            // A mistake of ours, or the runtime ends: start afresh, keeping what was sent.
            Err(error) => {
                status.failing(format!("reading the folder broke off: {error}"));
                status.count_failure();
                watched = Watched::new(path.clone(), stir.clone());
                delay = RESCAN_UNWATCHED;
                rest = RESCAN_UNWATCHED;
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(rest) => {}
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = stir.wait() => {}
            () = tokio::time::sleep(delay) => {}
        }
    }
}

/// Passes on what a look found, and tells when to look again.
fn take(watched: &Watched, result: Result<Outcome, FolderError>, told: &mut Told<'_>, started: Instant) -> Duration {
    let regular = match watched.watcher {
        Some(_) => RESCAN,
        None => RESCAN_UNWATCHED,
    };
    match result {
        Ok(outcome) => {
            let delay = outcome.again_in.unwrap_or(regular);
            let first = told.lists.is_none();
            if first && outcome.again_in.is_some() && started.elapsed() < LONGEST_START {
                return delay;
            }
            if outcome.changed || first {
                told.publish(watched);
            }
            told.status.synced();
            delay
        }
        Err(error) => {
            told.status.failing(error.to_string());
            told.status.count_failure();
            RESCAN_UNWATCHED
        }
    }
}
