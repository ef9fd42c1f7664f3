//! A member that is a live API server.
//!
//! Each of the kinds is listed and then watched, all of them in one task; those that a member may lack, once they are there. Objects are converted while they are
//! decoded and never kept. When the API server goes away nothing is sent, so the table keeps what it has; the member's
//! status tells since when.

mod allowed;
mod budget;
mod client;
mod credentials;
mod expiry;
mod failure;
#[cfg(test)]
mod fake;
mod fingerprint;
mod fold;
mod follow;
#[cfg(test)]
mod fuzz;
mod guard;
mod heartbeat;
mod item;
mod lines;
mod listener;
mod listing;
mod optional;
mod pace;
mod part;
mod policies;
mod program;
mod proxy;
mod resource;
mod scope;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::status::MemberStatus;
use super::{MemberOptions, MemberSource};
use crate::lifecycle::Backoff;
use crate::model::ClusterId;
use crate::table::{EventSink, Kind};
pub use allowed::Allowed;
pub use expiry::{Credential, Expiry};
pub(super) use failure::Failure;
pub(super) use fingerprint::Fingerprint;
use fingerprint::KUBE_SYSTEM;
use follow::follow;
pub(super) use guard::is_doubtful;
use listener::Listener;
use optional::follow_optional;
use resource::Resource;
use scope::Scope;

/// How long an API server has to tell its version, how often it is asked, and how soon again after a failure.
const VERSION_ANSWER: Duration = Duration::from_secs(10);
const VERSION_AGAIN: Duration = Duration::from_secs(600);
const VERSION_RETRY: Duration = Duration::from_secs(30);

/// So many of the namespaces that are read tell one cluster from another.
const SOME_NAMESPACES: usize = 3;

/// A client that served for this long was a good one.
const GOOD_CLIENT: Duration = Duration::from_secs(120);

/// A client is made anew at least this often: nothing looks for signs of life in between.
const CONNECT_AGAIN: Duration = Duration::from_secs(10);

/// How an API server is tried again: soon at first, and for ever.
fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(800), Duration::from_secs(30))
}

/// Reads an API server until cancelled.
pub(super) async fn run(
    name: &ClusterId,
    source: &MemberSource,
    sink: Arc<dyn EventSink>,
    status: &MemberStatus,
    cancel: CancellationToken,
) {
    let connect = || client::connect(source);
    let reading = read(name, connect, &*sink, status);
    tokio::select! {
        () = cancel.cancelled() => {}
        () = reading => {}
        never = expiry::watch(source, status) => match never {},
    }
}

/// Tells a cluster from others, at a place of its own: asks for the namespace `kube-system`, and for some of `namespaces` where not
/// all are read, since that one may then be out of reach.
pub(super) async fn identify(source: &MemberSource, namespaces: &[Arc<str>]) -> Result<Fingerprint, Failure> {
    let asking = async {
        let client = client::connect(source).await?;
        fingerprint(&client, namespaces).await
    };
    match tokio::time::timeout(VERSION_ANSWER, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(Failure::TimedOut("the namespace kube-system")),
    }
}

async fn fingerprint(client: &Client, namespaces: &[Arc<str>]) -> Result<Fingerprint, Failure> {
    let api: kube::Api<Namespace> = kube::Api::all(client.clone());
    let mut found = Fingerprint::default();
    let some = namespaces.iter().map(|name| &**name).take(SOME_NAMESPACES);
    for name in std::iter::once(KUBE_SYSTEM).chain(some) {
        match api.get(name).await {
            Ok(namespace) => found.add(name, namespace.metadata.uid.unwrap_or_default()),
            Err(error) => match Failure::of("namespaces", &error) {
                // Its account may read no more than its namespaces.
                failure if !namespaces.is_empty() && (failure.is_forbidden() || failure.is_unknown()) => {}
                failure => return Err(failure),
            },
        }
    }
    Ok(found)
}

/// A client for other uses than reading a member.
pub(super) async fn connect(source: &MemberSource) -> Result<Client, Failure> {
    client::connect(source).await
}

