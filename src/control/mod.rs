//! What is written back to API servers: the status of `Member` objects, by the one replica that holds a Lease.
//!
//! All replicas serve; only the holder writes. It gives the Lease back when it drains, and the next one takes it; one that dies is
//! followed once the Lease runs out. The holder stops writing so long before that its last word can't come after.

mod election;
mod lease;
mod metrics;
mod status;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::lifecycle::Backoff;
use crate::registry::{MemberSource, Members, connect_to};
use crate::table::EndpointTable;
use lease::LeaseHolder;
pub use metrics::ControlMetrics;
use writer::Writer;

/// Where there is something to write, and who writes.
#[derive(Debug, Clone)]
pub struct Control {
    /// The cluster that lists the members.
    pub source: MemberSource,
    /// The namespace in it.
    pub namespace: String,
    /// Tells this process from all others.
    pub identity: String,
}

/// Writes what becomes of the `Member` objects until cancelled, whenever it is this process's turn. Needs nothing, and asks
/// for nothing, while there are no such objects. Whatever fails is retried for ever and shown in the log and the metrics.
pub async fn run_control(
    control: Control,
    members: Members,
    table: Arc<EndpointTable>,
    metrics: ControlMetrics,
    cancel: CancellationToken,
) {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
    loop {
        let connecting = async {
            loop {
                // Whoever has no such objects gets no Lease either.
                while members.attachments().is_empty() {
                    tokio::time::sleep(writer::TICK).await;
                }
                match connect_to(&control.source).await {
                    Ok(client) => break client,
                    Err(error) => tracing::warn!(%error, "statuses of Members can't be written"),
                }
                tokio::time::sleep(backoff.next_delay()).await;
            }
        };
        let Some(client) = cancel.run_until_cancelled(connecting).await else {
            return;
        };
        let holder = LeaseHolder::new(client.clone(), &control.namespace, &control.identity);
        let writer = Writer::new(
            client,
            &control.namespace,
            members.clone(),
            Arc::clone(&table),
            metrics.clone(),
        );
        if writer.run(holder, &cancel).await.is_break() {
            return;
        }
        if cancel
            .run_until_cancelled(tokio::time::sleep(backoff.next_delay()))
            .await
            .is_none()
        {
            return;
        }
    }
}
