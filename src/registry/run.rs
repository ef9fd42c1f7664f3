//! The entry: one member, or a folder of them.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::status::MemberStatus;
use super::{MemberOptions, MemberSource, Members, Problem, folder, kubernetes, standing};
use crate::lifecycle::Backoff;
use crate::model::ClusterId;
use crate::table::EventSink;

/// The reason of a member whose reader broke off, which none should.
const BROKE_OFF: &str = "its reader broke off, which is a mistake of ours; it begins again";
/// A reader that broke off begins again this soon at first, and at least this often.
const BEGIN_AGAIN: Duration = Duration::from_secs(1);
const BEGIN_AGAIN_AT_MOST: Duration = Duration::from_secs(60);
/// One that went on for so long begins again soon.
const LASTED: Duration = Duration::from_secs(120);

/// Reads one member of a folder of members until cancelled, and tells `sink` of everything in it. Whatever fails is retried for ever and shown
/// in `members`; what is known of a member is kept while it can't be read. Ending says nothing about the member: only
/// the owner of the list of members sends [`crate::table::RegistryChange::Left`].
///
/// `options` may change later, by [`Members::reconfigure`]. A name that is taken already is reported in
/// [`Members::problems`], and nothing is read until it is free.
pub(super) async fn run_member(
    name: ClusterId,
    source: MemberSource,
    options: MemberOptions,
    sink: Arc<dyn EventSink>,
    members: Members,
    cancel: CancellationToken,
) {
    let place = source.to_string();
    let mut freed = members.freed();
    let status = loop {
        if let Some(status) = members.join(&name, &source, options.clone()) {
            break status;
        }
        let taken = vec![Problem::name_taken(&name, &source)];
        members.set_problems(Path::new(&place), taken);
        // Whoever runs members takes one that ends for one that broke off, and this is no reason to stop the others.
        if cancel.run_until_cancelled(freed.changed()).await.is_none() {
            return;
        }
    };
    members.set_problems(Path::new(&place), Vec::new());
    read_member(name, source, sink, status, cancel).await;
}

/// Reads a member whose status is at hand, with the options that it joined with. A reader that breaks off is shown, and begun
/// again after a while: what it held is listed anew.
pub(super) async fn read_member(
    name: ClusterId,
    source: MemberSource,
    sink: Arc<dyn EventSink>,
    status: MemberStatus,
    cancel: CancellationToken,
) {
    let mut backoff = Backoff::new(BEGIN_AGAIN, BEGIN_AGAIN_AT_MOST);
    loop {
        let begun = Instant::now();
        let reading = read_once(&name, &source, &sink, &status, cancel.clone());
        // What both sides hold together (table, status) stays whole when a change of it breaks off.
        let Err(_) = AssertUnwindSafe(reading).catch_unwind().await else {
            return;
        };
        // The panic itself is in the log, and has no place in what others are shown.
        tracing::error!(member = %name, "the member's reader broke off; it begins again");
        status.count_failure();
        status.failing(BROKE_OFF);
        if begun.elapsed() >= LASTED {
            backoff.reset();
        }
        let rest = tokio::time::sleep(backoff.next_delay());
        if cancel.run_until_cancelled(rest).await.is_none() {
            return;
        }
    }
}

async fn read_once(
    name: &ClusterId,
    source: &MemberSource,
    sink: &Arc<dyn EventSink>,
    status: &MemberStatus,
    cancel: CancellationToken,
) {
    let reading = async {
        match source {
            MemberSource::Folder { path } => {
                folder::run(name, path.clone(), Arc::clone(sink), status, cancel).await;
            }
            // Nobody asks for that.
            MemberSource::Remembered => std::future::pending().await,
            MemberSource::Kubernetes { .. } | MemberSource::InCluster | MemberSource::Secret { .. } => {
                kubernetes::run(name, source, Arc::clone(sink), status, cancel).await;
            }
        }
    };
    tokio::select! {
        // First, so that the table knows how the member is treated before it knows anything of it.
        biased;
        () = standing::keep(name, status, &**sink) => {}
        () = reading => {}
    }
}

/// Reads a folder of members until cancelled: each sub folder is a member of that name, whose network its labels tell.
/// New sub folders join while we run; a member whose folder goes is kept, and shown as stale.
///
/// `options` are those of each of them.
pub async fn run_members_folder(
    path: PathBuf,
    options: MemberOptions,
    sink: Arc<dyn EventSink>,
    members: Members,
    cancel: CancellationToken,
) {
    folder::run_members(path, options, sink, members, cancel).await;
}

/// The members that a folder of members has at present, each with its folder, and what is wrong with other folders in it. Blocks.
///
/// # Errors
/// When the folder can't be read.
pub fn members_in_folder(path: &Path) -> Result<(BTreeMap<ClusterId, PathBuf>, Vec<Problem>), Problem> {
    folder::member_names(path)
}

/// The members that a folder of members has at present, for whoever waits for them at the start.
///
/// # Errors
/// When the folder can't be read; [`run_members_folder`] takes it all the same, and waits for it.
pub async fn list_members_folder(path: PathBuf) -> Result<Vec<ClusterId>, Problem> {
    let shown = path.display().to_string();
    let names = tokio::task::spawn_blocking(move || folder::member_names(&path)).await;
    match names {
        Ok(names) => names.map(|(names, _)| names.into_keys().collect()),
        Err(error) => Err(Problem::new(
            format!("folder of members {shown}"),
            format!("reading it broke off: {error}"),
            "start again",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::MemberState;
    use super::super::testing::{Recorder, id, until_report};
    use super::*;
    use crate::table::{RegistryChange, RegistryEvent};

    /// Panics at the first lists.
    #[derive(Debug, Default)]
    struct Breaks {
        left: AtomicUsize,
        next: Recorder,
    }

    impl EventSink for Breaks {
        fn apply(&self, event: RegistryEvent) {
            let lists = matches!(
                event.change,
                RegistryChange::Replace(_) | RegistryChange::ReplaceExcept { .. }
            );
            if lists && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
                panic!("a mistake");
            }
            self.next.apply(event);
        }
    }

    #[tokio::test]
    async fn a_reader_that_broke_off_is_shown_and_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        let manifest =
            "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {ports: [{port: 80}]}\n";
        std::fs::write(folder.path().join("service.yaml"), manifest).unwrap();
        let sink = Arc::new(Breaks {
            left: AtomicUsize::new(1),
            next: Recorder::default(),
        });
        let (members, cancel) = (Members::default(), CancellationToken::new());
        let reading = tokio::spawn(run_member(
            id("east"),
            MemberSource::Folder {
                path: folder.path().to_owned(),
            },
            MemberOptions::default(),
            Arc::clone(&sink) as Arc<dyn EventSink>,
            members.clone(),
            cancel.clone(),
        ));
        until_report(
            &members,
            "east",
            "broke off",
            |report| matches!(&report.state, MemberState::Connecting { reason, .. } if reason == BROKE_OFF),
        )
        .await;
        until_report(&members, "east", "synced", |report| report.state == MemberState::Synced).await;
        assert_eq!(sink.next.names("east"), ["Service shop/web"]);
        cancel.cancel();
        reading.await.unwrap();
    }
}
