//! What a member's endpoints count, as its options and the time that it is stale have it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::status::MemberStatus;
use super::{MemberOptions, StalePolicy};
use crate::model::{ClusterId, MemberStanding, Rank};
use crate::table::{EventSink, RegistryChange, RegistryEvent};

/// Keeps the table told what a member's endpoints count, and what its network is, for as long as it is polled. The time that a
/// member is stale begins with the last good word of it.
pub(super) async fn keep(name: &ClusterId, status: &MemberStatus, sink: &dyn EventSink) {
    let (mut options, mut stale) = (status.options(), status.stale());
    let apply = |change| {
        sink.apply(RegistryEvent {
            member: name.clone(),
            change,
        });
    };
    let (mut network, mut told) = (None, status.standing());
    status.stands(told);
    loop {
        let now = options.borrow_and_update().clone();
        let since = *stale.borrow_and_update();
        if network.as_ref() != Some(&now.network) {
            apply(RegistryChange::Joined {
                network: now.network.clone(),
            });
            network = Some(now.network.clone());
        }
        let (standing, next) = standing(&now, since.map(|since: Instant| since.elapsed()));
        if told != standing {
            log(name, now.stale, told, standing);
            // First, so that whoever sees the effect finds the reason.
            status.stands(standing);
            apply(RegistryChange::Stands(standing));
            told = standing;
        }
        let due = async {
            match next {
                Some(next) => sleep(next).await,
                None => std::future::pending().await,
            }
        };
        let gone = tokio::select! {
            changed = options.changed() => changed.is_err(),
            changed = stale.changed() => changed.is_err(),
            () = due => false,
        };
        if gone {
            // The member was taken out, which ends its reading too.
            std::future::pending::<()>().await;
        }
    }
}

/// What a member's endpoints count that has been stale for this long, if it is, and how soon that may be otherwise. Pure.
fn standing(options: &MemberOptions, stale: Option<Duration>) -> (MemberStanding, Option<Duration>) {
    let weight = options.weight;
    let (rank, after) = match options.stale {
        StalePolicy::Keep => (Rank::Normal, None),
        StalePolicy::Demote { after } => (Rank::Last, Some(after)),
        StalePolicy::Drop { after } => (Rank::Out, Some(after)),
    };
    let (rank, next) = match (stale, after) {
        (Some(stale), Some(after)) if stale >= after => (rank, None),
        (Some(stale), Some(after)) => (Rank::Normal, Some(after.saturating_sub(stale))),
        _ => (Rank::Normal, None),
    };
    (MemberStanding { weight, rank }, next)
}

