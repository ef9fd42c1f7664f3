//! Follows the settings file: what can change while we run does, and what can't is named.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{members, networks, traffic};
use crate::config::{Config, SettingsFile, SettingsStanding};
use crate::model::ClusterId;
use crate::push::Pusher;
use crate::registry::NamedMember;

/// How often the file is looked at. It is small, and a look needs nothing that file systems may not tell (a ConfigMap is a link to a
/// folder that is swapped).
const LOOK: Duration = Duration::from_millis(500);

/// Where settings go that take effect while we run.
pub(super) struct Live {
    pub(super) pusher: Arc<Pusher>,
    pub(super) members: watch::Sender<BTreeMap<ClusterId, NamedMember>>,
    pub(super) standing: SettingsStanding,
}

/// Looks at the file until cancelled. Text that is the same at two looks was written completely; it is checked as a whole, and a
/// file with mistakes leaves everything as it was.
pub(super) async fn follow(file: Option<SettingsFile>, running: Config, live: Live, cancel: CancellationToken) {
    let following = async {
        // Nothing to follow: the members of the start stay wanted.
        let Some(file) = file else {
            return std::future::pending().await;
        };
        let mut running = running;
        // What was read, and nothing where the file can't be read.
        let mut taken: Option<Option<String>> = None;
        let mut before: Option<Option<String>> = None;
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let path = file.path.clone();
            let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
            let text = read.ok().and_then(Result::ok);
            if before.as_ref() == Some(&text) && taken.as_ref() != Some(&text) {
                take(&file, text.as_deref(), &mut running, &live, taken.is_none());
                taken = Some(text.clone());
            }
            before = Some(text);
        }
    };
    cancel.run_until_cancelled(following).await;
}

/// Takes in a file that differs from the last one; without a text it can't be read. `first`: it is most likely the one that we were started with.
fn take(file: &SettingsFile, text: Option<&str>, running: &mut Config, live: &Live, first: bool) {
    let config = match text {
        // Again, for the message.
        None => file.load(),
        Some(text) => file.read(text),
    };
    let newer = match config {
        Ok(newer) => newer,
        Err(errors) => {
            let mistakes: Vec<_> = errors.as_slice().iter().map(ToString::to_string).collect();
            tracing::error!(file = %file.path.display(), mistakes = mistakes.join(" | "), "the settings file was changed and can't be taken; the settings before it stay in force");
            live.standing.refuse(mistakes);
            return;
        }
    };
    let next = running.with_live_parts_of(&newer);
    let waiting = running.differing_until_restart(&newer);
    let changed = next != *running;
    if changed && let Err(error) = apply(&next, live) {
        tracing::error!(%error, "the settings can't be taken; those before them stay in force");
        live.standing.refuse(vec![error.to_string()]);
        return;
    }
    *running = next;
    let generation = live.standing.accept(changed, &waiting);
    if changed || !first {
        tracing::info!(file = %file.path.display(), generation, changed, "the settings file is in force");
    }
    if !waiting.is_empty() {
        tracing::warn!(
            file = %file.path.display(),
            keys = waiting.join(", "),
            "these keys were changed and take effect with a restart"
        );
    }
}

/// Nothing is changed where this fails.
fn apply(config: &Config, live: &Live) -> anyhow::Result<()> {
    let table = networks::table_settings(config)?;
    let named = members::named(config)?;
    live.pusher.set_settings(table);
    if let Some(traffic) = traffic::settings(config) {
        live.pusher.set_traffic(traffic);
    }
    live.members.send_if_modified(|known| {
        let differs = *known != named;
        *known = named;
        differs
    });
    Ok(())
}
