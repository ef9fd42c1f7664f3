//! The crypto provider, server TLS settings from given certificates, and the way from a listening socket to connections.
//!
//! Tonic can accept and encrypt by itself, but neither bounds its handshakes nor pauses when the process is out of file
//! descriptors, and its listener queues only 128 connections: too few when a thousand proxies come back at once. So
//! [`Listener`] and [`Acceptor`] do it here and hand finished connections to the servers as a stream.

mod acceptor;
mod clients;
mod conn;
mod files;
mod listener;
mod metrics;
mod renewed;
#[cfg(test)]
mod tests;
mod validity;

pub use acceptor::{Acceptor, HandshakeLimits, Incoming};
pub use clients::Clients;
pub use conn::{Conn, ConnInfo, Peer};
pub use files::{ServerTls, TlsError, install_provider};
pub use listener::{ListenError, Listener};
pub use metrics::AcceptorMetrics;
