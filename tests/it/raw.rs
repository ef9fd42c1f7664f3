//! xDS by hand, for clients that do what no library lets them: HTTP/2 frames and gRPC messages.

use std::collections::HashMap;
use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub(crate) const CDS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
pub(crate) const EDS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

/// An HTTP/2 connection; it answers pings by itself.
#[derive(Debug, Clone)]
pub(crate) struct RawConnection(SendRequest<Bytes>);

impl RawConnection {
    /// Connects; on each stream the server may send so many bytes before any is read.
    pub(crate) async fn open(server: SocketAddr, window: u32) -> Self {
        let tcp = TcpStream::connect(server).await.expect("it listens");
        tcp.set_nodelay(true).expect("a socket option");
        Self::over(tcp, window).await
    }

    /// The same over a transport that is connected.
    pub(crate) async fn over(transport: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, window: u32) -> Self {
        let (send, connection) = Builder::new()
            .initial_window_size(window)
            .initial_connection_window_size(1 << 24)
            .handshake(transport)
            .await
            .expect("it speaks HTTP/2");
        tokio::spawn(connection);
        Self(send)
    }

    /// Opens a delta stream.
    pub(crate) async fn stream(&self) -> Result<RawStream, h2::Error> {
        self.stream_with(None).await
    }

    /// The same by someone who shows a token.
    pub(crate) async fn stream_with(&self, token: Option<&str>) -> Result<RawStream, h2::Error> {
        let request = Request::post(
            "http://parallax/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
        );
        let request = request
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let request = request.body(()).expect("a request");
        let mut ready = self.0.clone().ready().await?;
        let (response, requests) = ready.send_request(request, false)?;
        Ok(RawStream {
            requests,
            response: Some(response),
            answers: None,
            unread: BytesMut::new(),
        })
    }
}

/// A stream of it.
#[derive(Debug)]
pub(crate) struct RawStream {
    pub(crate) requests: SendStream<Bytes>,
    response: Option<ResponseFuture>,
    answers: Option<RecvStream>,
    unread: BytesMut,
}

impl RawStream {
    /// Sends bytes as the server takes them.
    pub(crate) async fn send(&mut self, mut bytes: Bytes) -> Result<(), h2::Error> {
        while !bytes.is_empty() {
            self.requests.reserve_capacity(bytes.len());
            while self.requests.capacity() == 0 {
                match std::future::poll_fn(|context| self.requests.poll_capacity(context)).await {
                    Some(capacity) => capacity?,
                    None => return Err(h2::Reason::STREAM_CLOSED.into()),
                };
            }
            let piece = bytes.split_to(self.requests.capacity().min(bytes.len()));
            self.requests.send_data(piece, false)?;
        }
        Ok(())
    }

    /// Waits until the server answers with headers: it has seen the stream.
    pub(crate) async fn seen(&mut self) -> Result<(), h2::Error> {
        if let Some(response) = self.response.take() {
            self.answers = Some(response.await?.into_body());
        }
        Ok(())
    }

    /// The next answer; `None` when the stream has ended.
    pub(crate) async fn answer(&mut self) -> Result<Option<DeltaDiscoveryResponse>, h2::Error> {
        self.seen().await?;
        let answers = self.answers.as_mut().expect("it has begun");
        loop {
            if let Some(length) = self.unread.get(1..5) {
                let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
                if self.unread.len() >= 5 + length {
                    let message = self.unread.split_to(5 + length).split_off(5);
                    return Ok(Some(DeltaDiscoveryResponse::decode(message).expect("an answer")));
                }
            }
            match answers.data().await {
                Some(piece) => {
                    let piece = piece?;
                    answers.flow_control().release_capacity(piece.len())?;
                    self.unread.extend_from_slice(&piece);
                }
                None => return Ok(None),
            }
        }
    }

    /// The status that the stream ends with; what comes before is let go.
    pub(crate) async fn end(&mut self) -> Result<Option<i32>, h2::Error> {
        while self.answer().await?.is_some() {}
        let answers = self.answers.as_mut().expect("it has begun");
        let trailers = answers.trailers().await?.unwrap_or_default();
        let status = trailers.get("grpc-status").and_then(|status| status.to_str().ok());
        Ok(status.and_then(|status| status.parse().ok()))
    }
}

/// A request as it goes over the wire.
pub(crate) fn framed(request: &DeltaDiscoveryRequest) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(request.encoded_len()).expect("a request below 4 GiB"));
    request.encode(&mut bytes).expect("it grows");
    bytes.freeze()
}

/// The first request of a stream, by a proxy in network `net1`.
pub(crate) fn first(id: &str, type_url: &str, names: impl IntoIterator<Item = String>) -> DeltaDiscoveryRequest {
    let network = Value {
        kind: Some(Kind::StringValue("net1".to_owned())),
    };
    DeltaDiscoveryRequest {
        node: Some(Node {
            id: id.to_owned(),
            metadata: Some(Struct {
                fields: HashMap::from([("NETWORK".to_owned(), network)]),
            }),
            ..Node::default()
        }),
        type_url: type_url.to_owned(),
        resource_names_subscribe: names.into_iter().collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

/// The ACK of an answer.
pub(crate) fn ack(answer: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: answer.type_url.clone(),
        response_nonce: answer.nonce.clone(),
        ..DeltaDiscoveryRequest::default()
    }
}
