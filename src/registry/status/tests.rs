//! What becomes of a member's status.

use super::*;
use prometheus_client::registry::Registry;

fn members() -> (Members, MemberStatus, Registry) {
    let mut registry = Registry::default();
    let members = Members::new(RegistryMetrics::register(&mut registry));
    let status = members.join(
        &ClusterId::new("east").unwrap(),
        &MemberSource::InCluster,
        MemberOptions::default(),
    );
    (members, status.unwrap(), registry)
}

fn report(members: &Members) -> MemberReport {
    members.list().remove(0)
}

#[test]
fn a_member_is_connecting_then_synced_then_stale_and_since_does_not_move() {
    let (members, status, _) = members();
    let MemberState::Connecting { since, .. } = report(&members).state else {
        panic!("{:?}", report(&members).state);
    };
    status.failing("no route");
    let reason = "no route".to_owned();
    assert_eq!(report(&members).state, MemberState::Connecting { since, reason });
    status.synced();
    assert_eq!(
        (report(&members).state, report(&members).synced_once),
        (MemberState::Synced, true)
    );
    status.failing("no route");
    let stale = report(&members).state;
    let MemberState::Stale { since, .. } = stale else {
        panic!("{stale:?}");
    };
    status.failing("still none");
    let reason = "still none".to_owned();
    assert_eq!(report(&members).state, MemberState::Stale { since, reason });
    assert!(report(&members).synced_once);
}

#[test]
fn problems_are_bounded_counted_and_end_with_their_cause() {
    let (members, status, _) = members();
    let topic = |at: usize| Topic::Object(Kind::Pod, ObjectName::new("shop", &format!("p{at}")));
    let problem = Problem::new("Pod", "is wrong", "correct it");
    for at in 0..150 {
        status.problems(topic(at), vec![problem.clone(); 2]);
    }
    assert_eq!(
        (report(&members).problems.len(), report(&members).problem_count),
        (100, 300)
    );
    status.problems(topic(0), vec![problem.clone()]);
    status.problems(topic(1), Vec::new());
    assert_eq!(report(&members).problem_count, 297);
    status.problems(Topic::Nameless(Kind::Node), vec![problem]);
    status.forget_problems(Kind::Pod, &BTreeSet::from([topic(5)]));
    assert_eq!(report(&members).problem_count, 3);
}

#[test]
fn metrics_follow_the_status() {
    let (_members, status, registry) = members();
    status.told(Kind::Pod, 7);
    status.holds(Kind::Pod, 5);
    status.count_failure();
    status.synced();
    status.problems(Topic::Folder, vec![Problem::new("a", "b", "c")]);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "registry_events_total{member=\"east\",kind=\"Pod\"} 7",
        "registry_objects{member=\"east\",kind=\"Pod\"} 5",
        "registry_failures_total{member=\"east\"} 1",
        "registry_synced{member=\"east\"} 1",
        "registry_problems{member=\"east\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn whoever_waits_for_a_member_is_told_once_it_is_synced() {
    let (members, status, _) = members();
    let name = ClusterId::new("east").unwrap();
    let mut waiting = std::pin::pin!(members.wait_synced(&name));
    assert!(futures::poll!(waiting.as_mut()).is_pending());
    status.synced();
    waiting.await;
    members.wait_synced(&name).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_out_of_reach_is_waited_for_a_moment_and_one_that_is_read_for_longer() {
    let (members, status, _) = members();
    let name = ClusterId::new("east").unwrap();
    let begun = Instant::now();
    status.reached(false);
    assert_eq!(members.wait_settled(&name).await, Settled::Unreached);
    assert_eq!(begun.elapsed(), GIVE_UP);
    // It failed at first and is being read now.
    status.reached(true);
    let mut waiting = std::pin::pin!(members.wait_settled(&name));
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting.as_mut()).await;
    assert!(waited.is_err(), "{waited:?}");
    status.synced();
    assert_eq!(waiting.await, Settled::Synced);
}

/// The wall clock of the test stands still, and may be set to another time: it decides nothing.
#[tokio::test(start_paused = true)]
async fn how_long_a_member_is_stale_goes_by_the_clock_that_goes_on_evenly() {
    let (_members, status, _) = members();
    status.synced();
    let good = Instant::now();
    tokio::time::advance(Duration::from_secs(60)).await;
    status.failing("no route");
    assert_eq!(*status.stale().borrow(), Some(good));
    status.synced();
    status.confirmed();
    let good = Instant::now();
    tokio::time::advance(Duration::from_secs(5)).await;
    status.failing("no route");
    assert_eq!(*status.stale().borrow(), Some(good));
}

#[test]
fn what_is_said_of_a_member_that_left_is_shown_nowhere() {
    let (members, status, registry) = members();
    status.synced();
    members.leave(&ClusterId::new("east").unwrap());
    let kind = Kind::Pod;
    status.synced();
    status.failing("no route");
    status.reached(false);
    status.over_budget(true);
    status.throttled(Duration::from_secs(1));
    status.count_failure();
    status.confirmed();
    status.heartbeat(Duration::from_secs(1));
    status.stands(MemberStanding::default());
    status.catching_up(kind);
    status.connected(kind);
    status.holds_back(kind, 1);
    status.told(kind, 1);
    status.listed(kind);
    status.holds(kind, 1);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(!text.contains("east"), "{text}");
    assert!(members.inner.synced.borrow().is_empty());
    assert!(members.inner.unreached.borrow().is_empty());
}
