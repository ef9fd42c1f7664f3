//! The words that answers use for values of the model. Pure.

use std::time::SystemTime;

use crate::model::{Health, Locality, Mtls};

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn time(at: SystemTime) -> String {
    // Only a clock before the year -9999 or after 9999 fails here; no time is what can be said then.
    jiff::Timestamp::try_from(at)
        .map(|at| format!("{at:.3}"))
        .unwrap_or_default()
}

pub(super) fn health(health: Health) -> &'static str {
    match health {
        Health::Ready => "Ready",
        Health::Draining => "Draining",
        Health::NotReady => "NotReady",
    }
}

pub(super) fn mtls(mtls: Mtls) -> &'static str {
    match mtls {
        Mtls::Yes => "Yes",
        Mtls::Disabled => "Disabled",
        Mtls::No => "No",
        Mtls::PodUnknown => "PodUnknown",
    }
}

pub(super) fn locality(locality: &Locality) -> String {
    if locality.is_unknown() {
        String::new()
    } else {
        locality.to_string()
    }
}

/// A count as answers have it.
pub(super) fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn times_are_rfc_3339_with_milliseconds() {
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        assert_eq!(time(at), "2023-11-14T22:13:20.250Z");
        assert_eq!(time(UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
    }
}
