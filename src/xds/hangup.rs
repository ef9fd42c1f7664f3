//! The last resort against a client that takes nothing any more.

use tokio_util::sync::CancellationToken;

/// Ends the connection that a stream came over. The server puts one into the extensions of each request; without it a
/// stream whose client takes not even its end stays until the client goes.
#[derive(Debug, Clone, Default)]
pub struct Hangup(CancellationToken);

impl Hangup {
    /// Waits until a stream of the connection asks for its end. Cancel safe.
    pub async fn asked(&self) {
        self.0.cancelled().await;
    }

    pub(super) fn ask(&self) {
        self.0.cancel();
    }
}
