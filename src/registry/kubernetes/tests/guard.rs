//! What is held never shrinks by a mistake of ours or of a server that is not itself.

use super::*;
use crate::model::MemberStanding;
use crate::registry::MemberReport;

/// So many Nodes that most of them missing is worth a second look.
const NODES: usize = 20;
const SECOND_LIST: Duration = Duration::from_secs(5);

fn many_nodes() -> FakeApi {
    let api = FakeApi::new();
    for at in 0..NODES {
        api.put("nodes", &format!("n{at:02}"), empty());
    }
    api
}

impl Running {
    fn nodes(&self) -> usize {
        self.recorder.names("east").len()
    }

    async fn until_nodes(&self, count: usize) {
        let what = format!("{count} Nodes");
        self.recorder
            .until(&what, |recorder| recorder.names("east").len() == count)
            .await;
    }

    /// Waits until so many Nodes are kept that a list left out.
    async fn until_held_back(&self, count: usize) -> MemberReport {
        let what = format!("{count} held back");
        until_report(&self.members, "east", &what, |report| {
            report.kinds[&Kind::Node].held_back == count
        })
        .await
    }

    fn lose(&self, count: usize) {
        for at in 0..count {
            self.api.delete_silently("nodes", &format!("n{at:02}"));
        }
    }

