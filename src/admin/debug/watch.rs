//! Changes as they are worked off, as a stream of messages.

use std::sync::Arc;

use futures::Stream;
use futures::stream::{self, StreamExt as _};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{v1, words};
use crate::push::PushRecord;

/// Ends when the process drains. A watcher that reads too slowly is told how much it missed, and goes on.
pub(super) fn changes(
    records: Receiver<Arc<PushRecord>>,
    cancel: CancellationToken,
) -> impl Stream<Item = Result<v1::WatchChangesResponse, Status>> + Send + 'static {
    let messages = stream::unfold(records, |mut records| async move {
        let message = match records.recv().await {
            Ok(record) => message(&record),
            Err(RecvError::Lagged(missed)) => v1::WatchChangesResponse {
                missed,
                ..Default::default()
            },
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(message), records))
    });
    messages.take_until(cancel.cancelled_owned())
}

fn message(record: &PushRecord) -> v1::WatchChangesResponse {
    v1::WatchChangesResponse {
        at: words::time(record.at),
        services: record.services.iter().map(ToString::to_string).collect(),
        networks: record.networks.iter().map(ToString::to_string).collect(),
        views: words::count(record.views),
        resources_changed: words::count(record.resources_changed),
        took_micros: u64::try_from(record.took.as_micros()).unwrap_or(u64::MAX),
        missed: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use tokio::sync::broadcast;

    use super::*;
    use crate::model::{NetworkId, ServiceKey};

    #[tokio::test]
    async fn a_slow_watcher_learns_what_it_missed_and_the_end_comes_with_the_drain() {
        let (sender, receiver) = broadcast::channel(2);
        let cancel = CancellationToken::new();
        let mut watched = Box::pin(changes(receiver, cancel.clone()));
        for views in 0..5 {
            let record = PushRecord {
                at: UNIX_EPOCH,
                services: vec![ServiceKey::new("shop", "web")],
                networks: vec![NetworkId::new("net2").unwrap()],
                views,
                resources_changed: 2,
                took: Duration::from_micros(150),
            };
            sender.send(Arc::new(record)).unwrap();
        }
        let first = watched.next().await.unwrap().unwrap();
        assert_eq!((first.missed, first.views, &*first.at), (3, 0, ""));
        let second = watched.next().await.unwrap().unwrap();
        assert_eq!((second.missed, second.views, second.took_micros), (0, 3, 150));
        assert_eq!(
            (second.services, second.networks),
            (vec!["web.shop".to_owned()], vec!["net2".to_owned()])
        );
        cancel.cancel();
        let end = tokio::time::timeout(Duration::from_secs(5), async {
            while watched.next().await.is_some() {}
        });
        end.await.expect("the stream ends");
    }
}
