//! TLS settings that follow their files while the server runs: mounted Secrets and cert-manager change them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::time::{Instant, sleep};

use super::files::{Files, Read, TlsError};
use super::metrics::AcceptorMetrics;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// How often a certificate that ends soon is spoken of.
const REMIND: Duration = Duration::from_secs(6 * 3600);

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

    /// Looks at the files for as long as it is polled. What is wrong with new ones is said once, and the last good ones stay; so
    /// they do while the new certificate is not valid yet. What ends soon is spoken of.
    ///
    /// All settings are made anew, and with them the sessions that may be resumed: who is not trusted any more resumes none.
    pub(super) async fn renew(&self, metrics: &AcceptorMetrics) {
        let (mut said, mut reminded) = (None, None);
        loop {
            self.remind(metrics, &mut reminded);
            sleep(LOOK).await;
            let files = self.files.clone();
            // A disk that hangs must not hold a worker.
            match tokio::task::spawn_blocking(move || files.read()).await {
                Ok(Ok(found)) if found.is_early() && !self.last.load().is_early() => {
                    let error = "the new certificate is not valid yet; its time has to come, or the clock is wrong";
                    if said.as_deref() != Some(error) {
                        tracing::error!(error, "the xDS endpoint keeps its last certificates");
                        said = Some(error.to_owned());
                    }
                }
                Ok(Ok(found)) => {
                    said = None;
                    if found.certificates != self.last.load().certificates {
                        let file = self.files.certificate.display();
                        tracing::info!(%file, "the xDS endpoint has a new certificate, or new authorities of clients");
                        self.last.store(Arc::new(found));
                        reminded = None;
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

    /// Says when the certificate ends, in the log only where that is soon, and from time to time.
    fn remind(&self, metrics: &AcceptorMetrics, reminded: &mut Option<Instant>) {
        let Some(validity) = self.last.load().validity else {
            return;
        };
        let now = SystemTime::now();
        let is_near = validity.ends_soon(now);
        metrics.certificate(validity.end(), is_near);
        if !is_near || reminded.is_some_and(|at| at.elapsed() < REMIND) {
            return;
        }
        *reminded = Some(Instant::now());
        let file = self.files.certificate.display();
        if validity.is_over(now) {
            tracing::error!(%file, "the certificate of the xDS endpoint has expired: proxies can't connect; issue it anew");
        } else {
            let left = validity.until.duration_since(now).unwrap_or_default();
            let hours = left.as_secs() / 3600;
            tracing::warn!(%file, hours, "the certificate of the xDS endpoint ends soon: proxies can't connect then; issue it anew");
        }
    }
}

impl Read {
    /// Whether the certificate is not valid yet.
    fn is_early(&self) -> bool {
        self.validity.is_some_and(|validity| validity.from > SystemTime::now())
    }
}
