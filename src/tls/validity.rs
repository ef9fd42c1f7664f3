//! From when to when the certificate of the endpoint is valid, and when its end is worth a word.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// It is spoken of when it ends this soon, or when a third of its life is left where that is sooner: whoever renews short ones
/// by themselves does it before.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: SystemTime,
    pub(super) until: SystemTime,
}

impl Validity {
    /// Reads it; `None` where the certificate can't be read.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let validity = parsed.validity();
        Some(Self {
            from: time(validity.not_before.timestamp()),
            until: time(validity.not_after.timestamp()),
        })
    }

    /// Seconds since the epoch at which it ends.
    pub(super) fn end(&self) -> i64 {
        let since = self.until.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    pub(super) fn is_over(&self, now: SystemTime) -> bool {
        self.until <= now
    }

    /// Whether its end is near, or past.
    pub(super) fn ends_soon(&self, now: SystemTime) -> bool {
        let third = self.until.duration_since(self.from).unwrap_or_default() / 3;
        self.until.duration_since(now).unwrap_or_default() <= third.min(SOON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_near_in_the_last_third_or_month() {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let of = |days: u32| Validity {
            from: UNIX_EPOCH,
            until: UNIX_EPOCH + DAY * days,
        };
        let near = |validity: Validity, day: u32| validity.ends_soon(UNIX_EPOCH + DAY * day);
        assert!(!near(of(365), 334) && near(of(365), 335) && near(of(365), 400));
        assert!(!near(of(3), 1) && near(of(3), 2));
        assert!(of(3).is_over(UNIX_EPOCH + DAY * 3) && !of(3).is_over(UNIX_EPOCH + DAY * 2));
        assert_eq!(of(3).end(), 3 * 24 * 3600);
    }
}
