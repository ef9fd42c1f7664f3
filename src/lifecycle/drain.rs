//! Stopping in order: everyone is told once, and the end waits for them, but not for ever.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A drain that has not begun: the one trigger, and the first of its watchers.
#[must_use]
pub fn drain() -> (DrainTrigger, DrainWatcher) {
    let begun = CancellationToken::new();
    let (alive, gone) = mpsc::channel(1);
    (
        DrainTrigger {
            begun: begun.clone(),
            gone,
        },
        DrainWatcher { begun, _alive: alive },
    )
}

/// Begins the drain.
#[derive(Debug)]
pub struct DrainTrigger {
    begun: CancellationToken,
    // Closes when the last watcher is dropped; nothing is ever sent.
    gone: mpsc::Receiver<()>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every watcher was dropped.
    Completely,
    /// Some watcher was still held at the deadline.
    DeadlinePassed,
}

impl DrainTrigger {
    /// Tells every watcher to end. Idempotent.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Begins the drain and waits until every watcher is dropped, at most for `deadline`.
    pub async fn finish(mut self, deadline: Duration) -> Drained {
        self.begin();
        match tokio::time::timeout(deadline, self.gone.recv()).await {
            Ok(_) => Drained::Completely,
            Err(_) => Drained::DeadlinePassed,
        }
    }
}

/// Learns of the drain, and holds its end back until dropped: keep it as long as there is work to finish.
#[derive(Clone, Debug)]
pub struct DrainWatcher {
    begun: CancellationToken,
    _alive: mpsc::Sender<()>,
}

impl DrainWatcher {
    /// Waits until the drain begins; at once where it has. Cancel safe.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Whether the drain has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// A token that is cancelled when the drain begins and does not hold its end back.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.begun.child_token()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_every_watcher() {
        let (trigger, watcher) = drain();
        let token = watcher.token();
        let second = watcher.clone();
        let work = tokio::spawn(async move {
            second.begun().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
        });
        assert!(!watcher.has_begun() && !token.is_cancelled());
        drop(watcher);
        let start = tokio::time::Instant::now();
        assert_eq!(trigger.finish(DEADLINE).await, Drained::Completely);
        assert_eq!(start.elapsed(), Duration::from_secs(3));
        assert!(token.is_cancelled());
        work.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_that_stays_does_not_hold_us_past_the_deadline() {
        let (trigger, watcher) = drain();
        trigger.begin();
        let start = tokio::time::Instant::now();
        assert_eq!(trigger.finish(DEADLINE).await, Drained::DeadlinePassed);
        assert_eq!(start.elapsed(), DEADLINE);
        assert!(watcher.has_begun());
    }

    #[tokio::test(start_paused = true)]
    async fn a_trigger_that_is_dropped_begins_nothing() {
        let (trigger, watcher) = drain();
        drop(trigger);
        assert!(!watcher.has_begun());
    }
}
