//! Passes on what members say, and writes it down a little later.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::hosts::{self, RememberedHost};
use super::pending::Pending;
use super::{Database, StoreMetrics};
use crate::lifecycle::Backoff;
use crate::model::{ClusterId, HostName};
use crate::table::{EventSink, RegistryChange, RegistryEvent};

/// What comes within this time is one batch: a write costs a flush of the disk, and half a second of a member's changes is
/// all that a crash may lose.
const BATCH: Duration = Duration::from_millis(500);
/// While writing fails it is tried again this often.
const RETRY: Duration = Duration::from_secs(2);
const RETRY_AT_MOST: Duration = Duration::from_secs(60);

/// Stands between those who read members and the table.
pub struct Recorder {
    next: Arc<dyn EventSink>,
    database: Arc<Database>,
    metrics: StoreMetrics,
    pending: Mutex<Pending>,
    /// What the file knows of host names, or will when all is written that waits.
    hosts: Mutex<BTreeMap<HostName, RememberedHost>>,
    arrived: Notify,
}

impl EventSink for Recorder {
    fn apply(&self, event: RegistryEvent) {
        let mut pending = self.pending();
        pending.add(&event);
        self.metrics.waiting(&pending);
        drop(pending);
        self.arrived.notify_one();
        self.next.apply(event);
    }
}

impl Recorder {
    /// Passes on to `next` and writes to the file.
    #[must_use]
    pub fn new(next: Arc<dyn EventSink>, database: Database, metrics: StoreMetrics) -> Arc<Self> {
        Arc::new(Self {
            next,
            database: Arc::new(database),
            metrics,
            pending: Mutex::default(),
            hosts: Mutex::default(),
            arrived: Notify::new(),
        })
    }

    /// The file knows this of host names.
    pub fn remembers_hosts(&self, hosts: BTreeMap<HostName, RememberedHost>) {
        *self.hosts() = hosts;
    }

    /// All host names that are wanted lead to this, as far as it is known. What else the file has is forgotten.
    pub fn keep_hosts(&self, now: &BTreeMap<HostName, RememberedHost>) {
        let mut written = self.hosts();
        let words = hosts::differences(&mut written, now);
        if words.is_empty() {
            return;
        }
        let mut pending = self.pending();
        pending.hosts.extend(words);
        self.metrics.waiting(&pending);
        drop(pending);
        self.arrived.notify_one();
    }

    /// Forgets what the file has of a member, which is served on: somebody reads it whose words are not written down.
    pub fn forget(&self, member: &ClusterId) {
        let mut pending = self.pending();
        pending.add(&RegistryEvent {
            member: member.clone(),
            change: RegistryChange::Left,
        });
        self.metrics.waiting(&pending);
        drop(pending);
        self.arrived.notify_one();
    }

    /// Writes until cancelled, and then what is left.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut backoff = Backoff::new(RETRY, RETRY_AT_MOST);
        loop {
            let ended = cancel.run_until_cancelled(self.arrived.notified()).await.is_none();
            if !ended {
                // A cancelled wait only makes the batch smaller.
                let _ = cancel.run_until_cancelled(sleep(BATCH)).await;
            }
            let wrote = self.write().await;
            if ended {
                return;
            }
            if wrote {
                backoff.reset();
            } else {
                self.arrived.notify_one();
                let _ = cancel.run_until_cancelled(sleep(backoff.next_delay())).await;
            }
        }
    }

    /// Writes what waits; false when it could not, and waits on.
    async fn write(&self) -> bool {
        let batch = std::mem::take(&mut *self.pending());
        if batch.is_empty() {
            return true;
        }
        let begun = Instant::now();
        let database = Arc::clone(&self.database);
        let written = tokio::task::spawn_blocking(move || {
            let result = database.write(&batch);
            (batch, result)
        });
        match written.await {
            Ok((_, Ok(()))) => {
                if self.metrics.written(begun.elapsed()) {
                    tracing::info!("the last known good is being written again");
                }
                let pending = self.pending();
                self.metrics.waiting(&pending);
                true
            }
            Ok((batch, Err(error))) => {
                self.pending().put_back(batch);
                if !self.metrics.failed() {
                    tracing::error!(%error, "the last known good is kept in memory only");
                }
                false
            }
            Err(panic) => {
                tracing::error!(%panic, "a batch of the last known good is lost");
                self.metrics.failed();
                false
            }
        }
    }

    fn hosts(&self) -> std::sync::MutexGuard<'_, BTreeMap<HostName, RememberedHost>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}