fn log(name: &ClusterId, policy: StalePolicy, before: MemberStanding, now: MemberStanding) {
    if before.weight != now.weight {
        tracing::info!(member = %name, weight = %now.weight, "the weight of the member's endpoints");
    }
    match (before.rank, now.rank) {
        (before, now) if before == now => {}
        (_, Rank::Normal) => tracing::info!(member = %name, "member is served again as all others"),
        (_, Rank::Last) => {
            tracing::warn!(member = %name, %policy, "member is stale: it is served only where nothing else is ready");
        }
        (_, Rank::Out) => tracing::warn!(member = %name, %policy, "member is stale: it is not served"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{Recorder, id, until_report};
    use super::super::{MemberSource, Members};
    use super::*;
    use crate::model::MemberWeight;

    const AFTER: Duration = Duration::from_secs(60);

    fn options(stale: StalePolicy) -> MemberOptions {
        MemberOptions {
            stale,
            ..MemberOptions::default()
        }
    }

    #[test]
    fn policies_by_table() {
        let seconds = Duration::from_secs;
        for (policy, stale, rank, next) in [
            (StalePolicy::Keep, Some(seconds(1_000_000)), Rank::Normal, None),
            (StalePolicy::Demote { after: AFTER }, None, Rank::Normal, None),
            (
                StalePolicy::Demote { after: AFTER },
                Some(seconds(20)),
                Rank::Normal,
                Some(seconds(40)),
            ),
            (
                StalePolicy::Demote { after: AFTER },
                Some(seconds(60)),
                Rank::Last,
                None,
            ),
            (
                StalePolicy::Drop { after: AFTER },
                Some(seconds(59)),
                Rank::Normal,
                Some(seconds(1)),
            ),
            (StalePolicy::Drop { after: AFTER }, Some(seconds(61)), Rank::Out, None),
        ] {
            let (standing, due) = standing(&options(policy), stale);
            assert_eq!((standing.rank, due), (rank, next), "{policy} {stale:?}");
        }
    }

    /// What the table was told of the member's standing.
    fn told(recorder: &Recorder) -> Vec<MemberStanding> {
        let changes = recorder.changes().into_iter();
        let standings = changes.filter_map(|change| match change {
            RegistryChange::Stands(standing) => Some(standing),
            _ => None,
        });
        standings.collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_member_is_demoted_in_time_and_back_at_once_and_options_change_live() {
        let (recorder, members) = (Arc::new(Recorder::default()), Members::default());
        let name = id("east");
        let status = members
            .join(
                &name,
                &MemberSource::InCluster,
                options(StalePolicy::Demote { after: AFTER }),
            )
            .unwrap();
        let status = Arc::new(status);
        let keeper = {
            let (name, status, recorder) = (name.clone(), status.clone(), recorder.clone());
            tokio::spawn(async move { keep(&name, &status, &*recorder).await })
        };
        let ranks = |count: usize| {
            let recorder = recorder.clone();
            async move {
                let what = format!("{count} standings");
                recorder.until(&what, |recorder| told(recorder).len() == count).await;
                let last = told(&recorder)[count - 1];
                (last.rank, last.weight.percent())
            }
        };
        status.synced();
        status.confirmed();
        let begun = Instant::now();
        status.failing("no route");
        assert_eq!(ranks(1).await, (Rank::Last, 100));
        let took = begun.elapsed();
        assert!(
            took > AFTER - Duration::from_secs(1) && took <= AFTER + Duration::from_millis(10),
            "{took:?}"
        );
        assert_eq!(members.get(&name).unwrap().standing.rank, Rank::Last);
        status.synced();
        status.confirmed();
        assert_eq!(ranks(2).await, (Rank::Normal, 100));

        // Short of its time nothing happens.
        status.failing("no route");
        tokio::time::sleep(AFTER - Duration::from_secs(2)).await;
        status.synced();
        status.confirmed();
        tokio::time::sleep(AFTER * 2).await;
        assert_eq!(told(&recorder).len(), 2);

        let drained = MemberOptions {
            weight: MemberWeight::DRAINED,
            ..options(StalePolicy::Drop { after: AFTER })
        };
        assert!(members.reconfigure(&name, drained.clone()));
        assert_eq!(ranks(3).await, (Rank::Normal, 0));
        assert!(members.reconfigure(&name, drained), "the same again is nothing new");
        status.failing("no route");
        assert_eq!(ranks(4).await, (Rank::Out, 0));
        assert!(members.reconfigure(&name, options(StalePolicy::Keep)));
        assert_eq!(
            ranks(5).await,
            (Rank::Normal, 100),
            "a policy that is lifted ends at once"
        );
        assert!(!members.reconfigure(&id("nobody"), options(StalePolicy::Keep)));
        keeper.abort();
        until_report(&members, "east", "normal", |report| {
            report.standing.rank == Rank::Normal
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn how_long_we_were_away_is_not_held_against_a_member() {
        let (recorder, members) = (Arc::new(Recorder::default()), Members::default());
        let name = id("east");
        let long_ago = std::time::SystemTime::now() - AFTER * 1000;
        members.remember(
            &name,
            long_ago,
            std::collections::BTreeMap::new(),
            MemberStanding::default(),
        );
        let status = members
            .join(
                &name,
                &MemberSource::InCluster,
                options(StalePolicy::Drop { after: AFTER }),
            )
            .unwrap();
        let keeping = keep(&name, &status, &*recorder);
        assert!(
            tokio::time::timeout(AFTER - Duration::from_secs(1), keeping)
                .await
                .is_err()
        );
        assert_eq!(told(&recorder), []);
        let keeping = keep(&name, &status, &*recorder);
        assert!(tokio::time::timeout(Duration::from_secs(2), keeping).await.is_err());
        assert_eq!(told(&recorder).last().unwrap().rank, Rank::Out);
    }
}