/// A client for what is written to an API server.
///
/// # Errors
/// Why there is none, in words for people.
pub async fn connect_to(source: &MemberSource) -> Result<Client, String> {
    client::connect(source).await.map_err(|failure| failure.to_string())
}

/// Connects, and connects again whenever that is what helps.
async fn read<F: Future<Output = Result<Client, Failure>>>(
    name: &ClusterId,
    connect: impl Fn() -> F,
    sink: &dyn EventSink,
    status: &MemberStatus,
) {
    let mut options = status.options();
    let mut before: Option<Scope> = None;
    loop {
        let scope = Scope::of(&options.borrow_and_update());
        // That less of it is read is its owner's word, and nothing to wonder about.
        let held = match &before {
            Some(before) if !scope.covers(before) => BTreeMap::new(),
            _ => status.counts(),
        };
        let listener = Listener::new(name, sink, status, scope.clone(), &held);
        tokio::select! {
            never = read_scope(name, &connect, &listener) => match never {},
            () = changes(&mut options, &scope) => {
                tracing::info!(member = %name, "other namespaces of the member are to be read: all of it is listed anew");
            }
        }
        before = Some(scope);
    }
}

/// Returns once something else of a member is to be read.
async fn changes(options: &mut watch::Receiver<MemberOptions>, scope: &Scope) {
    while options.changed().await.is_ok() {
        if Scope::of(&options.borrow_and_update()) != *scope {
            return;
        }
    }
    // The member was taken out, which ends its reading too.
    std::future::pending().await
}

async fn read_scope<F: Future<Output = Result<Client, Failure>>>(
    name: &ClusterId,
    connect: &impl Fn() -> F,
    listener: &Listener<'_>,
) -> Infallible {
    let mut backoff = Backoff::new(Duration::from_millis(800), CONNECT_AGAIN);
    loop {
        let begun = Instant::now();
        match connect().await {
            Ok(client) => {
                let failure = follow_all(&client, listener).await;
                tracing::debug!(member = %name, %failure, "connecting anew");
            }
            Err(failure) => listener.unconnected(&failure),
        }
        if begun.elapsed() >= GOOD_CLIENT {
            backoff.reset();
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

/// Follows all kinds until one of them needs a new client: a request for each, which is a list and the watch after it, and one
/// for which kinds there are; that is the least there is. Namespaces, of which there are few, go first: the others then find a connection that is made.
async fn follow_all(client: &Client, listener: &Listener<'_>) -> Failure {
    let answered = CancellationToken::new();
    let follow = |kind| follow(client, Resource::of(kind), listener, answered.clone());
    let others = async {
        answered.cancelled().await;
        tokio::select! {
            failure = follow(Kind::Node) => failure,
            failure = follow(Kind::Service) => failure,
            failure = follow(Kind::EndpointSlice) => failure,
            failure = follow(Kind::Pod) => failure,
            failure = follow_optional(client, listener, &answered) => failure,
            never = ask_what_it_is(client, listener) => match never {},
        }
    };
    tokio::select! {
        failure = follow(Kind::Namespace) => failure,
        failure = others => failure,
        failure = heartbeat::beat(client, listener) => failure,
    }
}

/// Asks which cluster it is, and for the server's version now and then: it may be upgraded.
async fn ask_what_it_is(client: &Client, listener: &Listener<'_>) -> Infallible {
    // Whoever starts needs the lists, and not this.
    listener.started().await;
    let mut identified = false;
    loop {
        if !identified {
            let asking = fingerprint(client, listener.scope().namespaces());
            if let Ok(Ok(found)) = tokio::time::timeout(VERSION_ANSWER, asking).await {
                listener.status().identified(found);
                identified = true;
            }
        }
        let answer = tokio::time::timeout(VERSION_ANSWER, client.apiserver_version()).await;
        let delay = match answer {
            Ok(Ok(version)) => {
                listener.status().server_version(version.git_version);
                if identified { VERSION_AGAIN } else { VERSION_RETRY }
            }
            Ok(Err(_)) | Err(_) => VERSION_RETRY,
        };
        tokio::time::sleep(delay).await;
    }
}
