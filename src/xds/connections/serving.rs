//! One connection: HTTP/2 and the streams on it, which all run within one task.
//!
//! Driven by hand and not by an HTTP server, which would put a task, a channel and some buffers between the connection and
//! each stream: a proxy has one stream, and most of what an answer costs is who wakes whom.

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use h2::server::Connection;
use tokio::time::{Instant, timeout};

use super::ended::Ended;
use super::pace::Pace;
use crate::tls::Conn;
use crate::xds::service::{AdsServer, Caller, StreamTask};

/// What a connection has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// A stream was opened, or has ended.
    Streams,
    /// It is over.
    Ended(Ended),
}

/// A connection with its streams.
pub(super) struct Serving {
    connection: Connection<Conn, Bytes>,
    streams: FuturesUnordered<StreamTask>,
    ads: AdsServer,
    caller: Caller,
    pace: Pace,
}

impl Serving {
    pub(super) fn new(connection: Connection<Conn, Bytes>, ads: AdsServer, caller: Caller) -> Self {
        Self {
            connection,
            streams: FuturesUnordered::new(),
            ads,
            caller,
            pace: Pace::new(Instant::now()),
        }
    }

    /// How many streams are open.
    pub(super) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Carries what comes and goes until there is something to tell.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        let before = self.streams.len();
        // A stream that is refused counts too: its client did what it should.
        let mut opened = false;
        loop {
            // First the streams: what they have to say goes out in the same breath.
            while let Poll::Ready(Some(())) = self.streams.poll_next_unpin(context) {}
            if self.caller.hangup.is_asked() {
                return Poll::Ready(Event::Ended(Ended::Stuck));
            }
            match self.connection.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    if !self.pace.step(Instant::now()) {
                        return Poll::Ready(Event::Ended(Ended::Flood));
                    }
                    opened = true;
                    self.streams.extend(self.ads.open(request, respond, &self.caller));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Event::Ended(Ended::of(&error))),
                Poll::Ready(None) => return Poll::Ready(Event::Ended(Ended::Closed)),
                Poll::Pending if self.streams.len() == before && !opened => return Poll::Pending,
                Poll::Pending => return Poll::Ready(Event::Streams),
            }
        }
    }

    /// Asks the client to open no more streams, and to close when the last one has ended.
    pub(super) fn say_goodbye(&mut self) {
        self.connection.graceful_shutdown();
    }

    /// Ends the connection. Its streams notice, and say so to whoever counts them.
    pub(super) async fn end(self, patience: Duration) {
        let Self {
            connection, streams, ..
        } = self;
        drop(connection);
        let all = streams.for_each(|()| std::future::ready(()));
        // It takes no waiting, but for a mistake.
        let _ = timeout(patience, all).await;
    }
}
