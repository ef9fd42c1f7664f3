//! TLS settings that follow their files while the server runs: mounted Secrets and cert-manager change them.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::time::sleep;

use super::files::{Files, Read, TlsError};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// What the files say, and where they are.
#[derive(Debug)]
pub(super) struct Renewed {
    files: Files,
    last: ArcSwap<Read>,
}

impl Renewed {
    pub(super) fn open(files: Files) -> Result<Self, TlsError> {
        let last = ArcSwap::from_pointee(files.read()?);
        Ok(Self { files, last })
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.last.load().config)
    }

    /// Looks at the files for as long as it is polled. What is wrong with new ones is said once, and the last good ones stay.
    ///
    /// All settings are made anew, and with them the sessions that may be resumed: who is not trusted any more resumes none.
    pub(super) async fn renew(&self) {
        let mut said = None;
        loop {
            sleep(LOOK).await;
            let files = self.files.clone();
            // A disk that hangs must not hold a worker.
            match tokio::task::spawn_blocking(move || files.read()).await {
                Ok(Ok(found)) => {
                    said = None;
                    if found.certificates != self.last.load().certificates {
                        let file = self.files.certificate.display();
                        tracing::info!(%file, "the xDS endpoint has a new certificate, or new authorities of clients");
                        self.last.store(Arc::new(found));
                    }
                }
                Ok(Err(error)) => {
                    let error = error.to_string();
                    if said.as_ref() != Some(&error) {
                        tracing::error!(error, "the xDS endpoint keeps its last certificates");
                        said = Some(error);
                    }
                }
                Err(error) => tracing::error!(%error, "reading the certificates of the xDS endpoint broke off"),
            }
        }
    }
}
