//! What an API server may do to us, with an API server that does it on demand. Time is paused: waits take no time.

mod budget;
mod freshness;
mod guard;
mod optional;
mod scope;

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::super::testing::{Recorder, id, is_stale, until_report};
use super::super::{MemberOptions, MemberState, Members};
use super::fake::{FakeApi, Fault};
use super::*;
use crate::table::{Kind, RegistryChange};

const RESOURCES: [&str; 5] = ["namespaces", "nodes", "services", "endpointslices", "pods"];

struct Running {
    api: FakeApi,
    recorder: Arc<Recorder>,
    members: Members,
    clients: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    fn start(api: FakeApi) -> Self {
        Self::start_with(api, Arc::default(), Members::default())
    }

    /// Reads on where another reader, or the time before the start, left off.
    fn start_with(api: FakeApi, recorder: Arc<Recorder>, members: Members) -> Self {
        Self::start_as(api, recorder, members, MemberOptions::default())
    }

    fn start_as(api: FakeApi, recorder: Arc<Recorder>, members: Members, options: MemberOptions) -> Self {
        let clients = Arc::new(AtomicUsize::new(0));
        let status = members
            .join(&id("east"), &MemberSource::InCluster, options.clone())
            .unwrap_or_else(|| members.join_again(&id("east"), &MemberSource::InCluster, options));
        let (sink, made, connect_to) = (recorder.clone(), clients.clone(), api.clone());
        let task = tokio::spawn(async move {
            let connect = || {
                made.fetch_add(1, Ordering::SeqCst);
                let client = connect_to.client();
                async { Ok(client) }
            };
            read(&id("east"), connect, &*sink, &status).await;
        });
        Self {
            api,
            recorder,
            members,
            clients,
            task,
        }
    }

    async fn synced(api: FakeApi) -> Self {
        let running = Self::start(api);
        running.until_synced().await;
        running
    }

    async fn until_synced(&self) {
        until_report(&self.members, "east", "synced", |report| {
            report.state == MemberState::Synced
        })
        .await;
    }

    async fn until_state(&self, text: &str) {
        until_report(&self.members, "east", text, |report| {
            report.state.to_string().contains(text)
        })
        .await;
    }

    async fn until_problems(&self, count: usize) -> Vec<String> {
        let what = format!("{count} problems");
        let report = until_report(&self.members, "east", &what, |report| report.problem_count == count).await;
        report.problems.iter().map(ToString::to_string).collect()
    }

    async fn has(&self, names: &[&str]) {
        self.recorder.until_names("east", names).await;
    }

    /// The kinds of all replacements so far.
    fn replacements(&self) -> Vec<Vec<Kind>> {
        let changes = self.recorder.changes();
        let kinds = changes.iter().filter_map(|change| match change {
            RegistryChange::Replace(lists) => Some(lists.keys().copied().collect()),
            _ => None,
        });
        kinds.collect()
    }
}

fn pod() -> Value {
    json!({"metadata": {"namespace": "shop"}, "status": {"podIP": "10.0.0.1"}})
}

fn empty() -> Value {
    json!({})
}

fn three_nodes(api: FakeApi) -> FakeApi {
    for name in ["n1", "n2", "n3"] {
        api.put("nodes", name, empty());
    }
    api.put("pods", "web-1", pod());
    api
}

