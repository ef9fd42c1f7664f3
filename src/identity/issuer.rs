//! Issues workload certificates from the authority as it is now, and says when each is to be renewed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::authority::{Authority, WorkloadCertificate};
use super::error::AuthorityError;
use super::keeper::Keeper;
use super::metrics::IdentityMetrics;
use super::spiffe::SpiffeId;
use crate::lifecycle::random;

/// The soonest renewal: what an authority issues in its last seconds must not come around in no time.
const SOONEST: Duration = Duration::from_secs(1);

/// Issues certificates.
#[derive(Debug)]
pub struct Issuer {
    keeper: Arc<Keeper>,
    lifetime: Duration,
    metrics: IdentityMetrics,
    /// Why none could be issued last, which is said once for all workloads.
    said: Mutex<Option<String>>,
}

impl Issuer {
    /// Certificates that are valid for `lifetime`, from the keeper's authority.
    #[must_use]
    pub fn new(keeper: Arc<Keeper>, lifetime: Duration, metrics: IdentityMetrics) -> Self {
        Self {
            keeper,
            lifetime,
            metrics,
            said: Mutex::default(),
        }
    }

    /// Issues one; with it comes after how long it is to be renewed: about half of its life, so that a renewal may fail for
    /// hours, and somewhat earlier or later, so that workloads that began together are not renewed together.
    ///
    /// # Errors
    /// When the authority, or what is above it, has expired.
    pub fn issue(&self, id: &SpiffeId) -> Result<(WorkloadCertificate, Duration), AuthorityError> {
        let now = Timestamp::now();
        match self.keeper.current().issue(id, self.lifetime, now) {
            Ok(certificate) => {
                self.metrics.issued();
                *self.said.lock().unwrap_or_else(PoisonError::into_inner) = None;
                let life = certificate.not_after.duration_since(now);
                let life = Duration::try_from(life).unwrap_or_default();
                Ok((certificate, renew_after(life, random())))
            }
            Err(error) => {
                self.metrics.not_issued();
                self.say(&error.to_string());
                Err(error)
            }
        }
    }

    fn say(&self, error: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_deref() != Some(error) {
            tracing::error!(error, "workload certificates can't be issued");
            *said = Some(error.to_owned());
        }
    }

    /// All roots that workloads trust, PEM.
    #[must_use]
    pub fn bundle(&self) -> Arc<str> {
        self.keeper.current().bundle()
    }

    /// Tells when the authority or its roots changed.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Authority>> {
        self.keeper.watch()
    }
}

/// Half of a life, a tenth of that more or less; `random` is from 0 to 1.
fn renew_after(life: Duration, random: f64) -> Duration {
    life.mul_f64(0.45 + 0.1 * random).max(SOONEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_at_about_half_of_its_life() {
        let hours = |hours: u64| Duration::from_secs(3600 * hours);
        assert!(renew_after(hours(12), 0.0) >= hours(5));
        assert!(renew_after(hours(12), 1.0) <= hours(7));
        assert_eq!(renew_after(Duration::ZERO, 0.5), SOONEST);
    }
}
