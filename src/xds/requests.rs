//! Requests as they come in: gRPC messages from the body of a stream.
//!
//! Tonic's own reader keeps a buffer as large as the largest message of the stream for as long as the stream lives, and an
//! Envoy's first message is some 60 kB; this one keeps nothing between messages.

use std::borrow::Cow;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use h2::{Reason, RecvStream};
use http_body::{Body as _, Frame};
use prost::DecodeError;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field};
use tonic::Status;
use tonic::body::Body;

use super::codec::RequestMessage;

/// Compression flag and length.
const HEAD_BYTES: usize = 5;

/// A message is believed to be as large as it says up to this; beyond, memory follows what really comes.
const BELIEVED_BYTES: usize = 256 << 10;

/// In messages from this size on it is worth looking for what need not be decoded.
const LARGE_BYTES: usize = 4 << 10;

/// `extensions` of the node: hundreds of entries of an Envoy's build that nobody reads.
const EXTENSIONS: u32 = 9;

/// The body of a request as HTTP/2 has it. The client may send more as soon as a piece was taken.
#[derive(Debug)]
pub(super) struct RequestBody(RecvStream);

impl RequestBody {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self(stream)
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let read = ready!(self.0.poll_data(context));
        Poll::Ready(match read {
            None => None,
            Some(Ok(piece)) => {
                // It can't be more than was received.
                let _ = self.0.flow_control().release_capacity(piece.len());
                Some(Ok(Frame::data(piece)))
            }
            // The client has no more to say, and no use for an answer.
            Some(Err(error)) if matches!(error.reason(), Some(Reason::NO_ERROR | Reason::CANCEL)) => None,
            Some(Err(error)) => Some(Err(Status::unavailable(error.to_string()))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

/// The requests of one stream.
#[derive(Debug)]
pub(super) struct Requests<M> {
    body: Body,
    /// The beginning of a message whose end has not come.
    rest: BytesMut,
    limit: usize,
    message: PhantomData<fn() -> M>,
}

impl<M: RequestMessage> Requests<M> {
    /// Reads from a body; messages may have at most `limit` bytes.
    pub(super) fn new(body: Body, limit: usize) -> Self {
        Self {
            body,
            rest: BytesMut::new(),
            limit,
            message: PhantomData,
        }
    }

    /// The next message; none at the end. Safe to drop and call again.
    ///
    /// # Errors
    /// OUT_OF_RANGE for a message beyond the limit, INTERNAL for what is no message, else what the transport says.
    pub(super) async fn message(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(length) = self.length()?
                && self.rest.len() >= HEAD_BYTES + length
            {
                self.rest.advance(HEAD_BYTES);
                let message = decode(&self.rest[..length])?;
                self.rest.advance(length);
                if self.rest.is_empty() {
                    self.rest = BytesMut::new();
                }
                return Ok(Some(message));
            }
            match poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.rest.extend_from_slice(&data);
                    }
                }
                None if self.rest.is_empty() => return Ok(None),
                None => return Err(Status::internal("the stream ended within a message")),
            }
        }
    }

    /// The length of the message that `rest` begins with, once it is known; makes room for all of it.
    fn length(&mut self) -> Result<Option<usize>, Status> {
        let Some(mut head) = self.rest.get(..HEAD_BYTES) else {
            return Ok(None);
        };
        match head.get_u8() {
            0 => {}
            1 => return Err(Status::internal("a message is compressed, which was not agreed on")),
            flag => return Err(Status::internal(format!("{flag} is no compression flag"))),
        }
        let length = usize::try_from(head.get_u32()).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(Status::out_of_range(format!("a message has {length} bytes")));
        }
        let missing = (HEAD_BYTES + length).saturating_sub(self.rest.len());
        self.rest.reserve(missing.min(BELIEVED_BYTES));
        Ok(Some(length))
    }
}

pub(super) fn decode<M: RequestMessage>(message: &[u8]) -> Result<M, Status> {
    let unreadable = |error: DecodeError| Status::internal(error.to_string());
    let message = match message.len() {
        0..LARGE_BYTES => Cow::Borrowed(message),
        _ => without(message, &[M::NODE, EXTENSIONS]).map_err(unreadable)?,
    };
    M::decode(&*message).map_err(unreadable)
}

