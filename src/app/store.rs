//! What was known before the start, and writing down what is said from now on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::members::options;
use super::{Parts, Tasks};
use crate::config::{Config, MemberSource};
use crate::model::{ClusterId, HostName, MemberStanding, MemberWeight, NetworkId};
use crate::registry::{HostReport, MemberOptions, list_members_folder};
use crate::store::{Database, Recorder, Remembered, RememberedHost};
use crate::table::{EventSink, RegistryChange, RegistryEvent};

/// What came back from the last known good.
pub(super) struct Recalled {
    /// The members that are served already, by what was known of them.
    pub(super) members: BTreeSet<ClusterId>,
    /// Those of them that the settings don't name: they came in Secrets, which tell whether they are still members.
    pub(super) of_secrets: BTreeSet<ClusterId>,
    /// Where members that are API servers say what is to be written down.
    pub(super) sink: Arc<dyn EventSink>,
    /// What host names of gateways led to.
    pub(super) hosts: BTreeMap<HostName, HostReport>,
    /// Who writes that down; nobody where nothing is kept.
    pub(super) recorder: Option<Arc<Recorder>>,
}

/// Whose member a name is.
enum Whose {
    /// The settings', as an API server.
    Settings(MemberOptions),
    /// Maybe one of Secrets and `Member` objects, which tell.
    Secrets,
    /// Nobody's, or now a folder's, which is read at once.
    Nobody,
}

/// Serves what the file knows of the members of the settings, and of those that Secrets may still have. It forgets the others:
/// their owner took them out, or reads them from a folder now.
pub(super) async fn recall(tasks: &mut Tasks, config: &Config, parts: &Parts) -> anyhow::Result<Recalled> {
    let Some(path) = config.store.clone() else {
        return Ok(Recalled {
            members: BTreeSet::new(),
            of_secrets: BTreeSet::new(),
            sink: parts.sink(),
            hosts: BTreeMap::new(),
            recorder: None,
        });
    };
    let opened = tokio::task::spawn_blocking(move || {
        let database = Database::open(&path)?;
        let known = (database.load()?, database.load_hosts()?);
        anyhow::Ok((database, known))
    });
    let (database, (known, hosts)) = opened.await??;
    let recorder = Recorder::new(parts.sink(), database, parts.store_metrics.clone());
    recorder.remembers_hosts(hosts.clone());
    let folders = match &config.members_folder {
        Some(folder) => list_members_folder(folder.clone()).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let (mut members, mut of_secrets) = (BTreeSet::new(), BTreeSet::new());
    for (name, remembered) in known {
        match whose(config, &folders, &name)? {
            Whose::Settings(options) => {
                serve(parts, &name, options.network, options.weight, remembered);
            }
            Whose::Secrets => {
                let (network, weight) = (remembered.network.clone(), remembered.weight);
                serve(parts, &name, network, weight, remembered);
                of_secrets.insert(name.clone());
            }
            Whose::Nobody => {
                tracing::info!(member = %name, "no longer an API server's; its last known good is removed");
                recorder.apply(RegistryEvent {
                    member: name,
                    change: RegistryChange::Left,
                });
                continue;
            }
        }
        members.insert(name);
    }
    let (writer, drained) = (Arc::clone(&recorder), parts.drain.clone());
    tasks.spawn("store", async move { writer.run(drained).await });
    Ok(Recalled {
        members,
        of_secrets,
        sink: Arc::clone(&recorder) as Arc<dyn EventSink>,
        hosts: hosts.into_iter().map(|(name, host)| (name, as_report(host))).collect(),
        recorder: Some(recorder),
    })
}

fn as_report(host: RememberedHost) -> HostReport {
    HostReport {
        addresses: host.addresses,
        resolved_at: Some(host.at),
        ..HostReport::default()
    }
}

fn whose(config: &Config, folders: &[ClusterId], name: &ClusterId) -> anyhow::Result<Whose> {
    let mut members = config.members.iter();
    Ok(match members.find(|member| member.name == name.as_str()) {
        Some(member) if matches!(member.source, MemberSource::Folder(_)) => Whose::Nobody,
        Some(member) => Whose::Settings(options(config, member)?),
        None if folders.contains(name) || config.member_secrets.is_none() => Whose::Nobody,
        None => Whose::Secrets,
    })
}

/// Serves what is remembered of a member, placed and weighed like this until its reader says otherwise.
fn serve(parts: &Parts, name: &ClusterId, network: Option<NetworkId>, weight: MemberWeight, remembered: Remembered) {
    let Remembered {
        records,
        at,
        unreadable,
        ..
    } = remembered;
    let objects: usize = records.values().map(Vec::len).sum();
    tracing::info!(member = %name, objects, unreadable, age = ?at.elapsed().unwrap_or_default(), "serving what was known");
    let counts = records.iter().map(|(kind, records)| (*kind, records.len()));
    let standing = MemberStanding {
        weight,
        ..MemberStanding::default()
    };
    parts.members.remember(name, at, counts.collect(), standing);
    let sink = parts.sink();
    for change in [
        RegistryChange::Joined { network },
        RegistryChange::Stands(standing),
        RegistryChange::Replace(records),
    ] {
        sink.apply(RegistryEvent {
            member: name.clone(),
            change,
        });
    }
}
