//! Being told to end: programs that start others must end these first.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C, SIGTERM, or the end of the terminal.
#[derive(Debug)]
pub struct Interrupt([Signal; 3]);

impl Interrupt {
    /// From now on these end nothing by themselves.
    ///
    /// # Errors
    /// If signals can't be caught.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    /// Waits for one of them.
    pub async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
