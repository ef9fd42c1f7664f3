//! The plain HTTP pages: probes, metrics, and a list of what there is.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use super::AdminState;
use crate::telemetry::Metrics;

/// What `/` and unknown paths show.
const INDEX: &str = "\
Parallax admin endpoint

/healthz   200 while the process works
/readyz    200 once it is ready, 503 and what is waited for before
/metrics   OpenMetrics text

gRPC on the same port (reflection is on, so that grpcurl works):
parallax.debug.v1.Debug, grpc.health.v1.Health, envoy.service.status.v3.ClientStatusDiscoveryService
The command `parallax get --help` tells how to read it all.
";

/// The pages over this state.
pub(super) fn routes(state: AdminState) -> Router {
    Router::new()
        .route("/", get(async || INDEX))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state)
}

async fn readyz(State(state): State<AdminState>) -> Response {
    let pending = state.readiness.pending();
    let (status, body) = match pending.as_slice() {
        [] => (StatusCode::OK, "ready\n".to_owned()),
        pending => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready, waiting for:\n{}\n", pending.join("\n")),
        ),
    };
    (status, [(CACHE_CONTROL, "no-store")], body).into_response()
}

async fn metrics(State(state): State<AdminState>) -> Response {
    ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], state.metrics.encode()).into_response()
}

/// Whatever has no page: gRPC clients get a gRPC status, people the list of what there is.
pub(super) async fn unknown(headers: HeaderMap) -> Response {
    let grpc = headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if grpc {
        tonic::Status::unimplemented("no such method; reflection lists those there are").into_http()
    } else {
        (StatusCode::NOT_FOUND, format!("no such page\n\n{INDEX}")).into_response()
    }
}
