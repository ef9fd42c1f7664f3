//! The loop over xDS connections: each is served until it ends, or until it does something that no client needs to do.
//!
//! Tonic has such a loop, but keeps to itself why a connection ended, and lets one that never sends anything stay for ever.

mod ended;
mod keepalive;
mod pace;
mod serving;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::Connected;

use super::hangup::Hangup;
use super::service::{AdsServer, Caller};
use crate::lifecycle::DrainWatcher;
use crate::tls::{Conn, Incoming};
use ended::Ended;
use keepalive::Keepalive;
use serving::{Event, Serving};

pub use ended::ConnectionMetrics;

/// Relays and gRPC applications put many streams on one connection; the number of all streams is limited elsewhere.
const STREAMS_PER_CONNECTION: u32 = 1000;
/// How much of a client's requests is buffered unread, per stream and per connection.
const WINDOW_BYTES: u32 = 256 << 10;
/// How much of the answers is handed to HTTP/2 ahead of the socket, per stream: two frames. HTTP/2 keeps room for as many
/// frames as it ever had.
const SEND_BYTES: usize = 32 << 10;
/// How large the headers of a request may be; a bearer token has a kilobyte or two.
const HEADER_BYTES: u32 = 16 << 10;
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
pub async fn serve(
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
        let (ads, metrics) = (ads.clone(), metrics.clone());
        connections.spawn(async move {
            metrics.open.inc();
            let peer = conn.peer();
            let ended = serve_one(conn, ads).await;
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

async fn serve_one(conn: Conn, ads: AdsServer) -> Ended {
    let caller = Caller {
        info: conn.connect_info(),
        hangup: Hangup::default(),
        drain: ads.drain(),
    };
    let drain = caller.drain.clone();
    let first_stream_by = Instant::now() + FIRST_STREAM_DEADLINE;
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(4 * WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .max_header_list_size(HEADER_BYTES)
        .max_send_buffer_size(SEND_BYTES)
        .max_pending_accept_reset_streams(RESETS_AT_ONCE);
    // What is needed once only is given back, and not kept for the hours that a connection lasts.
    let opening = Box::pin(async {
        let handshake = builder.handshake::<_, Bytes>(conn);
        let mut connection = match timeout_at(first_stream_by, handshake).await {
            Err(_) => return Err(Ended::NoStream),
            Ok(Err(error)) => return Err(Ended::of(&error)),
            Ok(Ok(connection)) => connection,
        };
        let keepalive = Keepalive::new(connection.ping_pong().expect("it is taken once"));
        Ok((Box::new(Serving::new(connection, ads, caller)), keepalive))
    });
    let (mut serving, keepalive) = match opening.await {
        Ok(opened) => opened,
        Err(ended) => return ended,
    };
    let ended = until_end(&mut serving, keepalive, first_stream_by, &drain).await;
    Box::pin(serving.end(END_DEADLINE)).await;
    ended
}

/// Serves a connection until it is over, or has to be.
async fn until_end(
    serving: &mut Serving,
    mut keepalive: Keepalive,
    first_stream_by: Instant,
    drain: &CancellationToken,
) -> Ended {
    let mut drain = pin!(drain.cancelled());
    let mut ever = false;
    // Why it has to end, once that was said to the client.
    let mut leaving = None;
    // How long it may be without streams.
    let mut timer = pin!(sleep_until(first_stream_by));
    loop {
        tokio::select! {
            biased;
            event = poll_fn(|context| serving.poll(context)) => match event {
                Event::Ended(Ended::Closed) => return leaving.unwrap_or(Ended::Closed),
                Event::Ended(ended) => return ended,
                Event::Streams => {
                    ever = true;
                    let patience = if leaving.is_some() { END_DEADLINE } else { IDLE_DEADLINE };
                    timer.as_mut().reset(Instant::now() + patience);
                }
            },
            () = poll_fn(|context| keepalive.poll_lost(context)) => return Ended::Silent,
            () = &mut drain, if leaving.is_none() => {
                serving.say_goodbye();
                leaving = Some(Ended::Closed);
                timer.as_mut().reset(Instant::now() + END_DEADLINE);
            }
            () = &mut timer, if serving.streams() == 0 => match leaving {
                Some(ended) => return ended,
                // Not even worth a word: it may be no HTTP/2 client at all.
                None if !ever => return Ended::NoStream,
                None => {
                    serving.say_goodbye();
                    leaving = Some(Ended::Idle);
                    timer.as_mut().reset(Instant::now() + END_DEADLINE);
                }
            },
        }
    }
}
