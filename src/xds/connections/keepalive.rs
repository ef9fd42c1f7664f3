//! Pings: a client that answers none is gone, and its streams must not stay until the system notices.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep};

/// A client that answers no ping is gone: its streams are freed within these two.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);

/// The pings of one connection.
#[derive(Debug)]
pub(super) struct Keepalive {
    pings: PingPong,
    /// Until the next ping, or until the answer to the last one has to be there.
    timer: Pin<Box<Sleep>>,
    awaiting: bool,
}

impl Keepalive {
    pub(super) fn new(pings: PingPong) -> Self {
        Self {
            pings,
            timer: Box::pin(sleep(INTERVAL)),
            awaiting: false,
        }
    }

    /// Ready once the client is gone.
    pub(super) fn poll_lost(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            // Where the connection is over it tells so itself.
            if self.awaiting && ready!(self.poll_answer(context)) {
                self.set(false);
            }
            ready!(self.timer.as_mut().poll(context));
            if self.awaiting {
                return Poll::Ready(());
            }
            // One is under way at most, so it is taken, unless the connection is over.
            let sent = self.pings.send_ping(Ping::opaque());
            self.set(sent.is_ok());
        }
    }

    /// Whether the answer is there; not ready where it never will be.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        match self.pings.poll_pong(context) {
            Poll::Ready(Ok(_)) => Poll::Ready(true),
            Poll::Ready(Err(_)) => Poll::Pending,
            Poll::Pending => Poll::Ready(false),
        }
    }

    fn set(&mut self, awaiting: bool) {
        self.awaiting = awaiting;
        let after = if awaiting { TIMEOUT } else { INTERVAL };
        self.timer.as_mut().reset(Instant::now() + after);
    }
}
