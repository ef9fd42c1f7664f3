//! What goes out on a stream: pieces of messages as they are, at most one message ahead of what the client reads, and a
//! status as its end.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

/// What is handed to HTTP/2 at once: with the head of its frame it is one TLS record. A frame of HTTP/2's own usual size,
/// 16 KiB without the head, takes a second record for the last nine bytes.
const FRAME_BYTES: usize = (16 << 10) - 9;

/// The client is gone, or gave the stream up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// The writing side of a stream.
#[derive(Debug)]
pub(super) struct Outbox {
    stream: SendStream<Bytes>,
    /// What HTTP/2 has not taken of the last message: it takes as much as the client has room for.
    pieces: VecDeque<Bytes>,
    /// A stream counts as long as this is here.
    _slot: OwnedSemaphorePermit,
}

impl Outbox {
    pub(super) fn new(stream: SendStream<Bytes>, slot: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            pieces: VecDeque::new(),
            _slot: slot,
        }
    }

    /// Hands on what was given before, and waits until the client has room for another message if one is `due`, else for
    /// ever. Safe to drop and call again.
    ///
    /// # Errors
    /// Once the client reads no more.
    pub(super) async fn ready(&mut self, due: bool) -> Result<(), Gone> {
        poll_fn(|context| {
            if self.stream.poll_reset(context).is_ready() {
                return Poll::Ready(Err(Gone));
            }
            match self.poll_empty(context) {
                Poll::Ready(Ok(())) if !due => Poll::Pending,
                other => other,
            }
        })
        .await
    }

    /// Takes a message, one at a time: see [`Outbox::ready`].
    pub(super) fn send(&mut self, message: Vec<Bytes>) {
        debug_assert!(self.pieces.is_empty(), "the one before is on its way");
        self.pieces = message.into();
    }

    /// Ends the stream; what was given before still goes out first. Returns when the last byte is on its way.
    pub(super) async fn finish(mut self, status: Status) {
        if self.ready(true).await.is_err() {
            return;
        }
        let mut trailers = HeaderMap::new();
        // A status that fits no header is ours, and has no such text.
        if status.add_header(&mut trailers).is_ok() {
            // Nobody to tell is nothing to do.
            let _ = self.stream.send_trailers(trailers);
        }
    }

    fn poll_empty(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        while let Some(piece) = self.pieces.front_mut() {
            // One byte of room is enough: more is asked for by what is handed over. To ask for all of it would keep it from
            // the other streams of the connection.
            self.stream.reserve_capacity(1);
            while self.stream.capacity() == 0 {
                match ready!(self.stream.poll_capacity(context)) {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Poll::Ready(Err(Gone)),
                }
            }
            let frame = piece.split_to(piece.len().min(FRAME_BYTES));
            if piece.is_empty() {
                self.pieces.pop_front();
            }
            if self.stream.send_data(frame, false).is_err() {
                return Poll::Ready(Err(Gone));
            }
        }
        if self.pieces.capacity() > 0 {
            // It would stay as large as the largest message.
            self.pieces = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }
}
