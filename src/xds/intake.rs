//! What clients send, before it is read: large requests are bounded in bytes over all streams.
//!
//! A request is gathered in memory until it is whole, and one may be large: a delta client that comes back names each
//! resource that it holds. So a large one is let in only when there is room for all of it, in order, and has to be whole
//! within a time; until then the client's window stays closed. It waits for a moment only: what it sent already fills the
//! window of its connection, which others may need to come to their end. Small ones are let in at once.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::PollSemaphore;
use tonic::Status;
use tonic::body::Body;

use super::metrics::XdsMetrics;

/// Up to this size a request needs no room. An Envoy's first one is a little smaller.
const SMALL: usize = 64 << 10;

/// How long a large request waits for room.
const WAIT: Duration = Duration::from_secs(1);

/// A flag and four bytes of length before each message.
const PREFIX: usize = 5;

/// The room that all streams of a server share.
#[derive(Debug)]
pub(super) struct Intake {
    room: Arc<Semaphore>,
    bytes: u32,
    /// The largest request there may be; a larger one is refused by its prefix.
    largest: usize,
    patience: Duration,
    metrics: XdsMetrics,
}

impl Intake {
    /// Room for `bytes` of large requests, at least for one. Each has `patience` to arrive once it was let in.
    pub(super) fn new(bytes: usize, largest: usize, patience: Duration, metrics: XdsMetrics) -> Self {
        let bytes = bytes.max(largest).min(Semaphore::MAX_PERMITS);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Self {
            room: Arc::new(Semaphore::new(bytes as usize)),
            bytes,
            largest,
            patience,
            metrics,
        }
    }

    /// The same requests, let in when there is room.
    pub(super) fn guard(self: &Arc<Self>, requests: Body) -> Guarded {
        Guarded {
            requests,
            room: PollSemaphore::new(Arc::clone(&self.room)),
            intake: Arc::clone(self),
            at: At::Prefix([0; PREFIX], 0),
            waiting: None,
            admitted: None,
        }
    }
}

/// Where in the requests a stream is.
#[derive(Debug, Clone, Copy)]
enum At {
    /// So many bytes of a prefix came.
    Prefix([u8; PREFIX], usize),
    /// So many bytes of a message are to come.
    Message(usize),
}

/// The requests of one stream.
#[derive(Debug)]
pub(super) struct Guarded {
    requests: Body,
    room: PollSemaphore,
    intake: Arc<Intake>,
    at: At,
    waiting: Option<Waiting>,
    admitted: Option<Admitted>,
}

/// A large request that was not let in yet.
#[derive(Debug)]
struct Waiting {
    /// What was read already.
    piece: Bytes,
    /// The room that it needs to go on.
    bytes: u32,
    too_long: Pin<Box<Sleep>>,
}

/// A large request that was let in.
#[derive(Debug)]
struct Admitted {
    late: Pin<Box<Sleep>>,
    bytes: u32,
    metrics: XdsMetrics,
    _room: OwnedSemaphorePermit,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.metrics.let_in(0, self.bytes);
    }
}

impl Guarded {
    /// Follows the messages through a piece; returns the size of the largest one that begins in it and needs room.
    fn follow(&mut self, mut piece: &[u8]) -> Option<u32> {
        let mut needed = None;
        while !piece.is_empty() {
            match &mut self.at {
                At::Prefix(prefix, have) => {
                    let taken = piece.len().min(PREFIX - *have);
                    prefix[*have..*have + taken].copy_from_slice(&piece[..taken]);
                    *have += taken;
                    piece = &piece[taken..];
                    if *have == PREFIX {
                        let [_, a, b, c, d] = *prefix;
                        let bytes = u32::from_be_bytes([a, b, c, d]);
                        let large = SMALL < bytes as usize && bytes as usize <= self.intake.largest;
                        needed = needed.max(large.then_some(bytes));
                        self.at = At::Message(bytes as usize);
                    }
                }
                At::Message(left) => {
                    let taken = piece.len().min(*left);
                    *left -= taken;
                    piece = &piece[taken..];
                }
            }
            if let At::Message(0) = self.at {
                self.at = At::Prefix([0; PREFIX], 0);
            }
        }
        needed
    }

