//! Ready when nobody has a reason against it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

/// Counts the reasons against being ready; clones share them.
///
/// With no reason left it is ready, so whoever starts parts of the program takes a block for itself first and lets go of it
/// when every part has taken its own.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    reasons: Arc<watch::Sender<Reasons>>,
}

#[derive(Debug, Default)]
struct Reasons {
    next: u64,
    // By order of arrival: the list that people see does not jump.
    open: BTreeMap<u64, String>,
}

impl Readiness {
    /// No reasons yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Not ready until the guard is dropped, because of `reason`: what is waited for, such as `member east`.
    pub fn block(&self, reason: impl Into<String>) -> BlockReady {
        let mut id = 0;
        self.reasons.send_modify(|reasons| {
            id = reasons.next;
            reasons.next += 1;
            reasons.open.insert(id, reason.into());
        });
        BlockReady {
            reasons: Arc::clone(&self.reasons),
            id,
        }
    }

    /// Whether nothing is waited for.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.reasons.borrow().open.is_empty()
    }

    /// What is still waited for, oldest first.
    #[must_use]
    pub fn pending(&self) -> Vec<String> {
        self.reasons.borrow().open.values().cloned().collect()
    }

    /// Waits, without a limit of its own, until nothing is waited for. Cancel safe.
    pub async fn ready(&self) {
        let mut changes = self.reasons.subscribe();
        // The sender lives in `self`, so the only way out of the wait is being ready.
        let _ = changes.wait_for(|reasons| reasons.open.is_empty()).await;
    }

    /// Waits, without a limit of its own, until nothing but `reason` is waited for. Cancel safe.
    pub async fn only(&self, reason: &str) {
        let mut changes = self.reasons.subscribe();
        let only = |reasons: &Reasons| reasons.open.values().all(|open| open == reason);
        // As above.
        let _ = changes.wait_for(only).await;
    }
}

/// A reason against being ready, until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it says that what was waited for is there"]
pub struct BlockReady {
    reasons: Arc<watch::Sender<Reasons>>,
    id: u64,
}

impl Drop for BlockReady {
    fn drop(&mut self) {
        self.reasons.send_modify(|reasons| {
            reasons.open.remove(&self.id);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ready_when_the_last_block_is_gone() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        let west = readiness.block("member west");
        let east = readiness.block("member east");
        assert_eq!(readiness.pending(), ["member west", "member east"]);

        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.ready().await }
        });
        assert!(futures::poll!(std::pin::pin!(readiness.only("member east"))).is_pending());
        drop(west);
        assert_eq!(readiness.pending(), ["member east"]);
        readiness.only("member east").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished() && !readiness.is_ready());
        drop(east);
        tokio::time::timeout(Duration::from_secs(1), waiting)
            .await
            .unwrap()
            .unwrap();
        assert!(readiness.is_ready());
        readiness.ready().await;
    }
}
