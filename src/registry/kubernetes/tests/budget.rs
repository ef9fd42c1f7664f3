//! Members that cost more than they may: each is degraded, with the reason shown, and keeps what it had.

use super::*;
use crate::registry::Budget;

impl Running {
    fn with_budget(api: FakeApi, budget: Budget) -> Self {
        let running = Self::start(api);
        running.set_budget(budget);
        running
    }

    fn set_budget(&self, budget: Budget) {
        let options = MemberOptions {
            budget,
            ..MemberOptions::default()
        };
        assert!(self.members.reconfigure(&id("east"), options));
    }
}

fn objects(objects: usize) -> Budget {
    Budget {
        objects,
        ..Budget::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_beyond_the_budget_is_not_taken_until_the_budget_is_raised() {
    for api in [FakeApi::new(), FakeApi::without_streaming()] {
        let running = Running::with_budget(three_nodes(api), objects(3));
        running
            .until_state("more than 3 objects, which is over its budget")
            .await;
        assert!(running.recorder.changes().is_empty());
        running.set_budget(objects(4));
        running.until_synced().await;
        running.has(&["Node n1", "Node n2", "Node n3", "Pod shop/web-1"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_count_too() {
    let bytes = Budget {
        bytes: 300,
        ..Budget::default()
    };
    let running = Running::with_budget(three_nodes(FakeApi::new()), bytes);
    running.until_state("MiB of objects, which is over its budget").await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_grows_beyond_its_budget_keeps_what_it_had_and_comes_back() {
    let running = Running::with_budget(three_nodes(FakeApi::new()), objects(5));
    running.until_synced().await;
    for name in ["n4", "n5", "n6"] {
        running.api.put("nodes", name, empty());
    }
    let stale = until_report(&running.members, "east", "stale", is_stale).await;
    assert!(
        stale.state.to_string().contains("more than 5 objects"),
        "{}",
        stale.state
    );
    let held = running.recorder.names("east");
    assert!(held.len() >= 5, "{held:?}");
    // Relists that are over it again change nothing.
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(running.recorder.names("east"), held);
    for name in ["n4", "n5", "n6"] {
        running.api.delete_silently("nodes", name);
    }
    running.until_synced().await;
    running.has(&["Node n1", "Node n2", "Node n3", "Pod shop/web-1"]).await;
}

#[tokio::test(start_paused = true)]
async fn endless_churn_is_read_at_the_rate_of_the_budget() {
    let rate = Budget {
        events_per_second: 20,
        ..Budget::default()
    };
    let running = Running::with_budget(three_nodes(FakeApi::new()), rate);
    running.until_synced().await;
    let begun = Instant::now();
    for _ in 0..1_000 {
        running.api.put("nodes", "n1", empty());
    }
    running.api.put("nodes", "n4", empty());
    running
        .has(&["Node n1", "Node n2", "Node n3", "Node n4", "Pod shop/web-1"])
        .await;
    // Ten seconds' worth are free.
    let took = begun.elapsed().as_secs();
    assert!((38..50).contains(&took), "{took} s");
    let problems = running.until_problems(1).await;
    assert!(
        problems[0].contains("changed faster than 20 objects a second"),
        "{problems:?}"
    );
    // It calms down.
    tokio::time::sleep(Duration::from_secs(30)).await;
    running.api.put("nodes", "n4", empty());
    running.until_problems(0).await;
}

#[tokio::test(start_paused = true)]
async fn a_line_without_an_end_is_not_read_to_its_end() {
    let api = three_nodes(FakeApi::new());
    let endless = "x".repeat(lines::LONGEST_LINE + 1);
    api.fail_once("nodes", Fault::Says(endless));
    let running = Running::start(api);
    running.until_state("bytes in one piece").await;
    running.until_synced().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_very_many_objects_is_not_all_remembered() {
    let api = three_nodes(FakeApi::new());
    for at in 0..1_500 {
        let wrong = json!({"metadata": {"namespace": "shop"}, "spec": "text"});
        api.put_silently("pods", &format!("wrong-{at}"), wrong);
        let nameless = json!({"metadata": {"namespace": "SHOP"}});
        api.put_silently("services", &format!("nameless-{at}"), nameless);
    }
    let running = Running::synced(api).await;
    let report = running.members.get(&id("east")).unwrap();
    assert!(
        (1_000..=2_000).contains(&report.problem_count),
        "{}",
        report.problem_count
    );
}
