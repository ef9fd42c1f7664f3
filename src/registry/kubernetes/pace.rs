//! How soon a watch that ended begins again.

use std::time::Duration;

use tokio::time::Instant;

use super::failure::Failure;
use crate::lifecycle::Backoff;

/// A watch that held for this long was a good one.
const HELD: Duration = Duration::from_secs(10);

/// Rests between rounds: not at all after a good one, longer and longer, with jitter, while they fail.
pub(super) struct Pace {
    backoff: Backoff,
    short_rounds: u32,
    /// The last round was of no use.
    failing: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            backoff: super::backoff(),
            short_rounds: 0,
            failing: false,
        }
    }

    pub(super) async fn rest(&mut self, begun: Instant, result: &Result<(), Failure>) {
        let harmless = matches!(result, Ok(()) | Err(Failure::Expired | Failure::Cut(_)));
        // What failed before and is over must not make anybody wait for what comes now.
        let is_over = harmless && self.failing;
        self.failing = !harmless;
        if begun.elapsed() >= HELD || is_over {
            self.backoff.reset();
            self.short_rounds = 0;
        }
        self.short_rounds += 1;
        if harmless && self.short_rounds == 1 {
            return;
        }
        tokio::time::sleep(self.backoff.next_delay()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn rested(pace: &mut Pace, result: Result<(), Failure>) -> Duration {
        let begun = Instant::now();
        pace.rest(begun, &result).await;
        begun.elapsed()
    }

    fn cut() -> Result<(), Failure> {
        Err(Failure::Cut("closed".to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_before_delays_nothing_that_comes_after_it() {
        let mut pace = Pace::new();
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let forbidden = Failure::of_status("pods", 403, "no".to_owned());
            longest = longest.max(rested(&mut pace, Err(forbidden)).await);
        }
        assert!(longest > Duration::from_secs(10), "{longest:?}");
        assert_eq!(rested(&mut pace, cut()).await, Duration::ZERO);
        let soon = rested(&mut pace, Err(Failure::Expired)).await;
        assert!(soon <= Duration::from_secs(1), "{soon:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn watches_that_end_at_once_begin_more_and_more_slowly() {
        let mut pace = Pace::new();
        assert_eq!(rested(&mut pace, cut()).await, Duration::ZERO);
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            longest = longest.max(rested(&mut pace, cut()).await);
        }
        assert!(longest > Duration::from_secs(10), "{longest:?}");
    }
}
