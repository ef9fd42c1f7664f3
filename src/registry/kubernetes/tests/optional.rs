//! Kinds that a member may lack: it is complete without them, and they come and go while it is read.

use super::super::super::testing::until_report;
use super::super::super::{KindState, MemberReport};
use super::*;
use crate::table::Policies;

const NETWORKING: &str = "networking.istio.io/v1beta1";
/// Longer than the pause between two looks.
const A_LOOK: Duration = Duration::from_secs(80);

fn entry() -> Value {
    json!({"metadata": {"namespace": "shop"}, "spec": {"hosts": ["api.example.com"], "resolution": "DNS",
        "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}]}})
}

impl Running {
    pub(super) async fn until_kind(&self, kind: Kind, state: KindState) -> MemberReport {
        let what = format!("{kind} {}", state.name());
        until_report(&self.members, "east", &what, |report| {
            report.kinds[&kind].state == state
        })
        .await
    }
}

fn one_node() -> FakeApi {
    let api = FakeApi::new();
    api.put("nodes", "n1", empty());
    api
}

#[tokio::test(start_paused = true)]
async fn a_member_without_them_is_complete_and_they_come_in_once_they_are_installed() {
    let running = Running::synced(one_node()).await;
    let report = running.until_kind(Kind::ServiceEntry, KindState::NotInstalled).await;
    assert!(
        Kind::OPTIONAL
            .iter()
            .all(|kind| report.kinds[kind].state == KindState::NotInstalled)
    );
    assert_eq!((report.problem_count, running.clients.load(Ordering::SeqCst)), (0, 1));
    assert_eq!(running.api.requests("apis"), ["list"], "one request for all of them");
    for resource in ["serviceentries", "workloadentries", "peerauthentications"] {
        assert_eq!(running.api.requests(resource), [""; 0], "{resource} is not asked for");
    }
    running.api.install(NETWORKING);
    running.api.put("serviceentries", "api", entry());
    running.has(&["Node n1", "ServiceEntry shop/api"]).await;
    let report = running.until_kind(Kind::WorkloadEntry, KindState::Connected).await;
    assert_eq!(report.kinds[&Kind::PeerAuthentication].state, KindState::NotInstalled);
    assert_eq!(running.replacements()[0], Kind::CORE, "they were not waited for");
    running.api.delete("serviceentries", "api");
    running.has(&["Node n1"]).await;
    assert_eq!(running.members.get(&id("east")).unwrap().state, MemberState::Synced);
}

#[tokio::test(start_paused = true)]
async fn what_is_installed_is_told_with_all_else() {
    let api = one_node();
    api.install(NETWORKING);
    api.put("serviceentries", "api", entry());
    let running = Running::synced(api).await;
    let all = [&Kind::CORE[..], &[Kind::ServiceEntry, Kind::WorkloadEntry]].concat();
    assert_eq!(running.replacements(), [all]);
    assert_eq!(running.api.requests("serviceentries"), ["stream"]);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_hangs_or_fails_holds_nobody_up() {
    for fault in [Fault::Hangs, Fault::Status(500, "boom")] {
        let api = one_node();
        api.install(NETWORKING);
        api.put("serviceentries", "api", entry());
        api.fail("serviceentries", fault.clone());
        let begun = Instant::now();
        let running = Running::synced(api).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        if let Fault::Status(..) = fault {
            let problems = running.until_problems(1).await;
            assert!(
                problems[0].contains("ServiceEntry objects can't be read"),
                "{problems:?}"
            );
        }
        running.api.heal();
        running.has(&["Node n1", "ServiceEntry shop/api"]).await;
        running.until_problems(0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_forbidden_is_shown_calmly_and_tried_again() {
    let api = one_node();
    api.install(NETWORKING);
    api.put("serviceentries", "api", entry());
    api.fail("serviceentries", Fault::Status(403, "no"));
    let running = Running::synced(api).await;
    let report = running.until_kind(Kind::ServiceEntry, KindState::NotAllowed).await;
    assert_eq!(report.problem_count, 0);
    running.api.heal();
    running.has(&["Node n1", "ServiceEntry shop/api"]).await;
    // What was known stays while it is forbidden, however long.
    running.api.fail("serviceentries", Fault::Status(403, "no"));
    running.api.cut("serviceentries");
    running.until_kind(Kind::ServiceEntry, KindState::NotAllowed).await;
    tokio::time::sleep(10 * A_LOOK).await;
    running.has(&["Node n1", "ServiceEntry shop/api"]).await;
    assert_eq!(running.members.get(&id("east")).unwrap().state, MemberState::Synced);
}

/// As a load balancer does that has lost its servers.
#[tokio::test(start_paused = true)]
async fn something_in_front_that_knows_nothing_is_no_word_about_objects() {
    let api = one_node();
    api.install(NETWORKING);
    api.put("serviceentries", "api", entry());
    let running = Running::synced(api).await;
    running.has(&["Node n1", "ServiceEntry shop/api"]).await;
    for resource in ["apis", "serviceentries"] {
        running.api.fail(resource, Fault::Status(404, "default backend"));
    }
    running.api.cut("serviceentries");
    tokio::time::sleep(10 * A_LOOK).await;
    running.has(&["Node n1", "ServiceEntry shop/api"]).await;
}

/// Another kind of the same group stays, so the group is told of.
#[tokio::test(start_paused = true)]
async fn a_kind_that_is_gone_while_its_group_stays_goes_too() {
    let api = one_node();
    api.install(NETWORKING);
    api.put("serviceentries", "api", entry());
    let running = Running::synced(api).await;
    running.has(&["Node n1", "ServiceEntry shop/api"]).await;
    running.api.fail(
        "serviceentries",
        Fault::Status(404, "the server could not find the requested resource"),
    );
    running.api.cut("serviceentries");
    running.until_kind(Kind::ServiceEntry, KindState::NotInstalled).await;
    running.has(&["Node n1"]).await;
}

#[tokio::test(start_paused = true)]
async fn objects_of_a_kind_that_is_gone_go_by_the_second_word() {
    let api = one_node();
    api.install(NETWORKING);
    api.put("serviceentries", "api", entry());
    let running = Running::synced(api).await;
    running.has(&["Node n1", "ServiceEntry shop/api"]).await;
    running.api.uninstall(NETWORKING);
    running.api.cut("serviceentries");
    running.until_kind(Kind::ServiceEntry, KindState::NotInstalled).await;
    running.has(&["Node n1", "ServiceEntry shop/api"]).await;
    running.has(&["Node n1"]).await;
    // And back.
    running.api.install(NETWORKING);
    running.has(&["Node n1", "ServiceEntry shop/api"]).await;
}

/// What the table was told of policies, each time.
fn policies(recorder: &Recorder) -> Vec<Policies> {
    let changes = recorder.changes();
    let said = changes.iter().filter_map(|change| match change {
        RegistryChange::Policies(policies) => Some(*policies),
        _ => None,
    });
    said.collect()
}

impl Running {
    async fn until_policies(&self, said: &[Policies]) {
        let what = format!("{said:?} is told of policies");
        let told = |recorder: &Recorder| policies(recorder) == said;
        self.recorder.until(&what, told).await;
    }
}

const SECURITY: &str = "security.istio.io/v1";

fn strict() -> Value {
    json!({"metadata": {"namespace": "shop"}, "spec": {"mtls": {"mode": "STRICT"}}})
}

#[tokio::test(start_paused = true)]
async fn sidecars_wait_for_policies_that_are_there_but_not_for_ever() {
    for fault in [Fault::Hangs, Fault::Status(500, "boom")] {
        let api = one_node();
        api.install(SECURITY);
        api.put("peerauthentications", "strict", strict());
        api.fail("peerauthentications", fault);
        let begun = Instant::now();
        let running = Running::synced(api).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "nobody else waits");
        // Said before anything else, so that no sidecar is served in between.
        let first = running.recorder.changes();
        let place = |is: fn(&RegistryChange) -> bool| first.iter().position(is).unwrap();
        assert!(
            place(|change| matches!(change, RegistryChange::Policies(Policies::Awaited)))
                < place(|change| matches!(change, RegistryChange::Replace(_)))
        );
        running.until_policies(&[Policies::Awaited, Policies::Unread]).await;
        assert!(begun.elapsed() >= super::super::policies::PATIENCE);
        let problems = running.until_problems(1).await;
        assert!(problems[0].contains("PeerAuthentication objects"), "{problems:?}");
        running.api.heal();
        running.has(&["Node n1", "PeerAuthentication shop/strict"]).await;
        running
            .until_policies(&[Policies::Awaited, Policies::Unread, Policies::Known])
            .await;
        running.until_problems(0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_policies_that_are_not_there() {
    let running = Running::synced(one_node()).await;
    running
        .until_kind(Kind::PeerAuthentication, KindState::NotInstalled)
        .await;
    running.until_problems(0).await;
    running.until_policies(&[Policies::Known]).await;
}

/// As an API server does whose rights are not there yet, just after it began.
#[tokio::test(start_paused = true)]
async fn policies_that_may_not_be_read_are_not_none() {
    let api = one_node();
    api.install(SECURITY);
    api.put("peerauthentications", "strict", strict());
    api.fail("peerauthentications", Fault::Status(403, "no"));
    let running = Running::synced(api).await;
    running
        .until_kind(Kind::PeerAuthentication, KindState::NotAllowed)
        .await;
    let first = running.recorder.changes();
    let place = |is: fn(&RegistryChange) -> bool| first.iter().position(is).unwrap();
    assert!(
        place(|change| matches!(change, RegistryChange::Policies(Policies::Awaited)))
            < place(|change| matches!(change, RegistryChange::Replace(_)))
    );
    running.until_policies(&[Policies::Awaited, Policies::Unread]).await;
    let problems = running.until_problems(1).await;
    assert!(
        problems[0].contains("may not be read") && problems[0].contains("STRICT"),
        "{problems:?}"
    );
    running.api.heal();
    running.has(&["Node n1", "PeerAuthentication shop/strict"]).await;
    let all = [Policies::Awaited, Policies::Unread, Policies::Known];
    running.until_policies(&all).await;
    running.until_problems(0).await;
}
