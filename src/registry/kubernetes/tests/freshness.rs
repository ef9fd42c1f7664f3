//! How soon it is noticed that what is known of a member is old. Time is paused: waits take none, and are measured exactly.

use super::super::fake::HEARTBEAT;
use super::*;
use crate::registry::{KindState, MemberReport};

/// What the page on members promises.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);

impl Running {
    /// How long it takes until the member is shown as stale, with this reason.
    async fn noticed(&self, reason: &str) -> Duration {
        let begun = Instant::now();
        self.until_state("stale: ").await;
        let took = begun.elapsed();
        self.until_state(reason).await;
        took
    }

    fn report(&self) -> MemberReport {
        self.members.get(&id("east")).unwrap()
    }

    fn fail_all(&self, fault: &Fault) {
        for resource in RESOURCES.into_iter().chain([HEARTBEAT]) {
            self.api.fail(resource, fault.clone());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_at_rest_stays_fresh_and_is_never_listed_again() {
    let running = Running::synced(three_nodes(FakeApi::new())).await;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(running.report().state, MemberState::Synced);
    }
    let report = running.report();
    assert!(
        Kind::CORE
            .iter()
            .all(|kind| report.kinds[kind].state == KindState::Connected),
        "{report:?}"
    );
    assert!(report.heartbeat.is_some() && report.confirmed.is_some());
    for resource in RESOURCES {
        let requests = running.api.requests(resource);
        assert_eq!(requests[0], "stream", "{resource}");
        assert!(requests[1..].iter().all(|request| request == "watch"), "{requests:?}");
        assert!((24..32).contains(&requests.len()), "{} in 10 minutes", requests.len());
    }
    let heartbeats = running.api.requests(HEARTBEAT).len();
    assert!((48..78).contains(&heartbeats), "{heartbeats} in 10 minutes");
    assert_eq!(running.replacements().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_is_noticed_and_one_that_wakes_up_too() {
    let running = Running::synced(three_nodes(FakeApi::new())).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    running.api.silence();
    running.fail_all(&Fault::Hangs);
    let took = running.noticed("does not answer a request for one namespace").await;
    assert!(took <= NOTICED_WITHIN, "{took:?}");
    tokio::time::sleep(Duration::from_secs(600)).await;
    let report = running.report();
    assert!(is_stale(&report));
    for (kind, report) in &report.kinds {
        assert!(!matches!(report.state, KindState::Connected), "{kind} is {report:?}");
    }
    running.has(&["Node n1", "Node n2", "Node n3", "Pod shop/web-1"]).await;
    running.api.delete_silently("nodes", "n1");
    running.api.heal();
    let begun = Instant::now();
    running.until_synced().await;
    running.has(&["Node n2", "Node n3", "Pod shop/web-1"]).await;
    let took = begun.elapsed();
    assert!(took <= Duration::from_secs(30), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_single_watch_that_falls_silent_is_noticed_while_all_else_is_well() {
    let running = Running::synced(three_nodes(FakeApi::new())).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    running.api.fail("nodes", Fault::Hangs);
    running.api.silence_one("nodes");
    let took = running.noticed("watch of nodes is silent").await;
    assert!(took <= NOTICED_WITHIN, "{took:?}");
    let report = running.report();
    assert!(matches!(report.kinds[&Kind::Node].state, KindState::Stale { .. }));
    assert_eq!(report.kinds[&Kind::Pod].state, KindState::Connected);
    running.api.heal();
    running.until_synced().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_etcd_is_dead_is_stale_though_its_watches_live() {
    let running = Running::synced(three_nodes(FakeApi::new())).await;
    running.api.fail(HEARTBEAT, Fault::Hangs);
    let took = running.noticed("one namespace, from its etcd").await;
    assert!(took <= NOTICED_WITHIN, "{took:?}");
    // It lasts, and nothing is made anew for it: the watches are well.
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(is_stale(&running.report()));
    assert_eq!(running.clients.load(Ordering::SeqCst), 1);
    let confirmed = running.report().confirmed;
    running.api.heal();
    let begun = Instant::now();
    running.until_synced().await;
    let took = begun.elapsed();
    assert!(took <= Duration::from_secs(12), "{took:?}");
    assert!(running.report().confirmed > confirmed);
    assert_eq!(running.replacements().len(), 1, "nothing is listed again");
}

#[tokio::test(start_paused = true)]
async fn one_failed_heartbeat_is_no_failure() {
    let running = Running::synced(three_nodes(FakeApi::new())).await;
    for _ in 0..5 {
        let before = running.api.requests(HEARTBEAT).len();
        running.api.fail_once(HEARTBEAT, Fault::Status(500, "too busy"));
        until_report(&running.members, "east", "two heartbeats", |report| {
            assert_eq!(report.state, MemberState::Synced);
            running.api.requests(HEARTBEAT).len() == before + 2
        })
        .await;
    }
    running.api.fail(HEARTBEAT, Fault::Status(403, "not you"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(running.report().state, MemberState::Synced, "that is an answer");
    running
        .api
        .fail(HEARTBEAT, Fault::Status(500, "etcdserver: request timed out"));
    running.noticed("etcdserver: request timed out").await;
}
