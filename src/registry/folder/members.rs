//! A folder of members: each sub folder is a member of that name. New ones join while we run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::RecursiveMode;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::model::ClusterId;
use crate::table::EventSink;

use super::super::run::run_member;
use super::super::{MemberOptions, MemberSource, Members, Problem};
use super::files::identity;
use super::stir::Stir;
use super::{RESCAN, RESCAN_UNWATCHED};

/// The sub folders that are members, and what is wrong with the others. Blocks.
pub(in super::super) fn member_names(path: &Path) -> Result<(BTreeMap<ClusterId, PathBuf>, Vec<Problem>), Problem> {
    let unreadable = |error: std::io::Error| {
        Problem::new(
            format!("folder of members {}", path.display()),
            format!("it can't be read: {error}"),
            "create it with one sub folder of manifests per member, or correct the path",
        )
    };
    let mut members = BTreeMap::new();
    let mut problems = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let member = entry.path();
        let file_name = entry.file_name();
        let name = file_name.to_string_lossy();
        // A link to a folder is one too; plain files (a README, say) are nobody's business.
        if name.starts_with('.') || !member.is_dir() {
            continue;
        }
        match ClusterId::new(&name) {
            Ok(name) => {
                members.insert(name, member);
            }
            Err(error) => problems.push(Problem::new(
                format!("folder {}", member.display()),
                format!("{error}; it is passed over"),
                "rename it, for it names a member",
            )),
        }
    }
    problems.sort();
    Ok((members, problems))
}

/// Runs the members of a folder until cancelled. A member whose folder goes is kept, and shown as stale.
pub(in super::super) async fn run_members(
    path: PathBuf,
    options: MemberOptions,
    sink: Arc<dyn EventSink>,
    members: Members,
    cancel: CancellationToken,
) {
    let stir = Stir::default();
    let mut watched = None;
    let mut running: BTreeMap<ClusterId, PathBuf> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let (folder, stir_in) = (path.clone(), stir.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let same = watched
                .as_ref()
                .is_some_and(|(earlier, _)| *earlier == identity(&folder));
            if !same {
                watched = stir_in
                    .watch(&folder, RecursiveMode::NonRecursive)
                    .ok()
                    .map(|watcher| (identity(&folder), watcher));
            }
            (watched, member_names(&folder))
        });
        let found;
        (watched, found) = looked
            .await
            .unwrap_or_else(|error| (None, Err(broken_off(&path, &error))));
        let problems = match found {
            Ok((names, problems)) => {
                for (name, folder) in names {
                    if running.contains_key(&name) {
                        continue;
                    }
                    running.insert(name.clone(), folder.clone());
                    let source = MemberSource::Folder { path: folder };
                    tasks.spawn(run_member(
                        name,
                        source,
                        options.clone(),
                        Arc::clone(&sink),
                        members.clone(),
                        cancel.child_token(),
                    ));
                }
                problems
            }
            Err(problem) => vec![problem],
        };
        members.set_problems(&path, problems);
        let delay = match watched {
            Some(_) => RESCAN,
            None => RESCAN_UNWATCHED,
        };
        tokio::select! {
            () = cancel.cancelled() => break,
            () = stir.wait() => {}
            () = tokio::time::sleep(delay) => {}
        }
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, folder = %path.display(), "a member's task broke off");
            }
        }
        let _ = stir.take_closed();
    }
    while tasks.join_next().await.is_some() {}
}

fn broken_off(path: &Path, error: &tokio::task::JoinError) -> Problem {
    Problem::new(
        format!("folder of members {}", path.display()),
        format!("reading it broke off: {error}"),
        "report this",
    )
}
