//! What was known before the start, and writing down what is said from now on.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::members::{default_options, options};
use super::{Parts, Tasks};
use crate::config::{Config, MemberSource};
use crate::model::{ClusterId, MemberStanding};
use crate::registry::MemberOptions;
use crate::store::{Database, Recorder, Remembered};
use crate::table::{EventSink, RegistryChange, RegistryEvent};

/// What came back from the last known good.
pub(super) struct Recalled {
    /// The members that are served already, by what was known of them.
    pub(super) members: BTreeSet<ClusterId>,
    /// Those of them that the settings don't name: they came in Secrets, which tell whether they are still members.
    pub(super) of_secrets: BTreeSet<ClusterId>,
    /// Where members that are API servers say what is to be written down.
    pub(super) sink: Arc<dyn EventSink>,
}

/// Serves what the file knows of the members of the settings, and forgets the others: their owner took them out.
pub(super) async fn recall(tasks: &mut Tasks, config: &Config, parts: &Parts) -> anyhow::Result<Recalled> {
    let Some(path) = config.store.clone() else {
        return Ok(Recalled {
            members: BTreeSet::new(),
            of_secrets: BTreeSet::new(),
            sink: parts.sink(),
        });
    };
    let opened = tokio::task::spawn_blocking(move || {
        let database = Database::open(&path)?;
        let known = database.load()?;
        anyhow::Ok((database, known))
    });
    let (database, known) = opened.await??;
    let recorder = Recorder::new(parts.sink(), database, parts.store_metrics.clone());
    let (mut members, mut of_secrets) = (BTreeSet::new(), BTreeSet::new());
    for (name, remembered) in known {
        match options_of(config, &name)? {
            Some(options) => {
                serve(parts, &name, &options, remembered);
                members.insert(name);
            }
            None if config.member_secrets.is_some() => {
                serve(parts, &name, &default_options(&config.member_defaults), remembered);
                of_secrets.insert(name.clone());
                members.insert(name);
            }
            None => {
                tracing::info!(member = %name, "no longer a member; its last known good is removed");
                recorder.apply(RegistryEvent {
                    member: name,
                    change: RegistryChange::Left,
                });
            }
        }
    }
    let (writer, drained) = (Arc::clone(&recorder), parts.drain.clone());
    tasks.spawn("store", async move { writer.run(drained).await });
    Ok(Recalled {
        members,
        of_secrets,
        sink: recorder,
    })
}

/// How the settings have a member treated that is an API server; `None` for any other name.
fn options_of(config: &Config, name: &ClusterId) -> anyhow::Result<Option<MemberOptions>> {
    let api_server = |source: &MemberSource| !matches!(source, MemberSource::Folder(_));
    let mut members = config.members.iter();
    let member = members.find(|member| member.name == name.as_str() && api_server(&member.source));
    member.map(options).transpose()
}

fn serve(parts: &Parts, name: &ClusterId, options: &MemberOptions, remembered: Remembered) {
    let Remembered {
        records,
        at,
        unreadable,
    } = remembered;
    let objects: usize = records.values().map(Vec::len).sum();
    tracing::info!(member = %name, objects, unreadable, age = ?at.elapsed().unwrap_or_default(), "serving what was known");
    let counts = records.iter().map(|(kind, records)| (*kind, records.len()));
    parts.members.remember(name, at, counts.collect());
    let sink = parts.sink();
    let network = options.network.clone();
    let standing = MemberStanding {
        weight: options.weight,
        ..MemberStanding::default()
    };
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
