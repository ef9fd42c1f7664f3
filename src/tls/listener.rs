//! Listening sockets with a queue long enough for a fleet that reconnects at once.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixSocket, UnixStream};

use super::conn::Peer;

/// How many connections the system keeps for us until we accept them; Linux caps it at `net.core.somaxconn`, 4096 too.
const BACKLOG: u32 = 4096;

/// Why we cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}; {}", remedy(cause))]
pub struct ListenError {
    /// The address as settings write it.
    pub address: String,
    /// What the system says.
    pub cause: io::Error,
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "stop the process that listens there, or choose another port or path",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address: choose one that it has",
        io::ErrorKind::PermissionDenied => "choose a port from 1024, or a folder that this user may write to",
        io::ErrorKind::NotFound => "create the folder of the socket",
        _ => "choose another address",
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf },
}

/// A connection as the system hands it out.
pub(super) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Listener {
    /// Listens on an IP address and port; port 0 lets the system choose. Needs a running Tokio runtime.
    ///
    /// # Errors
    /// Where the system refuses, as when the port is in use.
    pub fn tcp(address: SocketAddr) -> Result<Self, ListenError> {
        let listen = || {
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()
            } else {
                TcpSocket::new_v6()
            }?;
            // A restart must not wait for the connections of the last run to time out.
            socket.set_reuseaddr(true)?;
            // Accepted sockets inherit it.
            socket.set_keepalive(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        match listen() {
            Ok(listener) => Ok(Self(Kind::Tcp(listener))),
            Err(cause) => Err(ListenError {
                address: address.to_string(),
                cause,
            }),
        }
    }

    /// Listens on a Unix socket. A socket file that a process left behind is replaced, one that is alive is not. The file
    /// is removed when the listener is dropped. Needs a running Tokio runtime.
    ///
    /// # Errors
    /// Where the system refuses, as when another process listens there.
    pub fn unix(path: &Path) -> Result<Self, ListenError> {
        let listen = || {
            remove_dead_socket(path)?;
            let socket = UnixSocket::new_stream()?;
            socket.bind(path)?;
            socket.listen(BACKLOG)
        };
        match listen() {
            Ok(listener) => Ok(Self(Kind::Unix {
                listener,
                path: path.to_owned(),
            })),
            Err(cause) => Err(ListenError {
                address: format!("unix:{}", path.display()),
                cause,
            }),
        }
    }

    /// The address that we listen on, with the port that the system chose; `None` for a Unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Tcp(listener) => listener.local_addr().ok(),
            Kind::Unix { .. } => None,
        }
    }

    /// The next connection. Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match &self.0 {
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // xDS is small messages that wait for answers: holding them back to fill packets only adds delay.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(peer = %Peer::Tcp(peer), %error, "cannot set TCP_NODELAY");
                }
                Ok(Accepted::Tcp(stream, peer))
            }
            Kind::Unix { listener, .. } => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Kind::Unix { path, .. } = &self.0 {
            // Whoever finds a left-over file replaces it, so failing here harms nobody.
            let _ = fs::remove_file(path);
        }
    }
}

/// Removes a socket file that nobody listens on; anything else at `path` stays and binding will fail.
fn remove_dead_socket(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    // Connecting to a local socket is decided at once by the kernel, so this does not block.
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Ok(()),
    }
}
