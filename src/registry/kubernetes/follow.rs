//! One kind of one member: list it, watch it, and begin again wherever that breaks off.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HeaderValue};
use kube::Client;
use kube::api::{ListParams, WatchParams};
use kube::client::Body;
use kube::core::{Request, Status};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::item::{Event, Item, event, page};
use super::lines::{Broken, Lines, whole};
use super::listener::Listener;
use super::resource::Resource;
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
/// A page has to fit into this many bytes, and the words of an error into these.
const LONGEST_PAGE: usize = 128 << 20;
const LONGEST_ERROR: usize = 64 << 10;
/// A member that is over its budget is read again after this time, which may have been raised.
const OVER_BUDGET_AGAIN: Duration = Duration::from_secs(60);
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

/// Follows a kind until only a new client can help, and tells why. `answered` is cancelled at the first answer or failure.
pub(super) async fn follow(
    client: &Client,
    resource: Resource,
    listener: &Listener<'_>,
    answered: CancellationToken,
) -> Failure {
    let kind = resource.kind;
    let mut follower = Follower {
        client,
        resource,
        listener,
        answered,
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
            // Somebody else looks whether it comes.
            Err(failure) if kind.is_optional() && (failure.is_unknown() || failure.is_forbidden()) => {
                return failure.clone();
            }
            Err(failure) => {
                listener.failed(kind, failure);
                match failure {
                    Failure::Unauthorized(_) => return failure.clone(),
                    failure if failure.is_of_connection() => unreachable += 1,
                    // It is told again in a list.
                    Failure::Malformed(..) | Failure::OverBudget(_) => follower.position = None,
                    _ => unreachable = 0,
                }
                if unreachable >= UNREACHABLE_IN_A_ROW {
                    return failure.clone();
                }
            }
        }
        tracing::debug!(member = %listener.name(), %kind, ?result, "a watch ended");
        if matches!(result, Err(Failure::OverBudget(_))) {
            // All of it would be read again.
            tokio::time::sleep(OVER_BUDGET_AGAIN).await;
            continue;
        }
        tokio::select! {
            () = pace.rest(begun, &result) => {}
            () = listener.answered(), if result.is_err() => {}
        }
    }
}

struct Follower<'a> {
    client: &'a Client,
    resource: Resource,
    listener: &'a Listener<'a>,
    answered: CancellationToken,
    list_by: ListBy,
    /// The version that is known; `None` where a list is needed.
    position: Option<String>,
}

