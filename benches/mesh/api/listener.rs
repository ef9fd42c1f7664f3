//! TLS for the API servers: one certificate for all of them.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use axum::serve::Listener;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A client that does not go on with its handshake is let go.
const HANDSHAKE: Duration = Duration::from_secs(5);

struct Identity {
    pem: String,
    config: Arc<ServerConfig>,
}

fn identity() -> anyhow::Result<&'static Identity> {
    static MADE: OnceLock<Identity> = OnceLock::new();
    if let Some(made) = MADE.get() {
        return Ok(made);
    }
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()])?.self_signed(&key)?;
    let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .context("the certificate of the API servers")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let pem = certificate.pem();
    Ok(MADE.get_or_init(|| Identity { pem, config }))
}

/// What clients trust.
pub(super) fn authority() -> anyhow::Result<&'static str> {
    Ok(&identity()?.pem)
}

/// Serves TLS on a listener.
pub(super) fn secure(tcp: TcpListener) -> anyhow::Result<Secure> {
    let tls = TlsAcceptor::from(Arc::clone(&identity()?.config));
    Ok(Secure { tcp, tls })
}

pub(super) struct Secure {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for Secure {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = Listener::accept(&mut self.tcp).await;
            let _ = stream.set_nodelay(true);
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, self.tls.accept(stream)).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}
