//! Starts the reader of each member.

use std::sync::Arc;

use super::store::Recalled;
use super::{Parts, hold_ready};
use crate::config::{self, Config};
use crate::lifecycle::{Readiness, Tasks};
use crate::model::{ClusterId, NetworkId};
use crate::registry::{MemberSource, list_members_folder, run_member, run_members_folder};

/// Starts a task for each member of the settings, and one for the folder of members. Each member that is known now holds
/// readiness back until it is synced or its deadline passed.
pub(super) async fn spawn(
    tasks: &mut Tasks,
    config: &Config,
    parts: &Parts,
    readiness: &Readiness,
    recalled: &Recalled,
) -> anyhow::Result<()> {
    let mut names = Vec::new();
    for member in &config.members {
        let name = ClusterId::new(&member.name)?;
        let network = member.network.as_deref().map(NetworkId::new).transpose()?;
        let source = match &member.source {
            config::MemberSource::Folder(path) => MemberSource::Folder { path: path.clone() },
            config::MemberSource::Kubeconfig { path, context } => MemberSource::Kubernetes {
                kubeconfig: Some(path.clone()),
                context: context.clone(),
            },
            config::MemberSource::InCluster => MemberSource::InCluster,
        };
        // What is known of it from before is served at once: nobody has to wait.
        if !recalled.members.contains(&name) {
            names.push(name.clone());
        }
        let sink = match &source {
            MemberSource::Folder { .. } => parts.sink(),
            MemberSource::Kubernetes { .. } | MemberSource::InCluster => Arc::clone(&recalled.sink),
        };
        let reader = run_member(name, source, network, sink, parts.members.clone(), parts.drain.clone());
        tasks.spawn(format!("member {}", member.name), reader);
    }
    if let Some(folder) = &config.members_folder {
        match list_members_folder(folder.clone()).await {
            Ok(found) => names.extend(found),
            Err(problem) => tracing::error!(%problem, "the folder of members can't be read yet"),
        }
        let reader = run_members_folder(folder.clone(), parts.sink(), parts.members.clone(), parts.drain.clone());
        tasks.spawn("folder of members", reader);
    }
    if names.is_empty() && recalled.members.is_empty() {
        tracing::warn!("no members: nothing will be served; see `members` and `membersFolder` in the settings");
    }
    let deadline = config.readiness.member_sync_deadline;
    for name in names {
        let block = readiness.block(format!("member {name}"));
        // Not one of the tasks that must last: it is done when the member is.
        tokio::spawn(hold_ready(block, parts.members.clone(), name, deadline));
    }
    Ok(())
}