    /// The watch of Nodes has to begin anew, with a list.
    fn relist(&self) {
        self.api.fail_once("nodes", Fault::Status(410, "too old"));
        self.api.cut("nodes");
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_after_a_reconnect_is_held_until_a_second_one_says_the_same() {
    let running = Running::synced(many_nodes()).await;
    running.lose(NODES);
    running.relist();
    let begun = Instant::now();
    let report = running.until_held_back(NODES).await;
    assert_eq!(report.counts[&Kind::Node], NODES);
    assert_eq!(running.nodes(), NODES);
    running.until_nodes(0).await;
    let took = begun.elapsed();
    assert!(took >= SECOND_LIST && took < SECOND_LIST * 2, "{took:?}");
    let report = running.until_held_back(0).await;
    assert_eq!(report.counts[&Kind::Node], 0);
    assert_eq!(report.state, MemberState::Synced);
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_that_a_second_one_takes_back_removes_nothing() {
    let running = Running::synced(many_nodes()).await;
    running.lose(NODES);
    running.relist();
    running.until_held_back(NODES).await;
    for at in 0..NODES - 1 {
        running.api.put_silently("nodes", &format!("n{at:02}"), empty());
    }
    // What the watch says meanwhile counts at once.
    running.api.put("nodes", "new", empty());
    running.until_nodes(NODES + 1).await;
    running.until_held_back(0).await;
    assert_eq!(running.nodes(), NODES, "only what is gone indeed went");
    assert_eq!(running.report_removals(), 0);
}

impl Running {
    /// How often a list took more than one Node away.
    fn report_removals(&self) -> usize {
        let changes = self.recorder.changes();
        let lists = changes.iter().skip(1).filter_map(|change| match change {
            RegistryChange::Replace(lists) => lists.get(&Kind::Node),
            _ => None,
        });
        lists.filter(|nodes| nodes.len() < NODES - 1).count()
    }
}

#[tokio::test(start_paused = true)]
async fn a_few_less_and_whatever_a_watch_says_take_effect_at_once() {
    let running = Running::synced(many_nodes()).await;
    running.lose(NODES / 2);
    running.relist();
    running.until_nodes(NODES / 2).await;
    let begun = Instant::now();
    for at in NODES / 2..NODES {
        running.api.delete("nodes", &format!("n{at:02}"));
    }
    running.until_nodes(0).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(
        running.members.get(&id("east")).unwrap().kinds[&Kind::Node].held_back,
        0
    );
}

/// However few there are: none is not a few less.
#[tokio::test(start_paused = true)]
async fn an_empty_list_of_a_small_member_is_held_too_and_one_of_others_is_not() {
    for nodes in [1, 9] {
        let api = FakeApi::new();
        for at in 0..nodes {
            api.put("nodes", &format!("n{at:02}"), empty());
        }
        let running = Running::synced(api).await;
        running.until_nodes(nodes).await;
        running.lose(nodes);
        running.relist();
        let begun = Instant::now();
        running.until_held_back(nodes).await;
        assert_eq!(running.nodes(), nodes);
        running.until_nodes(0).await;
        let took = begun.elapsed();
        assert!(took >= SECOND_LIST && took < SECOND_LIST * 2, "{took:?}");
        // What is new is there at once, and what is in its place later too.
        running.api.put("nodes", "n90", empty());
        running.until_nodes(1).await;
        running.api.delete_silently("nodes", "n90");
        running.api.put_silently("nodes", "n91", empty());
        running.relist();
        let there = |recorder: &Recorder| recorder.names("east").contains(&"Node n91".to_owned());
        running.recorder.until("the one in its place", there).await;
        assert_eq!(running.recorder.names("east"), ["Node n91"], "the list counts as it is");
        running.until_held_back(0).await;
    }
}

/// An API server with an empty store is not without objects: it makes some itself.
#[tokio::test(start_paused = true)]
async fn a_list_of_what_every_api_server_has_is_held_like_an_empty_one() {
    let api = FakeApi::new();
    api.put("namespaces", "default", empty());
    api.put("namespaces", "shop", empty());
    api.put("services", "kubernetes", json!({"metadata": {"namespace": "default"}}));
    api.put("services", "web", json!({"metadata": {"namespace": "shop"}}));
    let running = Running::synced(api).await;
    let held = [
        "Namespace default",
        "Namespace shop",
        "Service default/kubernetes",
        "Service shop/web",
    ];
    running.has(&held).await;
    for (resource, name) in [("services", "web"), ("namespaces", "shop")] {
        running.api.delete_silently(resource, name);
        running.api.fail_once(resource, Fault::Status(410, "too old"));
        running.api.cut(resource);
    }
    let begun = Instant::now();
    for kind in [Kind::Service, Kind::Namespace] {
        let is_held = |report: &MemberReport| report.kinds[&kind].held_back == 1;
        until_report(&running.members, "east", "one held back", is_held).await;
    }
    running.has(&held).await;
    running.has(&["Namespace default", "Service default/kubernetes"]).await;
    assert!(begun.elapsed() >= SECOND_LIST);
}

#[tokio::test(start_paused = true)]
async fn lists_that_fail_or_end_early_remove_nothing_and_confirm_nothing() {
    let running = Running::synced(many_nodes()).await;
    running.lose(NODES);
    running.relist();
    running.until_held_back(NODES).await;
    // The second list is refused, breaks off, ends early, and is no list at all.
    let half = json!({"type": "ADDED", "object": {"metadata": {"name": "n00", "resourceVersion": "1"}}});
    running.api.fail("nodes", Fault::Status(403, "not any more"));
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(running.nodes(), NODES);
    for fault in [
        Fault::Says(format!("{half}\n")),
        Fault::Says(String::new()),
        Fault::Says("nonsense\n".to_owned()),
        Fault::Status(500, "etcdserver: no leader"),
    ] {
        running.api.fail("nodes", fault.clone());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(running.nodes(), NODES, "{fault:?}");
    }
    running.api.heal();
    running.until_nodes(0).await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_over_does_not_empty_a_member() {
    let running = Running::synced(many_nodes()).await;
    running.task.abort();
    // A kubeconfig that leads to a server without anything.
    let (recorder, members) = (running.recorder.clone(), running.members.clone());
    let other = Running::start_with(FakeApi::new(), recorder, members);
    let report = other.until_held_back(NODES).await;
    assert_eq!((other.nodes(), report.counts[&Kind::Node]), (NODES, NODES));
    for at in 0..NODES {
        other.api.put_silently("nodes", &format!("n{at:02}"), empty());
    }
    other.until_held_back(0).await;
    assert_eq!(other.nodes(), NODES);
    // The same where it is known from before the start.
    let (recorder, members) = (Arc::new(Recorder::default()), Members::default());
    let at = std::time::SystemTime::now();
    members.remember(&id("west"), at, [(Kind::Node, NODES)].into(), MemberStanding::default());
    members.remember(&id("east"), at, [(Kind::Node, NODES)].into(), MemberStanding::default());
    let started = Running::start_with(FakeApi::new(), recorder, members);
    started.until_held_back(NODES).await;
    let begun = Instant::now();
    let removed = started
        .recorder
        .changes()
        .iter()
        .any(|change| matches!(change, RegistryChange::Replace(lists) if lists.contains_key(&Kind::Node)));
    assert!(!removed);
    started.until_held_back(0).await;
    // Also where others were listed later, and only then all of it could be weighed.
    let took = begun.elapsed();
    assert!(took >= SECOND_LIST && took < SECOND_LIST * 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_any_more_keeps_its_earlier_version() {
    let api = FakeApi::new();
    for name in ["web-1", "web-2"] {
        api.put("pods", name, pod());
    }
    let running = Running::synced(api).await;
    let both = ["Pod shop/web-1", "Pod shop/web-2"];
    running.has(&both).await;
    let before = running.recorder.record("east", Kind::Pod, "shop/web-1");
    let broken = || json!({"metadata": {"namespace": "shop"}, "status": "text"});
    running.api.put("pods", "web-1", broken());
    running.until_problems(1).await;
    assert_eq!(running.recorder.record("east", Kind::Pod, "shop/web-1"), before);
    // In a list too; the other one that is gone goes.
    running.api.delete_silently("pods", "web-2");
    running.api.fail_once("pods", Fault::Status(410, "too old"));
    running.api.cut("pods");
    running.has(&both[..1]).await;
    assert_eq!(running.recorder.record("east", Kind::Pod, "shop/web-1"), before);
    running.api.put(
        "pods",
        "web-1",
        json!({"metadata": {"namespace": "shop"}, "status": {"podIP": "10.0.0.9"}}),
    );
    running.until_problems(0).await;
    assert_ne!(running.recorder.record("east", Kind::Pod, "shop/web-1"), before);
    running.api.put("pods", "web-1", broken());
    running.api.delete("pods", "web-1");
    running.has(&[]).await;
}
