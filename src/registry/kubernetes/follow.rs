//! One kind of one member: list it, watch it, and begin again wherever that breaks off.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::header::{ACCEPT_ENCODING, HeaderValue};
use kube::Client;
use kube::api::{ListParams, WatchParams};
use kube::client::Body;
use kube::core::{Request, Status};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::item::{Event, Item, event, object, page};
use super::lines::{Broken, Lines, whole};
use super::listener::Listener;
use super::pace::Pace;
use super::part::{Part, advance};
use super::resource::{Place, Resource};
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
/// So many parts of a kind are listed at the same time.
const LISTS_AT_ONCE: usize = 4;
/// A kind that we are not allowed to read, and go without, is asked for again after this time and some more.
const DENIED_AGAIN: Duration = Duration::from_secs(45);
const DENIED_SPREAD: Duration = Duration::from_secs(30);
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
    let places = listener.scope().places(kind);
    let mut follower = Follower {
        parts: places.into_iter().map(Part::of).collect(),
        list_by: ListBy::Watch,
        asker: Asker {
            client,
            resource,
            listener,
            answered,
            watched: AtomicUsize::new(0),
        },
    };
    let mut pace = Pace::new();
    let mut unreachable = 0;
    let mut denied = Backoff::new(DENIED_SPREAD, DENIED_SPREAD);
    loop {
        let begun = Instant::now();
        let result = follower.round().await;
        match &result {
            Ok(()) | Err(Failure::Cut(_)) => unreachable = 0,
            Err(Failure::Expired) => follower.forget(),
            // Somebody else looks whether it comes.
            Err(failure) if kind.is_optional() && (failure.is_unknown() || failure.is_forbidden()) => {
                return failure.clone();
            }
            Err(failure) if failure.is_forbidden() && listener.scope().does_without(kind) => {
                listener.goes_without(kind, failure);
                tokio::time::sleep(DENIED_AGAIN + denied.next_delay()).await;
                continue;
            }
            Err(failure) => {
                listener.failed(kind, failure);
                match failure {
                    Failure::Unauthorized(_) => return failure.clone(),
                    failure if failure.is_of_connection() => unreachable += 1,
                    // It is told again in a list.
                    Failure::Malformed(..) | Failure::OverBudget(_) => follower.forget(),
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

/// Follows a kind in all of its parts. They are one list: where one of them can't be gone on with, all are listed again.
struct Follower<'a> {
    asker: Asker<'a>,
    list_by: ListBy,
    parts: Vec<Part>,
}

/// What all parts have in common.
struct Asker<'a> {
    client: &'a Client,
    resource: Resource,
    listener: &'a Listener<'a>,
    answered: CancellationToken,
    /// How many watches began since all of them were last known not to be open.
    watched: AtomicUsize,
}

impl Follower<'_> {
    fn forget(&mut self) {
        self.parts.iter_mut().for_each(Part::forget);
    }

    /// Lists if need be, and watches until a watch ends.
    async fn round(&mut self) -> Result<(), Failure> {
        if self.asker.confirm_is_due() {
            self.forget();
        }
        let is_known = self.parts.iter().all(Part::is_known);
        if !is_known
            && self.list_by == ListBy::Watch
            && let [part] = &mut *self.parts
        {
            let result = self.asker.watch(part).await;
            let unable = result.as_ref().is_err_and(Failure::refuses_streaming);
            // A server that never says where the list ends does not know this way either.
            if unable || (result.is_ok() && part.position.is_none()) {
                self.list_by = ListBy::Pages;
            }
            if !unable {
                return result;
            }
        }
        if !is_known {
            self.list().await?;
        }
        self.watch().await
    }

    /// Lists all parts. Streams can't do it: each would have to be held back until the others are through.
    async fn list(&mut self) -> Result<(), Failure> {
        let (kind, listener) = (self.asker.resource.kind, self.asker.listener);
        self.forget();
        listener.list_begins(kind);
        for some in self.parts.chunks_mut(LISTS_AT_ONCE) {
            let mut lists = FuturesUnordered::new();
            for part in some {
                lists.push(self.asker.list_or_lack(part));
            }
            while let Some(listed) = lists.next().await {
                listed?;
            }
        }
        listener.list_ends(kind);
        Ok(())
    }

    /// Watches all parts, until one of them fails, or another list is due.
    async fn watch(&mut self) -> Result<(), Failure> {
        self.asker.watched.store(0, Ordering::Relaxed);
        if let [part] = &mut *self.parts {
            return self.asker.watch(part).await;
        }
        let mut watches = FuturesUnordered::new();
        for part in &mut self.parts {
            watches.push(self.asker.keep_watching(part));
        }
        // There is a part at least.
        watches.next().await.unwrap_or(Ok(()))
    }
}

impl Asker<'_> {
    fn confirm_is_due(&self) -> bool {
        let due = self.listener.confirm_due(self.resource.kind);
        due.is_some_and(|due| due <= Instant::now())
    }

    /// Whether we go on without this part, which we are not allowed to read.
    fn lacks(&self, part: &mut Part, result: &Result<(), Failure>) -> bool {
        let Err(Failure::Forbidden { message, .. }) = result else {
            return false;
        };
        let Some(namespace) = self.listener.scope().may_lack(self.resource.kind, &part.place) else {
            return false;
        };
        part.is_lacking = true;
        self.listener.lacks(self.resource.kind, namespace, message);
        true
    }

    async fn list_or_lack(&self, part: &mut Part) -> Result<(), Failure> {
        let result = self.list(part).await;
        if self.lacks(part, &result) { Ok(()) } else { result }
    }

    /// Waits until a part may be read that is gone without: then all are listed again.
    async fn keep_asking(&self, part: &Part) -> Failure {
        self.begins();
        let path = self.resource.path(&part.place);
        let mut spread = Backoff::new(DENIED_SPREAD, DENIED_SPREAD);
        loop {
            tokio::time::sleep(DENIED_AGAIN + spread.next_delay()).await;
            // Whatever else is wrong, the other parts tell.
            let params = ListParams::default().limit(PAGE);
            if self.text(Request::new(&path).list(&params)).await.is_ok() {
                return Failure::Expired;
            }
        }
    }

    async fn list(&self, part: &mut Part) -> Result<(), Failure> {
        let (kind, listener) = (self.resource.kind, self.listener);
        let path = self.resource.path(&part.place);
        if matches!(part.place, Place::Named(_)) {
            return self.get(part, path).await;
        }
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let text = self.text(Request::new(&path).list(&params)).await?;
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
            part.position = Some(version.ok_or_else(|| self.malformed(&"a list has no version"))?);
            return Ok(());
        }
    }

    /// A list of one object, or of none.
    async fn get(&self, part: &mut Part, path: String) -> Result<(), Failure> {
        let text = match self.text(Request::new(path).list(&ListParams::default())).await {
            // To be told once it is there.
            Err(failure) if failure.is_unknown() => {
                part.position = Some("0".to_owned());
                return Ok(());
            }
            text => text?,
        };
        let item = object(self.resource.kind, &text).map_err(|error| self.malformed(&error))?;
        part.position = Some(
            item.version
                .ok_or_else(|| self.malformed(&"an object has no version"))?,
        );
        self.listener.listed(self.resource.kind, item.converted)
    }

    /// The whole text of an answer.
    async fn text(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Bytes, Failure> {
        let body = self.ask(request, "a list", ANSWER).await?;
        timeout(ANSWER, whole(body, LONGEST_PAGE))
            .await
            .map_err(|_| Failure::TimedOut("a list"))?
            .map_err(|broken| self.broken(broken))
    }

    /// Watches one part of several: its watches end and begin without a word to the others.
    async fn keep_watching(&self, part: &mut Part) -> Result<(), Failure> {
        let mut pace = Pace::new();
        loop {
            if part.is_lacking {
                return Err(self.keep_asking(part).await);
            }
            let begun = Instant::now();
            let result = self.watch(part).await;
            if self.lacks(part, &result) {
                continue;
            }
            if self.confirm_is_due() || !matches!(result, Ok(()) | Err(Failure::Cut(_))) {
                return result;
            }
            pace.rest(begun, &result).await;
        }
    }

    /// Watches from the known version on, or, without one, for a list and what comes after it.
    async fn watch(&self, part: &mut Part) -> Result<(), Failure> {
        let params = match part.position {
            Some(_) => WatchParams::default().timeout(WATCH_SECONDS),
            None => WatchParams::streaming_lists().timeout(STREAM_SECONDS),
        };
        // An empty version asks for the present.
        let version = part.position.clone().unwrap_or_default();
        let mut request = Request::new(self.resource.watch_path(&part.place)).watch(&params, &version);
        if let Ok(request) = &mut request {
            // Newer servers compress each event by itself, which the client's decompression does not understand.
            let plain = HeaderValue::from_static("identity");
            request.headers_mut().insert(ACCEPT_ENCODING, plain);
        }
        let patience = if part.position.is_some() { WATCH_ANSWER } else { ANSWER };
        let body = self.ask(request, "a watch", patience).await?;
        match part.position {
            Some(_) => self.begins(),
            None => self.listener.list_begins(self.resource.kind),
        }
        let mut lines = Lines::of(body);
        // The watch that a list began has no end of its own that is near enough.
        let mut until = None;
        loop {
            let due = self.listener.confirm_due(self.resource.kind);
            let end = until.into_iter().chain(due).min();
            let is_listing = part.position.is_none();
            let silent = Instant::now() + if is_listing { LIST_SILENCE } else { SILENCE };
            let end = end.filter(|_| !is_listing);
            let next = tokio::select! {
                next = timeout_at(end.unwrap_or(silent), lines.next()) => next,
                // All kinds begin together: that this one is to be listed once more may be known later than it was.
                () = self.listener.wonders.notified() => continue,
            };
            if next.is_err() && end.is_some() {
                return Ok(());
            }
            let line = next.map_err(|_| Failure::Silent(self.resource.plural.to_owned()))?;
            let Some(line) = line.map_err(|broken| self.broken(broken))? else {
                return Ok(());
            };
            self.take(&line, &mut part.position)?;
            match is_listing {
                false => self.listener.keep_pace().await,
                // Whoever never has to wait for its connection must not keep others from running.
                true => tokio::task::consume_budget().await,
            }
            if is_listing && part.position.is_some() {
                until = Some(Instant::now() + WATCH);
            }
        }
    }

    /// A watch began. The kind is followed once all of them have: else a part that is refused would show by turns.
    fn begins(&self) {
        let parts = self.listener.scope().places(self.resource.kind).len();
        if self.watched.fetch_add(1, Ordering::Relaxed) + 1 >= parts {
            self.listener.alive(self.resource.kind);
        }
    }

    fn take(&self, line: &Bytes, position: &mut Option<String>) -> Result<(), Failure> {
        let kind = self.resource.kind;
        let event = match event(kind, line) {
            // A server that ends in the middle of a line, rather than at its end.
            Err(error) if error.is_eof() => return Ok(()),
            event => event.map_err(|error| self.malformed(&error))?,
        };
        match event {
            Event::Set(item) => match position {
                None => self.listener.listed(kind, item.converted)?,
                Some(position) => {
                    advance(position, item.version);
                    self.listener.changed(kind, item.converted)?;
                }
            },
            Event::Deleted(Item { version, converted }) => {
                if let Some(position) = position {
                    advance(position, version);
                }
                self.listener.deleted(kind, converted);
            }
            Event::Bookmark { version, ends_list } => match position {
                Some(position) => {
                    *position = version;
                    self.listener.heard(kind);
                }
                None if ends_list => {
                    *position = Some(version);
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
