//! A way to a server on this machine that can become slow, or silent.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often what a slow way lets through goes on.
const STEP: Duration = Duration::from_millis(100);

/// A port of 127.0.0.1 that leads to another one there, until the value is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    pace: watch::Sender<Option<usize>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Leads to this port, as fast as it goes.
    ///
    /// # Errors
    /// If no port can be listened on.
    pub async fn to(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (pace, slow) = watch::channel(None);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let slow = slow.clone();
                tokio::spawn(async move {
                    // Where nobody listens, the connection is closed: who called sees it gone.
                    if let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                        carry(near, far, slow).await;
                    }
                });
            }
        });
        Ok(Self { address, pace, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets so many bytes a second through on each connection each way, those that are open too: none with 0, and then nobody is told
    /// either that a connection ended; all there are with `None`.
    pub fn bytes_per_second(&self, bytes: Option<usize>) {
        self.pace.send_replace(bytes);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Both ways until one of them ends, or the relay does.
async fn carry(mut near: TcpStream, mut far: TcpStream, slow: watch::Receiver<Option<usize>>) {
    let (from_near, to_near) = near.split();
    let (from_far, to_far) = far.split();
    tokio::select! {
        () = pass(from_near, to_far, slow.clone()) => {}
        () = pass(from_far, to_near, slow) => {}
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut slow: watch::Receiver<Option<usize>>,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let pace = *slow.borrow_and_update();
        let most = match pace {
            None => buffer.len(),
            Some(0) => match slow.changed().await {
                Ok(()) => continue,
                Err(_) => return,
            },
            Some(bytes) => (bytes / 10).clamp(1, buffer.len()),
        };
        // A read that was begun before ends when the pace changes: it must not let one more piece through.
        let read = tokio::select! {
            read = from.read(&mut buffer[..most]) => read,
            changed = slow.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Ok(read @ 1..) = read else {
            return;
        };
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        if pace.is_some() {
            tokio::time::sleep(STEP).await;
        }
    }
}
