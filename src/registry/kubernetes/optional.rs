//! The kinds that a member may not know, or not let us read: it is complete without them, and they come in whenever they appear.
//!
//! One request tells which of their groups there are, and only what is there is asked for. It is repeated now and then while
//! something is missing, so a kind that is installed later is found without a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::Client;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::super::group::Group;
use super::failure::Failure;
use super::follow::follow;
use super::listener::Listener;
use super::policies::PATIENCE;
use super::resource::Resource;
use crate::lifecycle::Backoff;
use crate::table::Kind;

/// The least pause before a kind that is missing is looked for again, and how much it is spread.
pub(super) const PAUSE: Duration = Duration::from_secs(45);
const SPREAD: Duration = Duration::from_secs(30);
/// How long a server has to tell its groups.
const ANSWER: Duration = Duration::from_secs(10);
/// A member whose other kinds are all listed waits no longer than this for these.
const GRACE: Duration = Duration::from_secs(3);

/// Follows these kinds until only a new client can help, and tells why.
pub(super) async fn follow_optional(client: &Client, listener: &Listener<'_>, answered: &CancellationToken) -> Failure {
    let begin_without = async {
        listener.core_listed().await;
        sleep(GRACE).await;
        listener.begin_without_optional();
        sleep(PATIENCE).await;
        listener.wait_no_longer();
        std::future::pending().await
    };
    tokio::select! {
        failure = look(client, listener, answered) => failure,
        failure = begin_without => failure,
    }
}

async fn look(client: &Client, listener: &Listener<'_>, answered: &CancellationToken) -> Failure {
    let mut spread = Backoff::new(SPREAD, SPREAD);
    let mut backoff = super::backoff();
    let mut missing = BTreeSet::from(Kind::OPTIONAL);
    let mut followed = FuturesUnordered::new();
    let mut due = Instant::now();
    loop {
        let ended = tokio::select! {
            () = sleep_until(due), if !missing.is_empty() => None,
            Some(ended) = followed.next() => Some(ended),
        };
        if let Some((kind, failure)) = ended {
            if missing.is_empty() {
                due = Instant::now() + PAUSE + spread.next_delay();
            }
            match failure {
                Failure::Forbidden { .. } => listener.not_allowed(kind),
                failure if failure.is_unknown() => listener.not_installed(kind),
                failure => return failure,
            }
            missing.insert(kind);
            continue;
        }
        due = Instant::now() + PAUSE + spread.next_delay();
        let groups = match groups(client).await {
            Ok(groups) => Some(groups),
            // Then it shows when they are asked for.
            Err(Failure::Forbidden { .. }) => None,
            Err(failure @ Failure::Unauthorized(_)) => return failure,
            Err(_) => {
                due = Instant::now() + backoff.next_delay();
                continue;
            }
        };
        backoff.reset();
        for kind in std::mem::take(&mut missing) {
            let group = Group::of(kind);
            let versions = group.versions.iter().copied();
            let known = groups.as_ref().map(|groups| groups.get(group.name));
            let served: Vec<_> = match known {
                Some(known) => versions
                    .filter(|version| known.is_some_and(|known| known.contains(*version)))
                    .collect(),
                None => versions.collect(),
            };
            if served.is_empty() {
                listener.not_installed(kind);
                missing.insert(kind);
            } else {
                followed.push(follow_one(client, kind, served, listener, answered));
            }
        }
    }
}

/// Follows a kind in the newest of these versions that it is served in.
async fn follow_one(
    client: &Client,
    kind: Kind,
    versions: Vec<&'static str>,
    listener: &Listener<'_>,
    answered: &CancellationToken,
) -> (Kind, Failure) {
    let mut last = Failure::unknown(kind);
    for version in versions {
        let resource = Resource::of_version(kind, version);
        last = follow(client, resource, listener, answered.clone()).await;
        if !last.is_unknown() {
            break;
        }
    }
    (kind, last)
}

/// The groups that a server has, with their versions.
async fn groups(client: &Client) -> Result<BTreeMap<String, BTreeSet<String>>, Failure> {
    let answer = timeout(ANSWER, client.list_api_groups()).await;
    let list = match answer {
        Err(_) => return Err(Failure::TimedOut("its groups")),
        Ok(Ok(list)) => list,
        // Every API server has groups, if only none: a 404 is said by something in front of it.
        Ok(Err(error)) => return Err(Failure::of("groups", &error)),
    };
    let groups = list.groups.into_iter().map(|group| {
        let versions = group.versions.into_iter().map(|version| version.version);
        (group.name, versions.collect())
    });
    Ok(groups.collect())
}