#[tokio::test(start_paused = true)]
async fn everything_is_told_at_once_and_then_each_change() {
    let running = Running::synced(three_nodes(FakeApi::new())).await;
    running.has(&["Node n1", "Node n2", "Node n3", "Pod shop/web-1"]).await;
    assert_eq!(running.replacements(), [Kind::CORE.to_vec()]);
    for resource in RESOURCES {
        assert_eq!(running.api.requests(resource), ["stream"]);
    }
    running.api.put("pods", "web-2", pod());
    running.api.delete("pods", "web-1");
    running.api.delete("nodes", "n2");
    running.has(&["Node n1", "Node n3", "Pod shop/web-2"]).await;
    assert_eq!(running.replacements().len(), 1, "changes are told one by one");
    // A pod that is over is as good as gone.
    let over = json!({"metadata": {"namespace": "shop"}, "status": {"phase": "Succeeded"}});
    running.api.put("pods", "web-2", over);
    running.has(&["Node n1", "Node n3"]).await;
    let report = until_report(&running.members, "east", "version", |report| {
        report.server_version.is_some()
    })
    .await;
    assert_eq!(report.server_version.as_deref(), Some("v1.99.0"));
    assert_eq!((report.counts[&Kind::Node], report.counts[&Kind::Pod]), (2, 0));
    assert_eq!(report.events_total, 8);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_stream_lists_is_read_in_pages() {
    let running = Running::synced(three_nodes(FakeApi::without_streaming())).await;
    running.has(&["Node n1", "Node n2", "Node n3", "Pod shop/web-1"]).await;
    assert_eq!(running.replacements(), [Kind::CORE.to_vec()], "pages are put together");
    assert_eq!(running.api.requests("nodes")[..3], ["stream", "list", "list"]);
    running.api.put("nodes", "n4", empty());
    running
        .has(&["Node n1", "Node n2", "Node n3", "Node n4", "Pod shop/web-1"])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_off_is_not_told() {
    let api = three_nodes(FakeApi::new());
    let half = json!({"type": "ADDED", "object": {"metadata": {"name": "ghost", "resourceVersion": "1"}}});
    api.fail_once("nodes", Fault::Says(format!("{half}\n")));
    let running = Running::synced(api).await;
    running.has(&["Node n1", "Node n2", "Node n3", "Pod shop/web-1"]).await;
    assert_eq!(running.replacements(), [Kind::CORE.to_vec()]);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_gone_leads_to_a_list_of_that_kind() {
    let gone = "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"message\":\"too old\",\"reason\":\"Expired\"}}\n";
    let running = Running::synced(three_nodes(FakeApi::new())).await;
    running.api.delete_silently("nodes", "n1");
    running.api.put_silently("nodes", "n4", empty());
    running.api.say("nodes", gone);
    running.has(&["Node n2", "Node n3", "Node n4", "Pod shop/web-1"]).await;
    assert_eq!(running.replacements()[1..], [[Kind::Node]]);
    // The same as the answer to a request for a watch.
    running.api.delete_silently("nodes", "n2");
    running.api.fail_once("nodes", Fault::Status(410, "too old"));
    running.api.cut("nodes");
    running.has(&["Node n3", "Node n4", "Pod shop/web-1"]).await;
    assert_eq!(running.replacements()[2..], [[Kind::Node]]);
    assert_eq!(running.api.requests("pods"), ["stream"], "other kinds are left alone");
    let state = running.members.get(&id("east")).unwrap().state;
    assert_eq!(state, MemberState::Synced, "this is no failure");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_cut_goes_on_where_it_was() {
    let running = Running::synced(three_nodes(FakeApi::new())).await;
    running.api.cut("nodes");
    until_report(&running.members, "east", "a new watch", |_| {
        running.api.requests("nodes").len() == 2
    })
    .await;
    assert_eq!(running.api.requests("nodes"), ["stream", "watch"]);
    running.api.put("nodes", "n4", empty());
    running
        .has(&["Node n1", "Node n2", "Node n3", "Node n4", "Pod shop/web-1"])
        .await;
    assert_eq!(running.replacements().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_silent_is_made_anew() {
    let running = Running::synced(three_nodes(FakeApi::new())).await;
    running.api.silence();
    tokio::time::sleep(Duration::from_secs(24)).await;
    for resource in RESOURCES {
        assert_eq!(running.api.requests(resource), ["stream", "watch"]);
    }
    tokio::time::sleep(Duration::from_secs(28)).await;
    for resource in RESOURCES {
        assert_eq!(running.api.requests(resource), ["stream", "watch", "watch"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_each_watch_is_not_asked_without_pause() {
    let api = three_nodes(FakeApi::new());
    let running = Running::synced(api).await;
    running.api.fail("nodes", Fault::Says(String::new()));
    running.api.cut("nodes");
    tokio::time::sleep(Duration::from_secs(300)).await;
    let requests = running.api.requests("nodes").len();
    assert!((8..60).contains(&requests), "{requests} requests in 5 minutes");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_leads_to_a_list() {
    let running = Running::synced(three_nodes(FakeApi::new())).await;
    running.api.delete_silently("nodes", "n1");
    running.api.say("nodes", "{\"type\": \"NONSENSE\", \"object\": []}\n");
    running.has(&["Node n2", "Node n3", "Pod shop/web-1"]).await;
    running.until_synced().await;
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_forbidden_is_told_with_the_remedy() {
    let api = three_nodes(FakeApi::new());
    for resource in ["endpointslices", "pods"] {
        api.fail(resource, Fault::Status(403, "User \"x\" cannot watch"));
    }
    let running = Running::start(api);
    running
        .until_state("forbids us to read endpointslices, pods: User \"x\" cannot watch")
        .await;
    running.until_state("allow this account the verbs list and watch").await;
    assert!(running.recorder.changes().is_empty(), "the rest is held back");
    running.api.heal();
    running.until_synced().await;
    assert_eq!(running.replacements(), [Kind::CORE.to_vec()]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_makes_no_sense_costs_itself_only() {
    let api = three_nodes(FakeApi::new());
    api.put(
        "pods",
        "web-2",
        json!({"metadata": {"namespace": "shop"}, "spec": "text"}),
    );
    api.put("pods", "Bad Name", json!({"metadata": {"namespace": "shop"}}));
    let running = Running::synced(api).await;
    running.has(&["Node n1", "Node n2", "Node n3", "Pod shop/web-1"]).await;
    let problems = running.until_problems(2).await;
    assert!(
        problems[0].contains("Pod shop/web-2: spec can't be read"),
        "{problems:?}"
    );
    // It gets well; another one gets ill, and goes.
    running.api.put("pods", "web-2", pod());
    running
        .has(&["Node n1", "Node n2", "Node n3", "Pod shop/web-1", "Pod shop/web-2"])
        .await;
    running.until_problems(1).await;
    running.api.put(
        "pods",
        "web-1",
        json!({"metadata": {"namespace": "shop", "labels": {"topology.istio.io/network": "?"}}}),
    );
    running.has(&["Node n1", "Node n2", "Node n3", "Pod shop/web-2"]).await;
    running.until_problems(2).await;
    running.api.delete("pods", "web-1");
    running.until_problems(1).await;
    running.api.delete("pods", "Bad Name");
    running.until_problems(0).await;
    assert_eq!(running.members.get(&id("east")).unwrap().state, MemberState::Synced);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_not_there_is_waited_for_and_one_that_goes_is_kept() {
    let api = three_nodes(FakeApi::new());
    for resource in RESOURCES {
        api.fail(resource, Fault::Refused);
    }
    let running = Running::start(api);
    running
        .until_state("connecting: the API server can't be reached: ")
        .await;
    running.until_state("connection refused by the test").await;
    running.api.heal();
    running.until_synced().await;
    let all = ["Node n1", "Node n2", "Node n3", "Pod shop/web-1"];
    running.has(&all).await;

    let told = running.recorder.changes().len();
    for resource in RESOURCES {
        running.api.fail(resource, Fault::Refused);
        running.api.cut(resource);
    }
    let report = until_report(&running.members, "east", "stale", is_stale).await;
    assert!(report.synced_once);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(
        running.recorder.changes().len(),
        told,
        "nothing is told while it is gone"
    );
    assert!(
        running.clients.load(Ordering::SeqCst) > 1,
        "its address is looked up again"
    );
    running.api.delete_silently("nodes", "n1");
    running.api.heal();
    running.has(&all[1..]).await;
    running.until_synced().await;
}

#[tokio::test(start_paused = true)]
async fn credentials_that_ran_out_lead_to_a_new_client() {
    let running = Running::synced(three_nodes(FakeApi::new())).await;
    assert_eq!(running.clients.load(Ordering::SeqCst), 1);
    running.api.fail_once("nodes", Fault::Status(401, "token has expired"));
    running.api.cut("nodes");
    until_report(&running.members, "east", "a second client", |_| {
        running.clients.load(Ordering::SeqCst) == 2
    })
    .await;
    running.until_synced().await;
    running.has(&["Node n1", "Node n2", "Node n3", "Pod shop/web-1"]).await;
}

#[tokio::test]
async fn a_kubeconfig_that_is_of_no_use_is_told_and_keeps_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let source = |path: &std::path::Path| MemberSource::Kubernetes {
        kubeconfig: Some(path.to_owned()),
        context: Some("east".to_owned()),
    };
    for (text, expected) in [
        (None, "failed to read kubeconfig"),
        (
            Some("apiVersion: v1\nkind: Config\nusers: [{name: a, user: {token: [s3cret]}}]\n"),
            "it is not valid at line 3",
        ),
        (Some("apiVersion: v1\nkind: Config\nusers: s3cret\n"), "it is not valid"),
        (
            Some("apiVersion: v1\nkind: Config\n"),
            "failed to load current context: east",
        ),
    ] {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let failure = client::connect(&source(&path)).await.err().unwrap().to_string();
        assert!(failure.contains(expected), "{failure}");
        assert!(!failure.contains("s3cret"), "{failure}");
    }
}
