//! Changes that wait for the push task: one set that grows until it is taken, bounded by the number of services.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::table::ChangeSet;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// The changes, and when the first of them came.
    pending: Mutex<Option<(ChangeSet, Instant)>>,
    arrived: Notify,
}

impl Inbox {
    pub(super) fn put(&self, changes: ChangeSet) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *pending {
            Some((all, _)) => all.absorb(changes),
            None => *pending = Some((changes, Instant::now())),
        }
        drop(pending);
        self.arrived.notify_one();
    }

    pub(super) async fn take(&self) -> (ChangeSet, Instant) {
        loop {
            if let Some(taken) = self.pending.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return taken;
            }
            // A permit stays when nobody waits yet, so that nothing put in between is missed.
            self.arrived.notified().await;
        }
    }
}
