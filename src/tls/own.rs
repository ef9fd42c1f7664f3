//! The server's own certificate, which is renewed while the server runs: mounted Secrets and cert-manager change their files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::sleep;

use super::files::{TlsError, pair};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// What the server shows, and where it was read from.
#[derive(Debug)]
pub(super) struct OwnCertificate {
    certificate: PathBuf,
    key: PathBuf,
    pub(super) shown: ArcSwap<CertifiedKey>,
}

impl OwnCertificate {
    pub(super) fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            shown: ArcSwap::from_pointee(pair(certificate, key)?),
        })
    }

    /// Looks at the files for as long as it is polled. What is wrong with new ones is said once, and the last good ones stay.
    pub(super) async fn renew(&self) {
        let mut said = None;
        loop {
            sleep(LOOK).await;
            let (certificate, key) = (self.certificate.clone(), self.key.clone());
            // A disk that hangs must not hold a worker.
            match tokio::task::spawn_blocking(move || pair(&certificate, &key)).await {
                Ok(Ok(found)) => {
                    said = None;
                    if found.cert != self.shown.load().cert {
                        tracing::info!(file = %self.certificate.display(), "the xDS endpoint has a new certificate");
                        self.shown.store(Arc::new(found));
                    }
                }
                Ok(Err(error)) => {
                    let error = error.to_string();
                    if said.as_ref() != Some(&error) {
                        tracing::error!(error, "the xDS endpoint keeps its last certificate");
                        said = Some(error);
                    }
                }
                Err(error) => tracing::error!(%error, "reading the certificate of the xDS endpoint broke off"),
            }
        }
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.load_full())
    }
}
