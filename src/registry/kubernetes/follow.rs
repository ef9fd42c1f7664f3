//! One kind of one member: list it, watch it, and begin again wherever that breaks off.

use std::time::Duration;

use futures::StreamExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client, Resource};
use tokio::time::{Instant, timeout, timeout_at};

use super::failure::Failure;
use super::item::{Item, WatchedKind};
use super::listener::Listener;
use crate::lifecycle::Backoff;

/// The server closes a watch after so many seconds, with a bookmark two seconds before. Short, since that is the only sign of
/// life of a watch whose objects rest; where a watch ends another one begins at the same place.
const WATCH_SECONDS: u32 = 22;
const WATCH: Duration = Duration::from_secs(WATCH_SECONDS as u64);
/// A watch without a word for this long is dead.
const SILENCE: Duration = Duration::from_secs(26);
/// A list by a watch may take longer.
const STREAM_SECONDS: u32 = 290;
/// A list without a word for this long is dead.
const LIST_SILENCE: Duration = Duration::from_secs(75);
/// A server has this long to begin an answer, or to give one page of a list.
const ANSWER: Duration = Duration::from_secs(60);
/// A watch that lists nothing begins at once.
const WATCH_ANSWER: Duration = Duration::from_secs(15);
/// A request that went unanswered while the server was away gets this long once the server answers again.
const ANSWER_AFTER_HEARTBEAT: Duration = Duration::from_secs(5);
const PAGE: u32 = 500;
/// A watch that held for this long was a good one.
const HELD: Duration = Duration::from_secs(10);
/// So many failures to connect in a row, and the kubeconfig is read again: the address may be another by now.
const UNREACHABLE_IN_A_ROW: u32 = 5;

/// How lists are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListBy {
    /// As the beginning of a watch: light for both sides. Not every server can.
    Watch,
    /// In pages.
    Pages,
}

/// Follows a kind until only a new client can help, and tells why.
pub(super) async fn follow<W: WatchedKind>(client: &Client, listener: &Listener<'_>) -> Failure {
    let mut follower = Follower::<W> {
        api: Api::all(client.clone()),
        resource: W::plural(&()).into_owned(),
        listener,
        list_by: ListBy::Watch,
        position: None,
    };
    let mut pace = Pace {
        backoff: super::backoff(),
        short_rounds: 0,
    };
    let mut unreachable = 0;
    loop {
        let begun = Instant::now();
        let result = follower.round().await;
        match &result {
            Ok(()) | Err(Failure::Cut(_)) => unreachable = 0,
            Err(Failure::Expired) => follower.position = None,
            Err(failure) => {
                listener.failed(W::KIND, failure);
                match failure {
                    Failure::Unauthorized(_) => return failure.clone(),
                    failure if failure.is_of_connection() => unreachable += 1,
                    // It is told again in a list.
                    Failure::Malformed(..) => follower.position = None,
                    _ => unreachable = 0,
                }
                if unreachable >= UNREACHABLE_IN_A_ROW {
                    return failure.clone();
                }
            }
        }
        tracing::debug!(member = %listener.name(), kind = %W::KIND, ?result, "a watch ended");
        tokio::select! {
            () = pace.rest(begun, &result) => {}
            () = listener.answered(), if result.is_err() => {}
        }
    }
}

struct Follower<'a, W> {
    api: Api<Item<W>>,
    resource: String,
    listener: &'a Listener<'a>,
    list_by: ListBy,
    /// The version that is known; `None` where a list is needed.
    position: Option<String>,
}

