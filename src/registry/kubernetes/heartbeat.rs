//! The heartbeat: one small question now and then, whose answer shows that the API server and its etcd are alive.
//!
//! A watch that is open proves little. Where the peer is gone without a word nothing arrives, as in a quiet member; and an API
//! server whose etcd is dead serves watches from its memory and sends bookmarks as ever. The list that is asked for here has no
//! version, so that the answer has to come from etcd.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};

use super::failure::Failure;
use super::listener::Listener;
use crate::lifecycle::Backoff;

/// The least pause between two heartbeats, and how much it is spread: members must not be asked all at once.
const PAUSE: Duration = Duration::from_secs(8);
const SPREAD: Duration = Duration::from_secs(4);
/// An answer that takes longer is none. Together with the longest pause and the second try this is what it takes to notice
/// that a member is gone: 21 s.
const ANSWER: Duration = Duration::from_secs(8);
/// How soon a failure is looked at again, and how often while it lasts.
const AGAIN: Duration = Duration::from_secs(1);
const WHILE_FAILING: Duration = Duration::from_secs(2);
/// So many unanswered in a row while no watch gives a sign of life either, and the connection is given up.
const UNANSWERED_IN_A_ROW: u32 = 2;

/// Asks until only a new client can help, and tells why.
pub(super) async fn beat(client: &Client, listener: &Listener<'_>) -> Failure {
    // What an account may list that may read some namespaces only.
    let question = match listener.scope().namespaces().first() {
        None => Question::Namespaces(Api::all(client.clone())),
        Some(namespace) => Question::Services(Api::namespaced(client.clone(), namespace)),
    };
    let mut spread = Backoff::new(SPREAD, SPREAD);
    let mut answered = Instant::now();
    let mut unanswered = 0;
    loop {
        let pause = match listener.is_reached() {
            true => PAUSE + spread.next_delay(),
            false => WHILE_FAILING,
        };
        sleep(pause).await;
        let mut answer = ask(&question).await;
        if matches!(answer, Err(ref failure) if !matches!(failure, Failure::TimedOut(_))) {
            // A server that restarts, or that has too much to do, is not gone yet.
            sleep(AGAIN).await;
            answer = ask(&question).await;
        }
        match answer {
            Ok(took) => {
                answered = Instant::now();
                unanswered = 0;
                listener.beat(took);
            }
            Err(failure) => {
                listener.missed(&failure);
                match failure {
                    Failure::Unauthorized(_) => return failure,
                    Failure::TimedOut(_) if listener.silent_since(answered) => unanswered += 1,
                    _ => unanswered = 0,
                }
                if unanswered >= UNANSWERED_IN_A_ROW {
                    return failure;
                }
            }
        }
    }
}

/// What is asked for, one of each.
enum Question {
    Namespaces(Api<Namespace>),
    Services(Api<Service>),
}

/// How long an answer took.
async fn ask(question: &Question) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let one = ListParams::default().limit(1);
    let asking = async {
        match question {
            Question::Namespaces(namespaces) => namespaces.list_metadata(&one).await.map(drop),
            Question::Services(services) => services.list_metadata(&one).await.map(drop),
        }
    };
    let (what, resource) = match question {
        Question::Namespaces(_) => ("one namespace, from its etcd,", "namespaces"),
        Question::Services(_) => ("one service, from its etcd,", "services"),
    };
    match timeout(ANSWER, asking).await {
        Err(_) => Err(Failure::TimedOut(what)),
        Ok(Ok(())) => Ok(begun.elapsed()),
        Ok(Err(error)) => match Failure::of(resource, &error) {
            // That is an answer, if not the one that was asked for; the watch of this kind tells of it.
            Failure::Forbidden { .. } => Ok(begun.elapsed()),
            failure => Err(failure),
        },
    }
}
