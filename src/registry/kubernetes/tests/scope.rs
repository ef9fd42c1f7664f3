//! Members of which some namespaces are read, and what we are not allowed to read.

use super::*;
use crate::registry::KindState;

const OBJECTS: usize = 12;

fn options(namespaces: &[&str]) -> MemberOptions {
    MemberOptions {
        namespaces: namespaces.iter().map(|name| (*name).into()).collect(),
        system_namespace: Some("istio-system".into()),
        ..MemberOptions::default()
    }
}

/// Many pods in each of three namespaces.
fn three_namespaces(api: FakeApi) -> FakeApi {
    for namespace in ["cart", "other", "shop"] {
        for at in 0..OBJECTS {
            let pod = json!({"metadata": {"namespace": namespace}, "status": {"podIP": "10.0.0.1"}});
            api.put("pods", &format!("{namespace}-{at}"), pod);
        }
    }
    api.put("namespaces", "istio-system", empty());
    api.put("namespaces", "other", empty());
    api.put("nodes", "n1", empty());
    api
}

async fn start(api: FakeApi, namespaces: &[&str]) -> Running {
    let running = Running::start_as(api, Arc::default(), Members::default(), options(namespaces));
    running.until_synced().await;
    running
}

impl Running {
    /// How many pods are held in each namespace.
    async fn has_pods(&self, cart: usize, other: usize, shop: usize) {
        let expected = [("cart", cart), ("other", other), ("shop", shop)];
        let held = |recorder: &Recorder| {
            let names = recorder.names("east");
            let of = |namespace: &str| {
                names
                    .iter()
                    .filter(|name| name.starts_with(&format!("Pod {namespace}/")))
                    .count()
            };
            expected.map(|(namespace, _)| (namespace, of(namespace)))
        };
        self.recorder
            .until(&format!("{expected:?}"), |recorder| held(recorder) == expected)
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_namespaces_that_are_not_asked_for_nothing_is_asked() {
    for streaming in [true, false] {
        let api = if streaming {
            FakeApi::new()
        } else {
            FakeApi::without_streaming()
        };
        let running = start(three_namespaces(api), &["cart", "shop"]).await;
        running.has_pods(OBJECTS, 0, OBJECTS).await;
        assert!(
            running
                .recorder
                .names("east")
                .contains(&"Namespace istio-system".to_owned())
        );
        for resource in ["namespaces", "services", "endpointslices", "pods"] {
            assert_eq!(running.api.requests(resource), Vec::<String>::new(), "{resource}");
        }
        // What changes arrives, from the one and from the other.
        for namespace in ["cart", "other", "shop"] {
            running
                .api
                .put("pods", "late", json!({"metadata": {"namespace": namespace}}));
        }
        running.has_pods(OBJECTS + 1, 0, OBJECTS + 1).await;
        running.api.delete("pods", "cart-1");
        running.has_pods(OBJECTS, 0, OBJECTS + 1).await;
        // It stays fresh, and nothing is listed again.
        tokio::time::sleep(Duration::from_secs(300)).await;
        let report = running.members.get(&id("east")).unwrap();
        assert_eq!((report.state, report.problem_count), (MemberState::Synced, 0));
        let lists = running.api.requests("pods@shop");
        let lists = lists.iter().filter(|request| *request == "list").count();
        assert_eq!(lists, OBJECTS.div_ceil(2), "one list, in pages of two");
    }
}

#[tokio::test(start_paused = true)]
async fn one_namespace_is_read_by_one_request_for_each_kind() {
    let running = start(three_namespaces(FakeApi::new()), &["shop"]).await;
    running.has_pods(0, 0, OBJECTS).await;
    for resource in [
        "namespaces@istio-system",
        "nodes",
        "services@shop",
        "endpointslices@shop",
        "pods@shop",
    ] {
        assert_eq!(running.api.requests(resource), ["stream"], "{resource}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_namespaces_take_effect_at_once_and_are_no_reason_to_wonder() {
    let running = start(three_namespaces(FakeApi::new()), &[]).await;
    running.has_pods(OBJECTS, OBJECTS, OBJECTS).await;
    for (namespaces, cart, other, shop) in [
        (&["shop"][..], 0, 0, OBJECTS),
        (&["cart", "other"], OBJECTS, OBJECTS, 0),
        (&[], OBJECTS, OBJECTS, OBJECTS),
    ] {
        assert!(running.members.reconfigure(&id("east"), options(namespaces)));
        running.has_pods(cart, other, shop).await;
        let report = running.members.get(&id("east")).unwrap();
        assert_eq!(
            (report.state, report.kinds[&Kind::Pod].held_back),
            (MemberState::Synced, 0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_forbidden_holds_back_the_member_and_is_named() {
    let running = start(three_namespaces(FakeApi::new()), &["cart", "shop"]).await;
    let forbidden = "pods is forbidden in the namespace cart";
    running.api.fail("pods@cart", Fault::Status(403, forbidden));
    running.api.cut("pods");
    for _ in 0..20 {
        running.until_state(forbidden).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let state = running.members.get(&id("east")).unwrap().state;
        assert!(
            matches!(state, MemberState::Stale { .. }),
            "it is shown all the time: {state:?}"
        );
    }
    running.has_pods(OBJECTS, 0, OBJECTS).await;
    running.api.heal();
    running.until_synced().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_is_read_without_nodes_where_these_are_forbidden() {
    let api = three_namespaces(FakeApi::new());
    api.fail("nodes", Fault::Status(403, "nodes is forbidden"));
    api.fail("namespaces@istio-system", Fault::Status(403, "namespaces is forbidden"));
    let running = start(api, &["shop"]).await;
    running.has_pods(0, 0, OBJECTS).await;
    let problems = running.until_problems(2).await;
    assert!(problems[0].contains("say the member's network"), "{problems:?}");
    assert!(
        problems[1].contains("gateways of type NodePort have no addresses"),
        "{problems:?}"
    );
    let report = running.members.get(&id("east")).unwrap();
    assert_eq!(report.kinds[&Kind::Node].state, KindState::NotAllowed);
    // As soon as they are allowed they come in.
    running.api.heal();
    running
        .recorder
        .until("the node", |recorder| {
            recorder.record("east", Kind::Node, "n1").is_some()
        })
        .await;
    running.until_problems(0).await;
    // And once they were known, they stay.
    running.api.fail("nodes", Fault::Status(403, "nodes is forbidden"));
    running.api.cut("nodes");
    running.until_problems(1).await;
    assert!(running.recorder.record("east", Kind::Node, "n1").is_some());
    running.until_synced().await;
}

const SYSTEM_POLICIES: &str = "peerauthentications@istio-system";

/// One policy in each of three namespaces.
fn with_policies() -> FakeApi {
    let api = three_namespaces(FakeApi::new());
    api.install("security.istio.io/v1");
    for namespace in ["istio-system", "other", "shop"] {
        put_policy(&api, namespace, "STRICT");
    }
    api
}

fn put_policy(api: &FakeApi, namespace: &str, mode: &str) {
    let policy = json!({"metadata": {"namespace": namespace}, "spec": {"mtls": {"mode": mode}}});
    api.put("peerauthentications", &format!("of-{namespace}"), policy);
}

impl Running {
    async fn has_policies(&self, expected: &[&str]) {
        let read = |recorder: &Recorder| {
            let names = recorder.names("east").into_iter();
            let names = names.filter_map(|name| name.strip_prefix("PeerAuthentication ").map(str::to_owned));
            names.collect::<Vec<_>>() == expected
        };
        self.recorder.until(&format!("policies {expected:?}"), read).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_the_system_namespace_counts_for_the_namespaces_that_are_read() {
    let running = start(with_policies(), &["shop"]).await;
    let both = ["istio-system/of-istio-system", "shop/of-shop"];
    running.has_policies(&both).await;
    // Where it can't be read any more, nothing of it is forgotten, and the others are followed all the same.
    running.api.fail(SYSTEM_POLICIES, Fault::Status(403, "not there"));
    running.api.cut("peerauthentications");
    running.until_problems(1).await;
    running.until_kind(Kind::PeerAuthentication, KindState::Connected).await;
    running.api.delete("peerauthentications", "of-shop");
    running.has_policies(&both[..1]).await;
    // Nor by a list, also that of another reader, who knows no names.
    put_policy(&running.api, "shop", "STRICT");
    running.has_policies(&both).await;
    running.api.delete_silently("peerauthentications", "of-shop");
    running.api.delete_silently("peerauthentications", "of-istio-system");
    running.api.say(
        "peerauthentications",
        "{\"type\": \"ERROR\", \"object\": {\"code\": 410}}\n",
    );
    running.has_policies(&both[..1]).await;
    put_policy(&running.api, "shop", "STRICT");
    running.has_policies(&both).await;
    assert!(running.members.reconfigure(&id("east"), options(&["cart"])));
    running.has_policies(&both[..1]).await;
    running.until_problems(1).await;
    // Once it may be read again its list counts.
    running.api.heal();
    running.has_policies(&[]).await;
    running.until_problems(0).await;
}

#[tokio::test(start_paused = true)]
async fn where_the_system_namespace_is_forbidden_the_policies_of_the_others_count_and_that_is_told() {
    let api = with_policies();
    api.fail(SYSTEM_POLICIES, Fault::Status(403, "no Role there"));
    let running = start(api, &["cart", "shop"]).await;
    running.has_policies(&["shop/of-shop"]).await;
    let problems = running.until_problems(1).await;
    for part in [
        "PeerAuthentication objects of istio-system",
        "no Role there",
        "traffic.mtls",
        "namespace-reader.yaml",
    ] {
        assert!(problems[0].contains(part), "{problems:?}");
    }
    let report = running.until_kind(Kind::PeerAuthentication, KindState::Connected).await;
    assert_eq!(report.state, MemberState::Synced);
    // What changes arrives, and nothing is listed again but what is missing.
    tokio::time::sleep(Duration::from_secs(300)).await;
    put_policy(&running.api, "cart", "STRICT");
    running.has_policies(&["cart/of-cart", "shop/of-shop"]).await;
    let lists = |of: &str| {
        let requests = running.api.requests(of);
        requests.iter().filter(|request| *request == "list").count()
    };
    assert_eq!(lists("peerauthentications@shop"), 1);
    assert!((4..=8).contains(&lists(SYSTEM_POLICIES)), "{}", lists(SYSTEM_POLICIES));
    // The Role is given.
    running.api.heal();
    running
        .has_policies(&["cart/of-cart", "istio-system/of-istio-system", "shop/of-shop"])
        .await;
    running.until_problems(0).await;
    // One of the namespaces that are asked for is another matter: then the kind can't be read.
    running.api.fail("peerauthentications@cart", Fault::Status(403, "no"));
    running.api.cut("peerauthentications");
    running
        .until_kind(Kind::PeerAuthentication, KindState::NotAllowed)
        .await;
}