impl<W: WatchedKind> Follower<'_, W> {
    /// Lists if need be, and watches until the watch ends.
    async fn round(&mut self) -> Result<(), Failure> {
        if self.position.is_none() && self.list_by == ListBy::Watch {
            let result = self.watch(None).await;
            let unable = result.as_ref().is_err_and(Failure::refuses_streaming);
            // A server that never says where the list ends does not know this way either.
            if unable || (result.is_ok() && self.position.is_none()) {
                self.list_by = ListBy::Pages;
            }
            if !unable {
                return result;
            }
        }
        if self.position.is_none() {
            self.list().await?;
        }
        self.watch(self.position.clone()).await
    }

    async fn list(&mut self) -> Result<(), Failure> {
        self.listener.list_begins(W::KIND);
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = timeout(ANSWER, self.api.list(&params))
                .await
                .map_err(|_| Failure::TimedOut("a list"))?
                .map_err(|error| self.failure(&error))?;
            for item in page.items {
                self.listener.listed(W::KIND, item.converted);
            }
            let more = page.metadata.continue_.filter(|token| !token.is_empty());
            if let Some(token) = more {
                params = params.continue_token(&token);
                continue;
            }
            let version = page.metadata.resource_version;
            self.position = Some(
                version
                    .filter(|text| !text.is_empty())
                    .ok_or_else(|| Failure::Malformed(self.resource.clone(), "a list has no version".to_owned()))?,
            );
            self.listener.list_ends(W::KIND);
            return Ok(());
        }
    }

    /// Watches from a version on, or, without one, for a list and what comes after it.
    async fn watch(&mut self, from: Option<String>) -> Result<(), Failure> {
        let params = match from {
            Some(_) => WatchParams::default().timeout(WATCH_SECONDS),
            None => WatchParams::streaming_lists().timeout(STREAM_SECONDS),
        };
        // An empty version asks for the present.
        let version = from.unwrap_or_default();
        let patience = if self.position.is_some() { WATCH_ANSWER } else { ANSWER };
        let given_up = async {
            self.listener.answered().await;
            tokio::time::sleep(ANSWER_AFTER_HEARTBEAT).await;
        };
        let events = tokio::select! {
            events = timeout(patience, self.api.watch(&params, &version)) => events.ok(),
            () = given_up => None,
        };
        let events = events
            .ok_or(Failure::TimedOut("a watch"))?
            .map_err(|error| self.failure(&error))?;
        let mut events = std::pin::pin!(events);
        match self.position {
            Some(_) => self.listener.alive(W::KIND),
            None => self.listener.list_begins(W::KIND),
        }
        // The watch that a list began has no end of its own that is near enough.
        let mut until = None;
        loop {
            let next = match (self.position.is_some(), until) {
                (false, _) => timeout(LIST_SILENCE, events.next()).await,
                (true, None) => timeout(SILENCE, events.next()).await,
                (true, Some(until)) => match timeout_at(until, events.next()).await {
                    Err(_) => return Ok(()),
                    next => next,
                },
            };
            let Some(event) = next.map_err(|_| Failure::Silent(self.resource.clone()))? else {
                return Ok(());
            };
            let is_listing = self.position.is_none();
            self.take(event.map_err(|error| self.failure(&error))?)?;
            if is_listing && self.position.is_some() {
                until = Some(Instant::now() + WATCH);
            }
        }
    }

    fn take(&mut self, event: WatchEvent<Item<W>>) -> Result<(), Failure> {
        match event {
            WatchEvent::Added(item) | WatchEvent::Modified(item) => match &mut self.position {
                None => self.listener.listed(W::KIND, item.converted),
                Some(position) => {
                    advance(position, &item);
                    self.listener.changed(W::KIND, item.converted);
                }
            },
            WatchEvent::Deleted(item) => {
                if let Some(position) = &mut self.position {
                    advance(position, &item);
                }
                self.listener.deleted(W::KIND, item.converted);
            }
            WatchEvent::Bookmark(bookmark) => {
                self.listener.heard(W::KIND);
                let metadata = bookmark.metadata;
                match &mut self.position {
                    Some(position) => *position = metadata.resource_version,
                    None if metadata.annotations.contains_key("k8s.io/initial-events-end") => {
                        self.position = Some(metadata.resource_version);
                        self.listener.list_ends(W::KIND);
                    }
                    None => {}
                }
            }
            WatchEvent::Error(status) => {
                return Err(Failure::of_status(&self.resource, &status));
            }
        }
        Ok(())
    }

    fn failure(&self, error: &kube::Error) -> Failure {
        Failure::of(&self.resource, error)
    }
}

/// An object without a version leaves the position where it is: then it is told again, which does no harm.
fn advance<W: WatchedKind>(position: &mut String, item: &Item<W>) {
    if let Some(version) = &item.meta().resource_version {
        position.clone_from(version);
    }
}

/// Rests between rounds: not at all after a good one, longer and longer, with jitter, while they fail.
struct Pace {
    backoff: Backoff,
    short_rounds: u32,
}

impl Pace {
    async fn rest(&mut self, begun: Instant, result: &Result<(), Failure>) {
        if begun.elapsed() >= HELD {
            self.backoff.reset();
            self.short_rounds = 0;
        }
        self.short_rounds += 1;
        let harmless = matches!(result, Ok(()) | Err(Failure::Expired | Failure::Cut(_)));
        if harmless && self.short_rounds == 1 {
            return;
        }
        tokio::time::sleep(self.backoff.next_delay()).await;
    }
}
