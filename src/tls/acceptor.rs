//! From a listening socket to connections that are ready for HTTP.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::lifecycle::Backoff;

use super::conn::{Conn, Peer};
use super::files::ServerTls;
use super::listener::{Accepted, Listener};
use super::metrics::{AcceptorMetrics, HandshakeEnd};

/// Ready connections that wait for the server; more wait in their handshakes and then in the kernel.
const READY: usize = 64;

/// Shortest and longest pause after an accept that failed for want of something, such as file descriptors.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Bounds what clients who are not yet known can take from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// Handshakes at a time, at least one; further connections wait in the kernel's queue.
    pub concurrent: usize,
    /// How long a handshake may take, and then the first word of the client.
    pub timeout: Duration,
}

impl Default for HandshakeLimits {
    /// 512 handshakes of at most five seconds.
    fn default() -> Self {
        Self {
            concurrent: 512,
            timeout: Duration::from_secs(5),
        }
    }
}

/// A listener that will hand out connections.
#[derive(Debug)]
pub struct Acceptor {
    listener: Listener,
    tls: Option<ServerTls>,
    limits: HandshakeLimits,
    metrics: AcceptorMetrics,
}

impl Acceptor {
    /// Encrypts TCP with `tls`, where given. A Unix socket is never encrypted: the system guards it.
    #[must_use]
    pub fn new(listener: Listener, tls: Option<ServerTls>) -> Self {
        Self {
            listener,
            tls,
            limits: HandshakeLimits::default(),
            metrics: AcceptorMetrics::default(),
        }
    }

    /// Counts in these.
    #[must_use]
    pub fn with_metrics(mut self, metrics: AcceptorMetrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Other limits than the default ones.
    #[must_use]
    pub fn with_limits(mut self, limits: HandshakeLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Begins to accept. Needs a running Tokio runtime; ends when the stream is dropped.
    #[must_use]
    pub fn incoming(self) -> Incoming {
        let (ready, conns) = mpsc::channel(READY);
        let local_addr = self.listener.local_addr();
        tokio::spawn(self.run(ready));
        Incoming { conns, local_addr }
    }

    async fn run(self, ready: mpsc::Sender<Conn>) {
        let tls = self.tls;
        let _renewal = tls.clone().map(|tls| {
            let metrics = self.metrics.clone();
            AbortOnDropHandle::new(tokio::spawn(async move { tls.renew(&metrics).await }))
        });
        let permits = Arc::new(Semaphore::new(self.limits.concurrent.max(1)));
        // Ends the handshakes with us.
        let mut handshakes = JoinSet::new();
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
        loop {
            // A place first: a connection that cannot be served yet costs us nothing while the kernel keeps it.
            let permit = tokio::select! {
                () = ready.closed() => return,
                permit = Arc::clone(&permits).acquire_owned() => permit.expect("the semaphore is never closed"),
            };
            while handshakes.try_join_next().is_some() {}
            let accepted = tokio::select! {
                () = ready.closed() => return,
                accepted = self.listener.accept() => accepted,
            };
            if accepted.is_ok() {
                self.metrics.accepted();
            }
            let conn = match accepted {
                Ok(Accepted::Unix(stream)) => Conn::unix(stream),
                Ok(Accepted::Tcp(stream, peer)) => match &tls {
                    None => Conn::tcp(stream, peer),
                    Some(tls) => {
                        backoff.reset();
                        let handshake = Handshake {
                            stream,
                            peer,
                            limit: self.limits.timeout,
                            metrics: self.metrics.clone(),
                            _permit: permit,
                        };
                        handshakes.spawn(handshake.run(TlsAcceptor::from(tls.config()), ready.clone()));
                        continue;
                    }
                },
                Err(error) if ended_before_accept(&error) => {
                    tracing::debug!(%error, "a connection ended before it was accepted");
                    continue;
                }
                Err(error) => {
                    // Trying again at once would burn a core and free nothing.
                    self.metrics.accept_failed();
                    let pause = backoff.next_delay().max(PAUSE.0);
                    tracing::warn!(%error, ?pause, "cannot accept connections; if files ran out, raise the limit (ulimit -n)");
                    tokio::select! {
                        () = ready.closed() => return,
                        () = sleep(pause) => continue,
                    }
                }
            };
            backoff.reset();
            let conn = conn.first_word_within(self.limits.timeout);
            if ready.send(conn).await.is_err() {
                return;
            }
        }
    }
}

/// One handshake; holds its place until the server took the connection.
struct Handshake {
    stream: TcpStream,
    peer: SocketAddr,
    limit: Duration,
    metrics: AcceptorMetrics,
    _permit: OwnedSemaphorePermit,
}

impl Handshake {
    async fn run(self, tls: TlsAcceptor, ready: mpsc::Sender<Conn>) {
        let peer = Peer::Tcp(self.peer);
        let handshaking = self.metrics.handshaking();
        let shaken = timeout(self.limit, tls.accept(self.stream)).await;
        drop(handshaking);
        self.metrics.handshake_ended(match &shaken {
            Ok(Ok(_)) => HandshakeEnd::Done,
            Ok(Err(_)) => HandshakeEnd::Failed,
            Err(_) => HandshakeEnd::Late,
        });
        match shaken {
            Ok(Ok(stream)) => {
                // An error means that the server stopped taking connections: this one ends with it.
                let conn = Conn::tls(stream, self.peer).first_word_within(self.limit);
                let _ = ready.send(conn).await;
            }
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, limit = ?self.limit, "TLS handshake took too long"),
        }
    }
}

/// Whether an accept failed because of that one connection, and the next may succeed.
fn ended_before_accept(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted
    )
}

/// Connections that are ready for HTTP, as a stream for tonic's `serve_with_incoming_shutdown`. Dropping it closes the
/// listener and ends the handshakes; connections that were handed out live on.
#[derive(Debug)]
pub struct Incoming {
    conns: mpsc::Receiver<Conn>,
    local_addr: Option<SocketAddr>,
}

impl Incoming {
    /// The address that we listen on, with the port that the system chose; `None` for a Unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// The next connection, for servers that take no stream. Cancel safe. `None` only when the runtime stops.
    pub async fn next_conn(&mut self) -> Option<Conn> {
        self.conns.recv().await
    }
}

impl Stream for Incoming {
    type Item = io::Result<Conn>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Errors stay inside: none of them is a reason for the server to stop.
        self.conns.poll_recv(cx).map(|conn| conn.map(Ok))
    }
}
