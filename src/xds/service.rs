//! The ADS service: what tonic calls for each new stream.
//!
//! Written by hand and not generated, because generated services encode and copy each answer anew for every stream.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use http::{HeaderValue, Response, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use super::admission::Admission;
use super::body;
use super::codec::RequestMessage;
use super::config::XdsConfig;
use super::metrics::XdsMetrics;
use super::requests::Requests;
use super::status::End;
use super::stream;
use super::streams::Streams;
use crate::cache::Cache;

/// What all streams of a server share.
pub(super) struct Shared {
    pub(super) cache: Arc<Cache>,
    pub(super) config: XdsConfig,
    pub(super) metrics: XdsMetrics,
    pub(super) streams: Arc<Streams>,
    pub(super) drain: CancellationToken,
    pub(super) admission: Arc<Admission>,
    ready: Box<dyn Fn() -> bool + Send + Sync>,
    slots: Arc<Semaphore>,
}

/// `envoy.service.discovery.v3.AggregatedDiscoveryService`, state of the world and delta. Clones are the same server.
#[derive(Clone)]
pub struct AdsServer {
    shared: Arc<Shared>,
}

impl AdsServer {
    /// A server of what the cache holds.
    ///
    /// `ready` is asked for each new stream: until it says true, streams are refused with UNAVAILABLE. When `drain` is
    /// cancelled, new streams are refused and the open ones end with UNAVAILABLE within [`XdsConfig::drain_spread`].
    #[must_use]
    pub fn new(
        cache: Arc<Cache>,
        config: XdsConfig,
        metrics: XdsMetrics,
        ready: impl Fn() -> bool + Send + Sync + 'static,
        drain: CancellationToken,
    ) -> Self {
        let slots = config.max_streams.min(Semaphore::MAX_PERMITS);
        Self {
            shared: Arc::new(Shared {
                cache,
                admission: Admission::new(
                    config.max_initial_bytes_in_flight,
                    config.initial_ack_patience,
                    metrics.clone(),
                ),
                config,
                metrics,
                streams: Arc::default(),
                drain,
                ready: Box::new(ready),
                slots: Arc::new(Semaphore::new(slots)),
            }),
        }
    }

    /// The open streams.
    #[must_use]
    pub fn streams(&self) -> Arc<Streams> {
        Arc::clone(&self.shared.streams)
    }

    /// Waits until no stream is open: its last bytes are written, or its connection is gone.
    pub async fn no_streams(&self) {
        let all = self.shared.config.max_streams.min(Semaphore::MAX_PERMITS);
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        let _slots = self.shared.slots.acquire_many(all).await;
    }

    /// Whether one more stream may be opened.
    fn admit(&self) -> Result<OwnedSemaphorePermit, End> {
        if self.shared.drain.is_cancelled() {
            return Err(End::Draining);
        }
        if !(self.shared.ready)() {
            return Err(End::NotReady);
        }
        let slots = Arc::clone(&self.shared.slots);
        slots.try_acquire_owned().map_err(|_| End::TooManyStreams {
            limit: self.shared.config.max_streams,
        })
    }

    fn open<M: RequestMessage>(&self, request: http::Request<Body>) -> Response<Body> {
        let slot = match self.admit() {
            Ok(slot) => Arc::new(slot),
            Err(end) => {
                self.shared.metrics.ended(&end);
                return end.status().into_http();
            }
        };
        let request = tonic::Request::from_http(request);
        let peer: Option<SocketAddr> = request.remote_addr();
        let requests = Requests::<M>::new(request.into_inner(), self.shared.config.max_request_bytes);
        let (outbox, body) = body::channel(slot);
        let shared = Arc::clone(&self.shared);
        // The task ends with its client: it notices when the body is dropped.
        tokio::spawn(stream::run(shared, requests, outbox, peer));
        let mut response = Response::new(Body::new(body));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }
}

impl NamedService for AdsServer {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl Service<http::Request<Body>> for AdsServer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        ready(Ok(match method {
            "StreamAggregatedResources" => self.open::<DiscoveryRequest>(request),
            "DeltaAggregatedResources" => self.open::<DeltaDiscoveryRequest>(request),
            _ => Status::unimplemented("this service has only StreamAggregatedResources and DeltaAggregatedResources")
                .into_http(),
        }))
    }
}

impl fmt::Debug for AdsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdsServer")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}
