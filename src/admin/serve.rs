//! The one port of the admin endpoint: gRPC (HTTP/2 without TLS) and plain HTTP side by side.

use std::future::IntoFuture as _;
use std::io;
use std::time::Duration;

use envoy_types::pb::envoy::service::status::v3::client_status_discovery_service_server::ClientStatusDiscoveryServiceServer;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::csds::ClientStatus;
use super::debug::DebugService;
use super::proto::DESCRIPTORS;
use super::proto::debug_server::{DebugServer, SERVICE_NAME};
use super::{AdminState, http};

/// How long connections may finish what they are at after the cancel. Our own streams end at once; a watch on the
/// health service does not, nor a client that does not read its answer.
const FINISH: Duration = Duration::from_secs(2);

/// Why the admin endpoint ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptor set inside of this binary can't be read; a mistake in the build.
    #[error("the description of our own protos can't be served: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The listener failed for good.
    #[error("the admin endpoint can't accept connections any more: {0}")]
    Accept(#[from] io::Error),
}

/// Serves until cancelled. The health service says `SERVING` from the moment that nothing is waited for any more.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve<L>(listener: L, state: AdminState, cancel: CancellationToken) -> Result<(), ServeError>
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_service_status("", tonic_health::ServingStatus::NotServing)
        .await;
    health
        .set_service_status(SERVICE_NAME, tonic_health::ServingStatus::Serving)
        .await;

    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let routes = Routes::new(DebugServer::new(DebugService::new(state.clone(), cancel.clone())))
        .add_service(ClientStatusDiscoveryServiceServer::new(ClientStatus::new(
            state.clone(),
            cancel.clone(),
        )))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let readiness = state.readiness.clone();
    let router = routes
        .into_axum_router()
        .merge(http::routes(state))
        .fallback(http::unknown);

    let server = axum::serve(listener, router).with_graceful_shutdown(cancel.clone().cancelled_owned());
    let mut server = std::pin::pin!(server.into_future());
    let ready = async {
        readiness.ready().await;
        health
            .set_service_status("", tonic_health::ServingStatus::Serving)
            .await;
    };
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = async { ready.await; cancel.cancelled().await; } => {}
        () = cancel.cancelled() => {}
    }
    health
        .set_service_status("", tonic_health::ServingStatus::NotServing)
        .await;
    if let Ok(ended) = tokio::time::timeout(FINISH, server).await {
        ended?;
    } else {
        tracing::debug!("a client of the admin endpoint did not finish in time");
    }
    Ok(())
}
