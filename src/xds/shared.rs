//! What all streams of a server share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::admission::Admission;
use super::config::XdsConfig;
use super::intake::Intake;
use super::metrics::XdsMetrics;
use super::names::NameBudget;
use super::status::End;
use super::streams::Streams;
use crate::cache::Cache;
use crate::identity::{Gate, Issuer};

/// One of these for a server; each stream holds it.
pub(super) struct Shared {
    pub(super) cache: Arc<Cache>,
    pub(super) config: XdsConfig,
    pub(super) metrics: XdsMetrics,
    pub(super) streams: Arc<Streams>,
    pub(super) drain: CancellationToken,
    pub(super) admission: Arc<Admission>,
    pub(super) names: Arc<NameBudget>,
    pub(super) intake: Arc<Intake>,
    /// Who may attach, and who issues the certificates of those who did; none where identities are not asked for.
    pub(super) identity: Option<(Arc<Gate>, Arc<Issuer>)>,
    ready: Box<dyn Fn() -> bool + Send + Sync>,
    slots: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(
        cache: Arc<Cache>,
        config: XdsConfig,
        metrics: XdsMetrics,
        ready: impl Fn() -> bool + Send + Sync + 'static,
        drain: CancellationToken,
    ) -> Self {
        let slots = config.max_streams.min(Semaphore::MAX_PERMITS);
        Self {
            cache,
            admission: Admission::new(
                config.max_initial_bytes_in_flight,
                config.initial_ack_patience,
                metrics.clone(),
            ),
            names: NameBudget::new(config.max_total_names, metrics.clone()),
            intake: Arc::new(Intake::new(
                config.max_requests_in_flight,
                config.max_request_bytes,
                config.request_patience,
                metrics.clone(),
            )),
            config,
            metrics,
            streams: Arc::default(),
            drain,
            identity: None,
            ready: Box::new(ready),
            slots: Arc::new(Semaphore::new(slots)),
        }
    }

    /// Whether one more stream may be opened; it is one as long as it holds the permit.
    pub(super) fn admit(&self) -> Result<OwnedSemaphorePermit, End> {
        if self.drain.is_cancelled() {
            return Err(End::Draining);
        }
        if !(self.ready)() {
            return Err(End::NotReady);
        }
        let slots = Arc::clone(&self.slots);
        slots.try_acquire_owned().map_err(|_| End::TooManyStreams {
            limit: self.config.max_streams,
        })
    }

    /// Waits until no stream is open.
    pub(super) async fn no_streams(&self) {
        let all = self.config.max_streams.min(Semaphore::MAX_PERMITS);
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        let _slots = self.slots.acquire_many(all).await;
    }
}