/// A message without the fields at the end of this path of field numbers.
fn without<'a>(message: &'a [u8], path: &[u32]) -> Result<Cow<'a, [u8]>, DecodeError> {
    let [number, below @ ..] = path else {
        return Ok(Cow::Borrowed(message));
    };
    let mut kept = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let begin = rest;
        let (tag, wire_type) = decode_key(&mut rest)?;
        if tag != *number || wire_type != WireType::LengthDelimited {
            skip_field(wire_type, tag, &mut rest, prost::encoding::DecodeContext::default())?;
            kept.extend_from_slice(&begin[..begin.len() - rest.len()]);
            continue;
        }
        let length = usize::try_from(decode_varint(&mut rest)?).unwrap_or(usize::MAX);
        let Some((field, after)) = rest.split_at_checked(length) else {
            // The decoder words it.
            return Ok(Cow::Borrowed(message));
        };
        rest = after;
        if !below.is_empty() {
            let field = without(field, below)?;
            encode_key(tag, wire_type, &mut kept);
            encode_varint(field.len() as u64, &mut kept);
            kept.extend_from_slice(&field);
        }
    }
    Ok(Cow::Owned(kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_types::pb::envoy::config::core::v3::{Extension, Node};
    use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
    use http_body_util::StreamBody;
    use prost::Message;

    fn framed(message: &impl Message) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(u32::try_from(message.encoded_len()).unwrap().to_be_bytes());
        bytes.extend(message.encode_to_vec());
        bytes
    }

    fn requests<M: RequestMessage>(bytes: &[u8], piece: usize, limit: usize) -> Requests<M> {
        let pieces: Vec<_> = bytes
            .chunks(piece)
            .map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        Requests::new(Body::new(StreamBody::new(futures::stream::iter(pieces))), limit)
    }

    fn large() -> DiscoveryRequest {
        let extension = |at| Extension {
            name: format!("envoy.extension.{at}"),
            ..Extension::default()
        };
        DiscoveryRequest {
            version_info: "1".to_owned(),
            node: Some(Node {
                id: "a".to_owned(),
                extensions: (0..1000).map(extension).collect(),
                user_agent_name: "envoy".to_owned(),
                ..Node::default()
            }),
            resource_names: vec!["x".to_owned(), "y".to_owned()],
            ..DiscoveryRequest::default()
        }
    }

    #[tokio::test]
    async fn messages_come_out_whole_however_they_are_cut_and_nothing_is_kept_between() {
        let mut small = large();
        small.node = None;
        let bytes = [framed(&small), framed(&large()), framed(&small)].concat();
        let mut stripped = large();
        stripped.node.as_mut().unwrap().extensions.clear();
        for piece in [1, 7, 4096, bytes.len()] {
            let mut requests = requests::<DiscoveryRequest>(&bytes, piece, 1 << 20);
            for expected in [&small, &stripped, &small] {
                assert_eq!(requests.message().await.unwrap().as_ref(), Some(expected));
            }
            assert_eq!(requests.message().await.unwrap(), None);
            assert_eq!(requests.rest.capacity(), 0);
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused() {
        let bytes = framed(&large());
        let code = async |bytes: &[u8], limit| {
            let mut requests = requests::<DiscoveryRequest>(bytes, 100, limit);
            requests.message().await.unwrap_err().code()
        };
        assert_eq!(code(&bytes, 100).await, tonic::Code::OutOfRange);
        assert_eq!(code(&bytes[..bytes.len() - 1], 1 << 20).await, tonic::Code::Internal);
        assert_eq!(code(&[1, 0, 0, 0, 0], 1 << 20).await, tonic::Code::Internal);
        assert_eq!(code(&[2, 0, 0, 0, 0], 1 << 20).await, tonic::Code::Internal);
        assert_eq!(code(&[0, 0, 0, 0, 1, 0xff], 1 << 20).await, tonic::Code::Internal);
        let mut cut = bytes.clone();
        cut.truncate(5 + 8000);
        cut[1..5].copy_from_slice(&8000u32.to_be_bytes());
        assert_eq!(
            code(&cut, 1 << 20).await,
            tonic::Code::Internal,
            "a field beyond the end"
        );
    }

    #[test]
    fn only_the_extensions_are_left_out() {
        let delta = DeltaDiscoveryRequest {
            node: large().node,
            initial_resource_versions: [("a".to_owned(), "1".to_owned())].into(),
            ..DeltaDiscoveryRequest::default()
        };
        let mut expected = delta.clone();
        expected.node.as_mut().unwrap().extensions.clear();
        assert_eq!(
            decode::<DeltaDiscoveryRequest>(&delta.encode_to_vec()).unwrap(),
            expected
        );
    }
}
