//! A way from a namespace to a server on this machine's own loopback: API servers stay where they are, and whoever stands in a
//! namespace reaches them at the address that their kubeconfig says.

use std::net::{Ipv4Addr, TcpListener};

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::space::Space;

/// A port in a namespace that leads to the same port of 127.0.0.1 outside of it, until the value is dropped.
#[derive(Debug)]
pub(crate) struct Wire(JoinHandle<()>);

impl Wire {
    pub(crate) fn new(space: &Space, port: u16) -> Self {
        Self::at(space, Ipv4Addr::LOCALHOST, port)
    }

    /// The same at an address that others can reach: the namespace is the machine that the server stands on.
    pub(crate) fn at(space: &Space, address: Ipv4Addr, port: u16) -> Self {
        let listener = space
            .within(|| TcpListener::bind((address, port)))
            .expect("nothing listens in a new namespace");
        listener.set_nonblocking(true).expect("a socket of ours");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime is there");
        Self(tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                tokio::spawn(async move {
                    // Where nobody listens, the connection is closed: who called sees it gone.
                    if let Ok(mut far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                        copy_bidirectional(&mut near, &mut far).await.ok();
                    }
                });
            }
        }))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.0.abort();
    }
}
