//! The entry: one member, or a folder of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::status::MemberStatus;
use super::{MemberSource, Members, Problem, folder, kubernetes};
use crate::model::{ClusterId, NetworkId};
use crate::table::{EventSink, RegistryChange, RegistryEvent};

/// Reads one member until cancelled, and tells `sink` of everything in it. Whatever fails is retried for ever and shown
/// in `members`; what is known of a member is kept while it can't be read. Ending says nothing about the member: only
/// the owner of the list of members sends [`RegistryChange::Left`].
///
/// `network` is the member's network according to the settings. A name that is taken already is reported in
/// [`Members::problems`], and nothing is read; this too lasts until cancelled.
pub async fn run_member(
    name: ClusterId,
    source: MemberSource,
    network: Option<NetworkId>,
    sink: Arc<dyn EventSink>,
    members: Members,
    cancel: CancellationToken,
) {
    let Some(status) = members.join(&name, &source) else {
        let problem = Problem::new(
            format!("member {name} ({source})"),
            "another member has this name; this one is not read",
            "give it another name",
        );
        members.set_problems(Path::new(&source.to_string()), vec![problem]);
        // Whoever runs members takes one that ends for one that broke off, and this is no reason to stop the others.
        cancel.cancelled().await;
        return;
    };
    read_member(name, source, network, sink, status, cancel).await;
}

/// Reads a member whose status is at hand.
pub(super) async fn read_member(
    name: ClusterId,
    source: MemberSource,
    network: Option<NetworkId>,
    sink: Arc<dyn EventSink>,
    status: MemberStatus,
    cancel: CancellationToken,
) {
    sink.apply(RegistryEvent {
        member: name.clone(),
        change: RegistryChange::Joined { network },
    });
    match &source {
        MemberSource::Folder { path } => {
            folder::run(&name, path.clone(), sink, &status, cancel).await;
        }
        MemberSource::Kubernetes { .. } | MemberSource::InCluster | MemberSource::Secret { .. } => {
            kubernetes::run(&name, &source, sink, &status, cancel).await;
        }
    }
}

/// Reads a folder of members until cancelled: each sub folder is a member of that name, whose network its labels tell.
/// New sub folders join while we run; a member whose folder goes is kept, and shown as stale.
pub async fn run_members_folder(path: PathBuf, sink: Arc<dyn EventSink>, members: Members, cancel: CancellationToken) {
    folder::run_members(path, sink, members, cancel).await;
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
