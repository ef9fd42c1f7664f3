//! The service of one connection: it hands streams to ADS, and knows how many there are and how fast they come.

use std::convert::Infallible;
use std::future::Ready;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use hyper::body::Incoming as RequestBody;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::server::TcpConnectInfo;
use tower::Service;

use crate::tls::{ConnInfo, Peer};
use crate::xds::{AdsServer, Hangup};

/// What a connection may open at once: all its streams, twice over. After that so many a second: a client that comes back
/// opens one, one that opens and resets without end is a flood.
const STREAM_BURST: f64 = 2000.0;
const STREAMS_PER_SECOND: f64 = 100.0;
/// The streams of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) now: usize,
    pub(super) ever: bool,
}

/// How fast a connection opens streams.
#[derive(Debug)]
pub(super) struct Pace {
    /// How many more it may open, and as of when.
    left: Mutex<(f64, Instant)>,
    exceeded: Notify,
}

impl Pace {
    fn step(&self) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gained = now.duration_since(left.1).as_secs_f64() * STREAMS_PER_SECOND;
        *left = ((left.0 + gained).min(STREAM_BURST) - 1.0, now);
        if left.0 < 0.0 {
            self.exceeded.notify_one();
        }
    }

    pub(super) async fn exceeded(&self) {
        self.exceeded.notified().await;
    }
}

/// The ADS service of one connection.
pub(super) struct Streams {
    ads: AdsServer,
    info: ConnInfo,
    pub(super) open: watch::Sender<Open>,
    pub(super) pace: Arc<Pace>,
    pub(super) hangup: Hangup,
}

impl Streams {
    pub(super) fn new(ads: AdsServer, info: ConnInfo) -> Self {
        Self {
            ads,
            info,
            open: watch::Sender::new(Open::default()),
            pace: Arc::new(Pace {
                left: Mutex::new((STREAM_BURST, Instant::now())),
                exceeded: Notify::new(),
            }),
            hangup: Hangup::default(),
        }
    }
}

impl hyper::service::Service<Request<RequestBody>> for Streams {
    type Response = Response<OpenBody>;
    type Error = Infallible;
    type Future = Ready<Result<Response<OpenBody>, Infallible>>;

    fn call(&self, mut request: Request<RequestBody>) -> Self::Future {
        self.pace.step();
        self.open.send_modify(|open| {
            open.now += 1;
            open.ever = true;
        });
        let open = OpenStream(self.open.clone());
        if let Peer::Tcp(address) = self.info.peer {
            request.extensions_mut().insert(TcpConnectInfo {
                local_addr: None,
                remote_addr: Some(address),
            });
        }
        request.extensions_mut().insert(self.info.clone());
        request.extensions_mut().insert(self.hangup.clone());
        let service = request.uri().path().split('/').nth(1);
        let response = if service == Some(AdsServer::NAME) {
            // Its answer is there at once.
            let Ok(response) = self.ads.clone().call(request.map(Body::new)).into_inner();
            response
        } else {
            Status::unimplemented("only the aggregated discovery service is served here").into_http()
        };
        std::future::ready(Ok(response.map(|body| OpenBody { body, _open: open })))
    }
}

/// Counts a stream until its body is let go.
#[derive(Debug)]
struct OpenStream(watch::Sender<Open>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.send_modify(|open| open.now -= 1);
    }
}

/// A body that counts as an open stream.
pub(super) struct OpenBody {
    body: Body,
    _open: OpenStream,
}

impl http_body::Body for OpenBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
