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
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            backoff: super::backoff(),
            short_rounds: 0,
        }
    }

    pub(super) async fn rest(&mut self, begun: Instant, result: &Result<(), Failure>) {
        if begun.elapsed() >= HELD {
            self.backoff.reset();
            self.short_rounds = 0;
        }
        self.short_rounds += 1;
        let harmless = matches!(result, Ok(()) | Err(Failure::Expired | Failure::Cut(_)));
        if harmless && self.short_rounds == 1 {
            return;
        }
        tokio::time::sleep(self.backoff.next_delay()).await;
    }
}