impl Follower<'_> {
    /// Lists if need be, and watches until the watch ends.
    async fn round(&mut self) -> Result<(), Failure> {
        let due = self.listener.confirm_due(self.resource.kind);
        if due.is_some_and(|due| due <= Instant::now()) {
            self.position = None;
        }
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
        let (kind, listener) = (self.resource.kind, self.listener);
        listener.list_begins(kind);
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let request = Request::new(self.resource.path()).list(&params);
            let body = self.ask(request, "a list", ANSWER).await?;
            let text = timeout(ANSWER, whole(body, LONGEST_PAGE))
                .await
                .map_err(|_| Failure::TimedOut("a list"))?
                .map_err(|broken| self.broken(broken))?;
            let mut taken = Ok(());
            let end = page(kind, &text, |item| {
                if taken.is_ok() {
                    taken = listener.listed(kind, item.converted);
                }
            });
            let end = end.map_err(|error| self.malformed(&error))?;
            taken?;
            if let Some(token) = end.r#continue.filter(|token| !token.is_empty()) {
                params = params.continue_token(&token);
                continue;
            }
            let version = end.resource_version.filter(|text| !text.is_empty());
            self.position = Some(version.ok_or_else(|| self.malformed(&"a list has no version"))?);
            listener.list_ends(kind);
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
        let mut request = Request::new(self.resource.path()).watch(&params, &version);
        if let Ok(request) = &mut request {
            // Newer servers compress each event by itself, which the client's decompression does not understand.
            let plain = HeaderValue::from_static("identity");
            request.headers_mut().insert(ACCEPT_ENCODING, plain);
        }
        let patience = if self.position.is_some() { WATCH_ANSWER } else { ANSWER };
        let body = self.ask(request, "a watch", patience).await?;
        match self.position {
            Some(_) => self.listener.alive(self.resource.kind),
            None => self.listener.list_begins(self.resource.kind),
        }
        let mut lines = Lines::of(body);
        // The watch that a list began has no end of its own that is near enough.
        let mut until = None;
        loop {
            let due = self.listener.confirm_due(self.resource.kind);
            let end = until.into_iter().chain(due).min();
            let next = match (self.position.is_some(), end) {
                (false, _) => timeout(LIST_SILENCE, lines.next()).await,
                (true, None) => timeout(SILENCE, lines.next()).await,
                (true, Some(end)) => match timeout_at(end, lines.next()).await {
                    Err(_) => return Ok(()),
                    next => next,
                },
            };
            let line = next.map_err(|_| Failure::Silent(self.resource.plural.to_owned()))?;
            let Some(line) = line.map_err(|broken| self.broken(broken))? else {
                return Ok(());
            };
            let is_listing = self.position.is_none();
            self.take(&line)?;
            match is_listing {
                false => self.listener.keep_pace().await,
                // Whoever never has to wait for its connection must not keep others from running.
                true => tokio::task::consume_budget().await,
            }
            if is_listing && self.position.is_some() {
                until = Some(Instant::now() + WATCH);
            }
        }
    }

    fn take(&mut self, line: &Bytes) -> Result<(), Failure> {
        let kind = self.resource.kind;
        let event = match event(kind, line) {
            // A server that ends in the middle of a line, rather than at its end.
            Err(error) if error.is_eof() => return Ok(()),
            event => event.map_err(|error| self.malformed(&error))?,
        };
        match event {
            Event::Set(item) => match &mut self.position {
                None => self.listener.listed(kind, item.converted)?,
                Some(position) => {
                    advance(position, item.version);
                    self.listener.changed(kind, item.converted)?;
                }
            },
            Event::Deleted(Item { version, converted }) => {
                if let Some(position) = &mut self.position {
                    advance(position, version);
                }
                self.listener.deleted(kind, converted);
            }
            Event::Bookmark { version, ends_list } => match &mut self.position {
                Some(position) => {
                    *position = version;
                    self.listener.heard(kind);
                }
                None if ends_list => {
                    self.position = Some(version);
                    self.listener.list_ends(kind);
                }
                None => {}
            },
            Event::Failed { code, message } => {
                return Err(Failure::of_status(self.resource.plural, code, message));
            }
        }
        Ok(())
    }

    /// Sends a request; what is not an answer but an error becomes a failure.
    async fn ask(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
        what: &'static str,
        patience: Duration,
    ) -> Result<Body, Failure> {
        let request = request.map_err(|error| self.malformed(&error))?.map(Body::from);
        let given_up = async {
            self.listener.answered().await;
            tokio::time::sleep(ANSWER_AFTER_HEARTBEAT).await;
        };
        let answer = tokio::select! {
            answer = timeout(patience, self.client.send(request)) => answer.ok(),
            () = given_up => None,
        };
        self.answered.cancel();
        let answer = answer
            .ok_or(Failure::TimedOut(what))?
            .map_err(|error| Failure::of(self.resource.plural, &error))?;
        let code = answer.status();
        if code.is_success() {
            return Ok(answer.into_body());
        }
        let text = timeout(ANSWER, whole(answer.into_body(), LONGEST_ERROR)).await;
        let text = text.ok().and_then(Result::ok).unwrap_or_default();
        let message = match serde_json::from_slice::<Status>(&text) {
            Ok(status) => status.message,
            Err(_) => String::from_utf8_lossy(&text).trim().to_owned(),
        };
        Err(Failure::of_status(self.resource.plural, code.as_u16(), message))
    }

    fn malformed(&self, why: &dyn std::fmt::Display) -> Failure {
        Failure::Malformed(self.resource.plural.to_owned(), why.to_string())
    }

    fn broken(&self, broken: Broken) -> Failure {
        match broken {
            Broken::Cut(error) => Failure::Cut(super::failure::chain(&*error)),
            Broken::TooLong(bytes) => self.malformed(&format_args!("it has more than {bytes} bytes in one piece")),
        }
    }
}

/// An object without a version leaves the position where it is: then it is told again, which does no harm.
fn advance(position: &mut String, version: Option<String>) {
    if let Some(version) = version {
        *position = version;
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
