//! The ADS service: what becomes of each request of a connection.
//!
//! Written by hand and not generated, because generated services encode and copy each answer anew for every stream.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderValue, Request, Response, header};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;

use super::codec::RequestMessage;
use super::config::XdsConfig;
use super::hangup::Hangup;
use super::metrics::XdsMetrics;
use super::outbox::Outbox;
use super::requests::{RequestBody, Requests};
use super::shared::Shared;
use super::stream::{self, Line};
use super::streams::Streams;
use crate::cache::Cache;
use crate::identity::{BearerToken, Gate, Issuer};
use crate::tls::ConnInfo;

/// The service, as it is named in the paths of requests.
const NAME: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";

/// Serves one stream to its end.
pub(super) type StreamTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a stream's connection is to it.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) info: ConnInfo,
    /// Asked for when the client takes nothing any more.
    pub(super) hangup: Hangup,
    /// Cancelled when the server drains.
    pub(super) drain: CancellationToken,
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
        Self {
            shared: Arc::new(Shared::new(cache, config, metrics, ready, drain)),
        }
    }

    /// The same server with a gate: proxies prove who they are, and those who did get certificates from the issuer.
    ///
    /// # Panics
    /// When the server has clones already.
    #[must_use]
    pub fn with_identity(mut self, gate: Arc<Gate>, issuer: Arc<Issuer>) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("nobody shares a server that is being made");
        shared.identity = Some((gate, issuer));
        self
    }

    /// The open streams.
    #[must_use]
    pub fn streams(&self) -> Arc<Streams> {
        Arc::clone(&self.shared.streams)
    }

    /// Waits until no stream is open: its last bytes are on their way, or its connection is gone.
    pub(super) async fn no_streams(&self) {
        self.shared.no_streams().await;
    }

    /// Cancelled when streams have to end.
    pub(super) fn drain(&self) -> CancellationToken {
        self.shared.drain.child_token()
    }

    /// Begins to answer a request; what is left to do is the stream's own, where it was let in.
    pub(super) fn open(
        &self,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        caller: &Caller,
    ) -> Option<StreamTask> {
        match request.uri().path().trim_start_matches('/').split_once('/') {
            Some((NAME, "StreamAggregatedResources")) => self.admit::<DiscoveryRequest>(request, respond, caller),
            Some((NAME, "DeltaAggregatedResources")) => self.admit::<DeltaDiscoveryRequest>(request, respond, caller),
            Some((NAME, _)) => refuse(
                respond,
                &Status::unimplemented("this service has only StreamAggregatedResources and DeltaAggregatedResources"),
            ),
            _ => refuse(
                respond,
                &Status::unimplemented("only the aggregated discovery service is served here"),
            ),
        }
    }

    fn admit<M: RequestMessage>(
        &self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        caller: &Caller,
    ) -> Option<StreamTask> {
        let slot = match self.shared.admit() {
            Ok(slot) => slot,
            Err(end) => {
                self.shared.metrics.ended(&end);
                return refuse(respond, &end.status());
            }
        };
        let mut response = Response::new(());
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        // It fails where the client has reset the stream already.
        let send = respond.send_response(response, false).ok()?;
        let token = request.headers().get(header::AUTHORIZATION);
        let token = token.and_then(|value| BearerToken::from_header(value.to_str().ok()?));
        let requests = Body::new(RequestBody::new(request.into_body()));
        let requests = Body::new(self.shared.intake.guard(requests));
        let requests = Requests::<M>::new(requests, self.shared.config.max_request_bytes);
        let line = Line {
            requests,
            outbox: Outbox::new(send, slot),
            caller: caller.clone(),
            token,
        };
        Some(Box::pin(stream::run(Arc::clone(&self.shared), line)))
    }
}

/// Answers with nothing but a status.
fn refuse(mut respond: SendResponse<Bytes>, status: &Status) -> Option<StreamTask> {
    let response = status.clone().into_http::<()>();
    // Whoever has reset the stream needs no answer.
    let _ = respond.send_response(response, true);
    None
}

impl fmt::Debug for AdsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdsServer")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}
