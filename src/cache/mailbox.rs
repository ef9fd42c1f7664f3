//! What changed for one stream since it last looked: names, never content, so that a slow stream costs little and always
//! gets the latest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::lock;
use crate::resources::ResourceType;

/// Names that may have changed, by type.
pub type Changes = BTreeMap<ResourceType, BTreeSet<Arc<str>>>;

/// A set of names that grows until it is taken; it can't be lost or overflow.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    pending: Mutex<Changes>,
    arrived: Notify,
}

impl Mailbox {
    pub(super) fn post(&self, kind: ResourceType, name: &Arc<str>) {
        lock(&self.pending).entry(kind).or_default().insert(Arc::clone(name));
        self.arrived.notify_one();
    }

    /// Waits until there is something, and takes all of it.
    pub(super) async fn take(&self) -> Changes {
        loop {
            let pending = std::mem::take(&mut *lock(&self.pending));
            if !pending.is_empty() {
                return pending;
            }
            // `notify_one` leaves a permit when nobody waits yet, so nothing is missed between the look and the wait.
            self.arrived.notified().await;
        }
    }
}
