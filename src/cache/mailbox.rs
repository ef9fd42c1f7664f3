//! What changed for one stream since it last looked: names, never content, so that a slow stream costs little and always
//! gets the latest.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures::task::AtomicWaker;

use super::lock;
use crate::resources::ResourceType;

/// Names that may have changed, by type.
pub type Changes = BTreeMap<ResourceType, BTreeSet<Arc<str>>>;

/// A set of names that grows until it is taken; it can't be lost or overflow.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    pending: Mutex<Changes>,
    /// Of the one who takes: the stream.
    reader: AtomicWaker,
}

impl Mailbox {
    pub(super) fn post(&self, kind: ResourceType, name: &Arc<str>) {
        lock(&self.pending).entry(kind).or_default().insert(Arc::clone(name));
        self.reader.wake();
    }

    /// Waits until there is something, and takes all of it. Safe to drop and call again; one waits at a time.
    pub(super) async fn take(&self) -> Changes {
        poll_fn(|context| {
            // Before the look, so that nothing is missed between the look and the wait.
            self.reader.register(context.waker());
            let pending = std::mem::take(&mut *lock(&self.pending));
            if pending.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(pending)
            }
        })
        .await
    }
}
