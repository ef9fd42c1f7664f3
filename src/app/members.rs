//! Starts the reader of each member.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::store::Recalled;
use super::{Parts, hold_ready, serve};
use crate::config::{self, AllowConfig, BudgetConfig, Config, MemberConfig, StaleConfig};
use crate::control::{Control, run_control};
use crate::lifecycle::{BlockReady, DrainWatcher, Readiness, Tasks};
use crate::model::{ClusterId, MemberWeight, NetworkId};
use crate::registry::{
    Allowed, AttachedMembers, Budget, MemberOptions, MemberSource, Members, NamedMember, Sinks, StalePolicy,
    list_members_folder, run_attached_members, run_members_folder, run_named_members,
};

/// How soon a folder of members that can't be read is tried again.
const FOLDER_AGAIN: Duration = Duration::from_millis(500);

/// Starts a task for the members of the settings, and one for the folder of members. `wanted`: what the settings say of members
/// now, and later. Each member that is known now holds readiness back until it is synced or its deadline passed.
pub(super) async fn spawn(
    tasks: &mut Tasks,
    config: &Config,
    parts: &Parts,
    readiness: &Readiness,
    recalled: &Recalled,
    control: DrainWatcher,
    wanted: watch::Receiver<BTreeMap<ClusterId, NamedMember>>,
) -> anyhow::Result<()> {
    let deadline = config.readiness.member_sync_deadline;
    let mut names = Vec::new();
    for name in named(config)?.into_keys() {
        // What is known of it from before is served at once: nobody has to wait.
        if !recalled.members.contains(&name) {
            names.push(name);
        }
    }
    let sinks = Sinks {
        folders: parts.sink(),
        api_servers: Arc::clone(&recalled.sink),
        forget: match recalled.recorder.clone() {
            Some(recorder) => Arc::new(move |name| recorder.forget(name)),
            None => Arc::new(|_| {}),
        },
    };
    tasks.spawn(
        "members of the settings",
        run_named_members(wanted, sinks, parts.members.clone(), parts.drain.clone()),
    );
    if let Some(folder) = &config.members_folder {
        match list_members_folder(folder.clone()).await {
            Ok(found) => names.extend(found),
            // Ready without it would tell Envoys that reconnect that all they had is gone.
            Err(problem) => {
                tracing::error!(%problem, "the folder of members can't be read yet");
                let block = readiness.block(format!("the folder of members {}", folder.display()));
                let waiting = wait_for_folder(
                    folder.clone(),
                    block,
                    readiness.clone(),
                    parts.members.clone(),
                    deadline,
                );
                tokio::spawn(waiting);
            }
        }
        let reader = run_members_folder(
            folder.clone(),
            default_options(config),
            parts.sink(),
            parts.members.clone(),
            parts.drain.clone(),
        );
        tasks.spawn("folder of members", reader);
    }
    if let Some(secrets) = &config.member_secrets {
        spawn_secrets(tasks, config, secrets, parts, readiness, recalled);
        spawn_control(tasks, config, secrets, parts, control);
    } else if names.is_empty() && recalled.members.is_empty() {
        tracing::warn!("no members: nothing will be served; see `members` and `membersFolder` in the settings");
    }
    wait_for(names, readiness, &parts.members, deadline);
    Ok(())
}

/// Has readiness wait for each of these members.
fn wait_for(names: Vec<ClusterId>, readiness: &Readiness, members: &Members, deadline: Duration) {
    for name in names {
        let block = readiness.block(format!("member {name}"));
        // Not one of the tasks that must last: it is done when the member is.
        tokio::spawn(hold_ready(block, members.clone(), name, deadline));
    }
}

/// Blocks readiness until a folder of members can be read, and then for its members, or until the deadline passed.
async fn wait_for_folder(
    folder: PathBuf,
    block: BlockReady,
    readiness: Readiness,
    members: Members,
    deadline: Duration,
) {
    let begun = Instant::now();
    while begun.elapsed() < deadline {
        if let Ok(names) = list_members_folder(folder.clone()).await {
            wait_for(names, &readiness, &members, deadline.saturating_sub(begun.elapsed()));
            break;
        }
        sleep(FOLDER_AGAIN.min(deadline)).await;
    }
    drop(block);
}

/// The members that the settings name.
///
/// # Errors
/// None for settings that were checked.
pub(super) fn named(config: &Config) -> anyhow::Result<BTreeMap<ClusterId, NamedMember>> {
    let members = config.members.iter().map(|member| {
        let named = NamedMember {
            source: source(&member.source),
            options: options(config, member)?,
        };
        Ok((ClusterId::new(&member.name)?, named))
    });
    members.collect()
}