    /// Whether a message has begun that is not whole.
    fn is_within(&self) -> bool {
        !matches!(self.at, At::Prefix(_, 0))
    }
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Some(waiting) = &mut this.waiting {
            let bytes = waiting.bytes;
            let Poll::Ready(room) = this.room.poll_acquire_many(context, bytes) else {
                ready!(waiting.too_long.as_mut().poll(context));
                return Poll::Ready(Some(Err(Status::aborted("too many large requests are under way"))));
            };
            let room = room.expect("the room is never closed");
            this.intake.metrics.let_in(bytes, 0);
            this.admitted = Some(Admitted {
                late: Box::pin(sleep(this.intake.patience)),
                bytes,
                metrics: this.intake.metrics.clone(),
                _room: room,
            });
            let piece = this.waiting.take().map(|waiting| Frame::data(waiting.piece));
            return Poll::Ready(piece.map(Ok));
        }
        // Whoever asks for more has read what was whole.
        if !this.is_within() {
            this.admitted = None;
        }
        if let Some(admitted) = &mut this.admitted
            && admitted.late.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Some(Err(Status::deadline_exceeded(
                "a large request does not come to its end",
            ))));
        }
        let frame = match ready!(Pin::new(&mut this.requests).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        let piece = match frame.into_data() {
            Ok(piece) => piece,
            Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
        };
        let admitted_before = this.admitted.is_some();
        match this.follow(&piece) {
            // A piece is a frame, so of the messages in it only the last can be large, and what it follows is whole with it.
            Some(bytes) => {
                if admitted_before {
                    this.admitted = None;
                }
                this.waiting = Some(Waiting {
                    piece,
                    bytes: bytes.min(this.intake.bytes),
                    too_long: Box::pin(sleep(WAIT)),
                });
                self.poll_frame(context)
            }
            None => Poll::Ready(Some(Ok(Frame::data(piece)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use http_body::Body as _;
    use std::collections::VecDeque;
    use std::future::poll_fn;

    /// Pieces that are there, and then nothing for ever.
    struct Pieces(VecDeque<Bytes>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            match self.0.pop_front() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                None => Poll::Pending,
            }
        }
    }

    fn message(bytes: usize) -> Vec<u8> {
        let mut message = vec![0];
        message.extend(u32::try_from(bytes).unwrap().to_be_bytes());
        message.resize(PREFIX + bytes, 7);
        message
    }

    fn guarded(intake: &Arc<Intake>, bytes: &[u8]) -> Guarded {
        let pieces = bytes.chunks(16 << 10).map(Bytes::copy_from_slice);
        intake.guard(Body::new(Pieces(pieces.collect())))
    }

    /// How many bytes come at once.
    fn come(body: &mut Guarded) -> Result<usize, Status> {
        let mut bytes = 0;
        while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).now_or_never() {
            bytes += frame.unwrap()?.into_data().unwrap().len();
        }
        Ok(bytes)
    }

    fn intake() -> Arc<Intake> {
        let patience = Duration::from_secs(30);
        Arc::new(Intake::new(1 << 20, 1 << 20, patience, XdsMetrics::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn small_requests_need_no_room_and_large_ones_take_turns() {
        let intake = intake();
        // Begun and not ended: it keeps its room.
        let mut first = guarded(&intake, &message(1 << 20)[..100_000]);
        assert_eq!(come(&mut first).unwrap(), 100_000);
        let large = message(900 << 10);
        let mut second = guarded(&intake, &large);
        assert_eq!(come(&mut second).unwrap(), 0);
        let small = [message(10), message(0), message(SMALL)].concat();
        let mut third = guarded(&intake, &small);
        assert_eq!(come(&mut third).unwrap(), small.len());
        drop(first);
        assert_eq!(come(&mut second).unwrap(), large.len());
        assert_eq!(intake.room.available_permits(), 1 << 20, "it is whole, and was read");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_come_to_its_end_is_not_waited_for() {
        let intake = intake();
        let mut slow = guarded(&intake, &message(1 << 20)[..100_000]);
        come(&mut slow).unwrap();
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(come(&mut slow).unwrap_err().code(), tonic::Code::DeadlineExceeded);
        // Nor does one wait for ever to be let in.
        let mut waiting = guarded(&intake, &message(1 << 20));
        assert_eq!(come(&mut waiting).unwrap(), 0);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(come(&mut waiting).unwrap_err().code(), tonic::Code::Aborted);
        // One that is whole may take its time with the next.
        let mut idle = guarded(&intake, &message(100_000));
        drop((slow, waiting));
        come(&mut idle).unwrap();
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(come(&mut idle).unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_prefix_in_two_pieces_is_read_and_one_that_is_too_large_passes_to_be_refused() {
        let intake = intake();
        // The first piece ends three bytes into the second prefix.
        let two = [message((16 << 10) - PREFIX - 3), message(700_000)].concat();
        let mut body = guarded(&intake, &two);
        let mut other = guarded(&intake, &message(700_000));
        assert_eq!(come(&mut body).unwrap(), two.len());
        assert_eq!(come(&mut other).unwrap(), 700_005);
        let huge = message(2 << 20);
        assert_eq!(come(&mut guarded(&intake, &huge[..10])).unwrap(), 10);
        assert_eq!(intake.room.available_permits(), 1 << 20);
    }
}
