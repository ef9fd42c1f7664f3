//! The loop over xDS connections: each is served until it ends, or until it does something that no client needs to do.
//!
//! Tonic has such a loop, but keeps to itself why a connection ended, and lets one that never sends anything stay for ever.

mod ended;
mod streams;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tonic::transport::server::Connected;

use crate::lifecycle::DrainWatcher;
use crate::tls::{Conn, Incoming};
use crate::xds::AdsServer;
use ended::Ended;
use streams::{Open, Streams};

pub(super) use ended::ConnectionMetrics;

/// A client that answers no ping is gone: its streams are freed within these two.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Relays and gRPC applications put many streams on one connection; the number of all streams is limited elsewhere.
const STREAMS_PER_CONNECTION: u32 = 1000;
/// How much of a client's requests is buffered unread, per stream and per connection.
const WINDOW_BYTES: u32 = 256 << 10;
/// Streams that a client reset before we saw them; more in one breath are a flood.
const RESETS_AT_ONCE: usize = 50;
/// How long a connection may take to open its first stream.
const FIRST_STREAM_DEADLINE: Duration = Duration::from_secs(10);
/// How long a connection may be without streams afterwards.
const IDLE_DEADLINE: Duration = Duration::from_secs(60);
/// In a drain, once no stream is open, clients have this long to close their connections; whoever does not, loses nothing.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a connection that was told to end may take.
const END_DEADLINE: Duration = Duration::from_secs(5);

/// Serves ADS on what comes in until the drain; streams end themselves then. Returns when the last of
/// them is gone.
pub(super) async fn serve(
    mut incoming: Incoming,
    ads: AdsServer,
    metrics: ConnectionMetrics,
    limit: usize,
    watcher: &DrainWatcher,
) {
    let places = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
    let connections = TaskTracker::new();
    loop {
        let conn = tokio::select! {
            () = watcher.begun() => break,
            conn = incoming.next_conn() => conn,
        };
        let Some(conn) = conn else { break };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            metrics.ended(Ended::TooMany);
            continue;
        };
        let (ads, metrics, drain) = (ads.clone(), metrics.clone(), watcher.token());
        connections.spawn(async move {
            metrics.open.inc();
            let peer = conn.peer();
            let ended = serve_one(conn, ads, drain.cancelled_owned()).await;
            metrics.open.dec();
            metrics.ended(ended);
            tracing::debug!(%peer, "connection ended: {}", ended.reason());
            drop(place);
        });
    }
    // Nobody connects to a server that does not accept; who is connected already takes leave.
    drop(incoming);
    connections.close();
    let left = async {
        ads.no_streams().await;
        sleep(FAREWELL).await;
    };
    tokio::select! {
        () = connections.wait() => {}
        () = left => {}
    }
}

async fn serve_one(conn: Conn, ads: AdsServer, drain: impl Future<Output = ()>) -> Ended {
    let service = Streams::new(ads, conn.connect_info());
    let (hangup, mut open, flood) = (
        service.hangup.clone(),
        service.open.subscribe(),
        Arc::clone(&service.pace),
    );
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(4 * WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .max_pending_accept_reset_streams(RESETS_AT_ONCE);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(conn), service));
    let mut drain = pin!(drain);
    let ended = tokio::select! {
        result = &mut connection => return result.map_or_else(|error| Ended::of(&error), |()| Ended::Closed),
        () = &mut drain => Ended::Closed,
        ended = idle(&mut open) => ended,
        () = hangup.asked() => return Ended::Stuck,
        () = flood.exceeded() => return Ended::Flood,
    };
    if ended == Ended::NoStream {
        // Not even worth a word: it may be no HTTP/2 client at all.
        return ended;
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        result = connection => result.map_or_else(|error| Ended::of(&error), |()| ended),
        () = hangup.asked() => Ended::Stuck,
        () = done(&mut open) => ended,
    }
}

/// Waits until a connection has been without streams for too long.
async fn idle(open: &mut watch::Receiver<Open>) -> Ended {
    loop {
        let (deadline, ended) = match *open.borrow_and_update() {
            Open { now: 0, ever: false } => (FIRST_STREAM_DEADLINE, Ended::NoStream),
            Open { now: 0, ever: true } => (IDLE_DEADLINE, Ended::Idle),
            _ => (Duration::MAX, Ended::Idle),
        };
        tokio::select! {
            _ = open.changed() => {}
            () = sleep(deadline) => return ended,
        }
    }
}

/// Waits until a connection that was told to end had its time to do so after its last stream.
async fn done(open: &mut watch::Receiver<Open>) {
    // The sender is gone only with the connection.
    let _ = open.wait_for(|open| open.now == 0).await;
    sleep(END_DEADLINE).await;
}