fn source(configured: &config::MemberSource) -> MemberSource {
    match configured {
        config::MemberSource::Folder(path) => MemberSource::Folder { path: path.clone() },
        config::MemberSource::Kubeconfig { path, context } => MemberSource::Kubernetes {
            kubeconfig: Some(path.clone()),
            context: context.clone(),
        },
        config::MemberSource::InCluster => MemberSource::InCluster,
    }
}

/// How the settings have a member treated.
///
/// # Errors
/// None for settings that were checked.
pub(super) fn options(config: &Config, member: &MemberConfig) -> anyhow::Result<MemberOptions> {
    let mut namespaces: Vec<_> = member.namespaces.iter().map(|name| name.as_str().into()).collect();
    namespaces.sort();
    namespaces.dedup();
    Ok(MemberOptions {
        network: member.network.as_deref().map(NetworkId::new).transpose()?,
        namespaces,
        system_namespace: Some(config.mesh.system_namespace.as_str().into()),
        stale: stale(member.stale),
        weight: MemberWeight::new(member.weight).unwrap_or(MemberWeight::MOST),
        budget: budget(&member.budget),
    })
}

/// How members are treated that the settings don't name.
pub(super) fn default_options(config: &Config) -> MemberOptions {
    let defaults = &config.member_defaults;
    MemberOptions {
        system_namespace: Some(config.mesh.system_namespace.as_str().into()),
        stale: stale(defaults.stale),
        budget: budget(&defaults.budget),
        ..MemberOptions::default()
    }
}

fn allowed(configured: &AllowConfig) -> Allowed {
    Allowed {
        exec: configured.exec.clone(),
        auth_providers: configured.auth_providers.clone(),
        folders: configured.folders.clone(),
        insecure_skip_tls_verify: configured.insecure_skip_tls_verify,
    }
}

fn stale(configured: StaleConfig) -> StalePolicy {
    match configured {
        StaleConfig::Keep => StalePolicy::Keep,
        StaleConfig::Demote(after) => StalePolicy::Demote { after },
        StaleConfig::Drop(after) => StalePolicy::Drop { after },
    }
}

fn budget(configured: &BudgetConfig) -> Budget {
    Budget {
        objects: configured.objects,
        bytes: configured.bytes,
        events_per_second: u32::try_from(configured.events_per_second).unwrap_or(u32::MAX),
    }
}

/// Starts the reader of Secrets. Readiness waits for their first list and for the members in it, within the deadline of one
/// member; those that are served as they were known need not be waited for.
fn spawn_secrets(
    tasks: &mut Tasks,
    config: &Config,
    secrets: &config::MemberSecretsConfig,
    parts: &Parts,
    readiness: &Readiness,
    recalled: &Recalled,
) {
    let (listed, list) = tokio::sync::oneshot::channel();
    let namespace = secrets.namespace.as_ref().unwrap_or(&config.mesh.system_namespace);
    let place = AttachedMembers {
        source: source(&secrets.source),
        namespace: namespace.clone(),
        options: default_options(config),
        allowed: allowed(&secrets.allow),
        known: recalled.of_secrets.clone(),
        listed,
    };
    let sink = Arc::clone(&recalled.sink);
    tasks.spawn(
        "member secrets",
        run_attached_members(place, sink, parts.members.clone(), parts.drain.clone()),
    );
    let (members, known) = (parts.members.clone(), recalled.of_secrets.clone());
    let block = readiness.block(format!("members in Secrets of {namespace}"));
    let deadline = config.readiness.member_sync_deadline;
    tokio::spawn(async move {
        let settled = async {
            let names = list.await.unwrap_or_default();
            let names = names.iter().filter(|name| !known.contains(*name));
            futures::future::join_all(names.map(|name| members.wait_settled(name))).await;
        };
        if tokio::time::timeout(deadline, settled).await.is_err() {
            tracing::warn!(
                ?deadline,
                "not all members in Secrets are synced within their deadline; the others are served"
            );
        }
        drop(block);
    });
}

/// Starts the writer of statuses. The end of the drain waits until it has given its Lease back.
fn spawn_control(
    tasks: &mut Tasks,
    config: &Config,
    secrets: &config::MemberSecretsConfig,
    parts: &Parts,
    drain: DrainWatcher,
) {
    let control = Control {
        source: source(&secrets.source),
        namespace: secrets
            .namespace
            .clone()
            .unwrap_or_else(|| config.mesh.system_namespace.clone()),
        identity: serve::control_plane_id(),
    };
    let (members, table) = (parts.members.clone(), Arc::clone(&parts.admin.table));
    let metrics = parts.control_metrics.clone();
    tasks.spawn("statuses of members", async move {
        run_control(control, members, table, metrics, drain.token()).await;
        drop(drain);
    });
}
