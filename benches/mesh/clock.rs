//! One clock for everything that is measured, in nanoseconds.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the machine's monotonic clock; never 0.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    (seconds * 1_000_000_000 + nanos).max(1)
}

/// Milliseconds from one moment to another; 0 where the second is not later.
pub(crate) fn ms(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1e6
}
