//! One connection, whatever it came over.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An address and port.
    Tcp(SocketAddr),
    /// A process of this machine, over a Unix socket.
    Unix,
}

impl Peer {
    /// Its address; none for a Unix socket.
    #[must_use]
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(address),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// What is known of a connection. Tonic puts it into the extensions of every request:
/// `request.extensions().get::<ConnInfo>()`. Tonic's own `remote_addr()` and `peer_certs()` look for types of tonic and
/// find nothing.
#[derive(Clone, Debug)]
pub struct ConnInfo {
    /// Who is at the other end.
    pub peer: Peer,
    /// The client's certificate and its intermediates, verified; `None` where it had to show none.
    pub certificates: Option<Arc<[CertificateDer<'static>]>>,
}

/// A connection that is ready for HTTP: plain TCP, TLS after its handshake, or a Unix socket.
#[derive(Debug)]
pub struct Conn {
    peer: Peer,
    io: Io,
    /// Until its first word: a client that connects and says nothing would be kept for ever, and HTTP has no limit for it.
    silent: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
enum Io {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl Conn {
    pub(super) fn tcp(stream: TcpStream, peer: SocketAddr) -> Self {
        Self::new(Peer::Tcp(peer), Io::Tcp(stream))
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>, peer: SocketAddr) -> Self {
        Self::new(Peer::Tcp(peer), Io::Tls(Box::new(stream)))
    }

    pub(super) fn unix(stream: UnixStream) -> Self {
        Self::new(Peer::Unix, Io::Unix(stream))
    }

    fn new(peer: Peer, io: Io) -> Self {
        Self { peer, io, silent: None }
    }

    /// Reading fails unless the client says something within `limit`.
    pub(super) fn first_word_within(mut self, limit: Duration) -> Self {
        self.silent = Some(Box::pin(sleep(limit)));
        self
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }
}

impl Connected for Conn {
    type ConnectInfo = ConnInfo;

    fn connect_info(&self) -> ConnInfo {
        let certificates = match &self.io {
            Io::Tls(stream) => stream.get_ref().1.peer_certificates().map(Arc::from),
            Io::Tcp(_) | Io::Unix(_) => None,
        };
        ConnInfo {
            peer: self.peer,
            certificates,
        }
    }
}

/// Calls the same method on whatever the connection is.
macro_rules! delegate {
    ($conn:expr, $method:ident $(, $argument:expr)*) => {
        match &mut $conn.get_mut().io {
            Io::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Io::Tls(stream) => Pin::new(stream).$method($($argument),*),
            Io::Unix(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Conn {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = delegate!(self.as_mut(), poll_read, cx, buf);
        if read.is_ready() {
            self.silent = None;
        } else if let Some(silent) = &mut self.silent
            && silent.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Conn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write, cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write_vectored, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Tcp(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
            Io::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_shutdown, cx)
    }
}
