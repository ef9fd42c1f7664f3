//! The response body of a stream: pieces of messages as they are, at most one message ahead of what the client reads, and a
//! status as its end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

/// The writing end; held by the stream's task.
#[derive(Debug)]
pub(super) struct Outbox {
    messages: mpsc::Sender<Vec<Bytes>>,
    end: oneshot::Sender<Status>,
    /// Cancelled when the reading end is gone.
    let_go: CancellationToken,
}

impl Outbox {
    /// Waits until the client has taken what was given before. Safe to drop and call again.
    pub(super) async fn ready(&self) -> Option<mpsc::Permit<'_, Vec<Bytes>>> {
        self.messages.reserve().await.ok()
    }

    /// Waits until nobody reads any more.
    pub(super) async fn closed(&self) {
        self.messages.closed().await;
    }

    /// Ends the stream. What was given before still goes out first. The token is cancelled when the last byte was taken,
    /// or never will be.
    pub(super) fn finish(self, status: Status) -> CancellationToken {
        // Nobody to tell is nothing to do.
        let _ = self.end.send(status);
        self.let_go
    }
}

/// The reading end; held by the HTTP/2 connection.
#[derive(Debug)]
pub(super) struct AnswerBody {
    pieces: VecDeque<Bytes>,
    messages: mpsc::Receiver<Vec<Bytes>>,
    /// Gone once the status was given out.
    end: Option<oneshot::Receiver<Status>>,
    /// A stream counts until its last bytes are let go, also when its task has ended and its client reads nothing.
    _slot: Arc<OwnedSemaphorePermit>,
    _let_go: DropGuard,
}

/// Both ends of a response.
pub(super) fn channel(slot: Arc<OwnedSemaphorePermit>) -> (Outbox, AnswerBody) {
    // One message waits here while the one before goes out; a later state replaces neither, so there are no more.
    let (send, receive) = mpsc::channel(1);
    let (end, ended) = oneshot::channel();
    let let_go = CancellationToken::new();
    let body = AnswerBody {
        pieces: VecDeque::new(),
        messages: receive,
        end: Some(ended),
        _slot: slot,
        _let_go: let_go.clone().drop_guard(),
    };
    let outbox = Outbox {
        messages: send,
        end,
        let_go,
    };
    (outbox, body)
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            match ready!(self.messages.poll_recv(context)) {
                Some(message) => self.pieces = message.into(),
                None => break,
            }
        }
        let Some(end) = self.end.as_mut() else {
            return Poll::Ready(None);
        };
        let status = ready!(Pin::new(end).poll(context));
        self.end = None;
        // Only a panic leaves a stream without a status.
        let status = status.unwrap_or_else(|_| Status::internal("the stream's task failed"));
        let mut trailers = http::HeaderMap::new();
        status.add_header(&mut trailers)?;
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body;
    use std::future::poll_fn;
    use tokio::sync::Semaphore;

    fn slot(slots: &Arc<Semaphore>) -> Arc<OwnedSemaphorePermit> {
        Arc::new(Arc::clone(slots).try_acquire_owned().unwrap())
    }

    async fn frame(body: &mut AnswerBody) -> Option<Frame<Bytes>> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        frame.map(Result::unwrap)
    }

    #[tokio::test]
    async fn a_status_follows_the_last_piece_and_the_slot_is_kept_until_then() {
        let slots = Arc::new(Semaphore::new(1));
        let (outbox, mut body) = channel(slot(&slots));
        let permit = outbox.ready().await.unwrap();
        permit.send(vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")]);
        let let_go = outbox.finish(Status::unavailable("later"));
        for expected in ["a", "b"] {
            let piece = frame(&mut body).await.unwrap().into_data().unwrap();
            assert_eq!(piece, expected.as_bytes());
        }
        let trailers = frame(&mut body).await.unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "14");
        assert!(frame(&mut body).await.is_none());
        assert_eq!(slots.available_permits(), 0);
        assert!(!let_go.is_cancelled());
        drop(body);
        assert!(let_go.is_cancelled());
        assert_eq!(slots.available_permits(), 1);
    }

    #[tokio::test]
    async fn r98_a_task_that_fails_still_ends_its_stream() {
        let slots = Arc::new(Semaphore::new(1));
        let (outbox, mut body) = channel(slot(&slots));
        drop(outbox);
        let trailers = frame(&mut body).await.unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "13");
    }
}
