//! How fast a connection opens streams.

use tokio::time::Instant;

/// What a connection may open at once: all its streams, twice over. After that so many a second: a client that comes back
/// opens one, one that opens and resets without end is a flood.
const STREAM_BURST: f64 = 2000.0;
const STREAMS_PER_SECOND: f64 = 100.0;

/// How many more streams a connection may open, and as of when.
#[derive(Debug)]
pub(super) struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: STREAM_BURST,
            at: now,
        }
    }

    /// Counts one more; false when it is too fast.
    pub(super) fn step(&mut self, now: Instant) -> bool {
        let gained = now.duration_since(self.at).as_secs_f64() * STREAMS_PER_SECOND;
        self.left = (self.left + gained).min(STREAM_BURST) - 1.0;
        self.at = now;
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_is_let_in_and_a_flood_is_not() {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        assert_eq!((0..3000).filter(|_| pace.step(begun)).count(), 2000);
        let mut pace = Pace::new(begun);
        let steady = |second: u64| begun + Duration::from_secs(second);
        assert!((0..100_000).all(|at| pace.step(steady(at / 100))));
    }
}
