//! The two endpoints: what they listen on, and how the admin endpoint is served.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::SystemTime;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, AdminState};
use crate::config::{Config, Listen, ProxyProof, TlsFiles};
use crate::tls::{Acceptor, AcceptorMetrics, Clients, Conn, Incoming, Listener, ServerTls};

fn bind(listen: &Listen) -> anyhow::Result<Listener> {
    Ok(match listen {
        Listen::Tcp(address) => Listener::tcp(*address)?,
        Listen::Unix(path) => Listener::unix(path)?,
    })
}

/// Binds the xDS endpoint, with TLS where the settings have certificates.
pub(super) fn bind_xds(config: &Config, metrics: &AcceptorMetrics) -> anyhow::Result<Incoming> {
    let tls = match &config.tls {
        Some(files) => Some(ServerTls::from_files(
            &files.certificate,
            &files.key,
            clients(config, files),
        )?),
        None => None,
    };
    let listener = bind(&config.listen).context("the xDS endpoint")?;
    Ok(Acceptor::new(listener, tls).with_metrics(metrics.clone()).incoming())
}

/// Whose certificates the xDS endpoint asks for.
fn clients(config: &Config, files: &TlsFiles) -> Clients {
    let required = config.identity.as_ref().map(|identity| identity.require);
    match (&files.client_ca, required) {
        (Some(authorities), _) => Clients::SignedBy(authorities.clone()),
        // Who signed them is the gate's question: its roots change while we run.
        (None, Some(ProxyProof::Certificate)) => Clients::Known,
        (None, Some(ProxyProof::Any | ProxyProof::None)) => Clients::KnownOrNot,
        (None, Some(ProxyProof::Token) | None) => Clients::Anybody,
    }
}

/// Binds the admin endpoint.
pub(super) fn bind_admin(config: &Config) -> anyhow::Result<Incoming> {
    let listener = bind(&config.admin.listen).context("the admin endpoint")?;
    Ok(Acceptor::new(listener, None).incoming())
}

/// Tells this process from other replicas and from its own last life: host and start time. Short, as it is in every answer.
/// The same whoever asks: a Lease names its holder by it.
pub(super) fn control_plane_id() -> String {
    static ID: LazyLock<String> = LazyLock::new(|| {
        let started = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        format!("{}-{started:x}", host.trim())
    });
    ID.clone()
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
                let peer = conn.peer().address();
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
