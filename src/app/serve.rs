//! The two endpoints: what they listen on, and how they are served.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpConnectInfo;

use crate::admin::{self, AdminState};
use crate::config::{Config, Listen};
use crate::lifecycle::DrainWatcher;
use crate::tls::{Acceptor, Conn, ConnInfo, Incoming, Listener, Peer, ServerTls};
use crate::xds::AdsServer;

/// A client that answers no ping is gone: its streams are freed within these two.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Relays and gRPC applications put many streams on one connection; the number of all streams is limited elsewhere.
const STREAMS_PER_CONNECTION: u32 = 1000;
/// Once no stream is open, clients have this long to close their connections; whoever does not, loses nothing.
const FAREWELL: Duration = Duration::from_secs(1);
/// How much of a client's requests is buffered unread, per stream and per connection.
const WINDOW_BYTES: u32 = 256 << 10;

fn bind(listen: &Listen) -> anyhow::Result<Listener> {
    Ok(match listen {
        Listen::Tcp(address) => Listener::tcp(*address)?,
        Listen::Unix(path) => Listener::unix(path)?,
    })
}

/// Binds the xDS endpoint, with TLS where the settings have certificates.
pub(super) fn bind_xds(config: &Config) -> anyhow::Result<Incoming> {
    let tls = match &config.tls {
        Some(files) => Some(ServerTls::from_files(
            &files.certificate,
            &files.key,
            files.client_ca.as_deref(),
        )?),
        None => None,
    };
    let listener = bind(&config.listen).context("the xDS endpoint")?;
    Ok(Acceptor::new(listener, tls).incoming())
}

/// Binds the admin endpoint.
pub(super) fn bind_admin(config: &Config) -> anyhow::Result<Incoming> {
    let listener = bind(&config.admin.listen).context("the admin endpoint")?;
    Ok(Acceptor::new(listener, None).incoming())
}

/// Tells this process from other replicas and from its own last life: host and start time.
pub(super) fn control_plane_id() -> String {
    let started = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("parallax-{}-{}-{started}", host.trim(), std::process::id())
}

/// Serves ADS until the drain; streams end themselves then. Keeps the watcher until the last of them is gone.
pub(super) async fn serve_xds(
    incoming: Incoming,
    ads: AdsServer,
    watcher: DrainWatcher,
) -> Result<(), tonic::transport::Error> {
    let serving = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(4 * WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .layer(tower::util::MapRequestLayer::new(tell_peer))
        .add_service(ads.clone())
        .serve_with_incoming_shutdown(incoming, watcher.begun());
    let left = async {
        watcher.begun().await;
        ads.no_streams().await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        served = serving => served,
        () = left => Ok(()),
    }
}

/// Puts the peer's address where tonic looks for it.
fn tell_peer<B>(mut request: http::Request<B>) -> http::Request<B> {
    if let Some(Peer::Tcp(address)) = request.extensions().get::<ConnInfo>().map(|info| info.peer) {
        request.extensions_mut().insert(TcpConnectInfo {
            local_addr: None,
            remote_addr: Some(address),
        });
    }
    request
}

/// Serves the admin endpoint until cancelled.
pub(super) async fn serve_admin(
    incoming: Incoming,
    state: AdminState,
    cancel: CancellationToken,
) -> Result<(), admin::ServeError> {
    admin::serve(AdminListener(incoming), state, cancel).await
}

/// The same connections, as axum takes them.
struct AdminListener(Incoming);

impl axum::serve::Listener for AdminListener {
    type Io = Conn;
    type Addr = Option<SocketAddr>;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.0.next_conn().await {
            Some(conn) => {
                let peer = match conn.peer() {
                    Peer::Tcp(address) => Some(address),
                    Peer::Unix => None,
                };
                (conn, peer)
            }
            // The accept loop ends only with the process.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.0.local_addr())
    }
}
