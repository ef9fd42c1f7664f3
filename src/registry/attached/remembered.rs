//! Members that are served as they were known before the start grow old too, though nobody reads them yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::sleep;

use super::super::{Members, StalePolicy};
use super::handover::{Gate, Turn};
use crate::model::{ClusterId, Rank};
use crate::table::{EventSink, RegistryChange, RegistryEvent};

/// The turns of members that nobody reads yet; closed when somebody else speaks for one.
pub(super) fn turns(known: &BTreeSet<ClusterId>) -> BTreeMap<ClusterId, Turn> {
    known.iter().map(|name| (name.clone(), Turn::new(0))).collect()
}

/// Has the endpoints of members that nobody reads count what the policy says once it is time. How long we were away is not held
/// against them.
pub(super) async fn age(
    turns: BTreeMap<ClusterId, Turn>,
    policy: StalePolicy,
    sink: Arc<dyn EventSink>,
    members: Members,
) {
    let (rank, after) = match policy {
        StalePolicy::Keep => return,
        StalePolicy::Demote { after } => (Rank::Last, after),
        StalePolicy::Drop { after } => (Rank::Out, after),
    };
    sleep(after).await;
    for (name, turn) in turns {
        let gate = Gate {
            inner: Arc::clone(&sink),
            turn,
            reader: 0,
        };
        if let Some(standing) = members.remembered_stands(&name, rank) {
            tracing::warn!(member = %name, %policy, "member is stale: nobody has read it since the start");
            gate.apply(RegistryEvent {
                member: name,
                change: RegistryChange::Stands(standing),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::super::testing::{Recorder, id};
    use super::super::super::{MemberOptions, MemberSource};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_only_remembered_is_shown_and_grows_old_until_somebody_reads_it() {
        let (sink, members) = (Arc::new(Recorder::default()), Members::default());
        for name in ["read", "lost"] {
            members.remember(&id(name), SystemTime::now(), BTreeMap::new(), Default::default());
        }
        let _status = members.join(&id("read"), &MemberSource::InCluster, MemberOptions::default());
        let shown: Vec<_> = members.list().iter().map(|report| report.source.to_string()).collect();
        assert_eq!(shown, ["last known good", "in-cluster"]);
        let policy = StalePolicy::Drop {
            after: Duration::from_secs(60),
        };
        let turns = turns(&BTreeSet::from([id("read"), id("lost")]));
        let aging = age(turns, policy, Arc::clone(&sink) as Arc<dyn EventSink>, members.clone());
        aging.await;
        assert_eq!(sink.changes().len(), 1);
        assert_eq!(members.list()[0].standing.rank, Rank::Out);
        assert_eq!(members.list()[1].standing.rank, Rank::Normal);
        members.forget_remembered(&id("lost"), || {});
        assert_eq!(members.list().len(), 1);
    }
}
