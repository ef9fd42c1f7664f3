//! The entry: one member, or a folder of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::status::MemberStatus;
use super::{MemberOptions, MemberSource, Members, Problem, folder, kubernetes, standing};
use crate::model::ClusterId;
use crate::table::EventSink;

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

/// Reads a member whose status is at hand, with the options that it joined with.
pub(super) async fn read_member(
    name: ClusterId,
    source: MemberSource,
    sink: Arc<dyn EventSink>,
    status: MemberStatus,
    cancel: CancellationToken,
) {
    let reading = async {
        match &source {
            MemberSource::Folder { path } => {
                folder::run(&name, path.clone(), Arc::clone(&sink), &status, cancel).await;
            }
            MemberSource::Kubernetes { .. } | MemberSource::InCluster | MemberSource::Secret { .. } => {
                kubernetes::run(&name, &source, Arc::clone(&sink), &status, cancel).await;
            }
        }
    };
    tokio::select! {
        // First, so that the table knows how the member is treated before it knows anything of it.
        biased;
        () = standing::keep(&name, &status, &*sink) => {}
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
