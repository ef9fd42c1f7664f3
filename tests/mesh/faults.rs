//! What fails while requests go on, about a hundred a second, and how many of these fail with it: none.

use std::fmt::Write;

use serde_json::json;

use super::client;
use super::harness::eventually;
use super::load::{Load, POSTING};
use super::mesh::DEADLINE;
use super::space::need_namespaces;
use super::three::{PODS, Three, WEB};

/// How many requests are watched before what fails, and after it.
const BEFORE: u64 = 30;
const AFTER: u64 = 150;

/// A world under load, and what came of each fault.
struct Trial {
    three: Three,
    load: Load,
    report: String,
    failed: usize,
}

/// What may become of requests that do something and are under way when whoever has them dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Posts {
    AllAnswered,
    /// Those under way at that moment, of which nobody can know whether they did it, are not repeated.
    UnderWayMayFail,
}

impl Trial {
    /// Begins to watch.
    async fn before(&self) {
        self.load.goes_on(BEFORE).await;
        assert_eq!(
            self.load.take().failures,
            Vec::new(),
            "before anything failed\n{}",
            self.report
        );
    }

    /// Ends to watch.
    async fn after(&mut self, fault: &str) {
        self.after_with(Posts::AllAnswered, fault).await;
    }

    async fn after_with(&mut self, posts: Posts, fault: &str) {
        self.load.goes_on(AFTER).await;
        let seen = self.load.take();
        let mut said = String::new();
        let (asked, done) = (seen.failures.len(), seen.failed_posts.len());
        writeln!(
            said,
            "{fault}: of {} requests {asked} that ask and {done} that do failed, the slowest took {:.1} s",
            seen.requests,
            seen.slowest.as_secs_f64()
        )
        .expect("it fits");
        for (path, reason) in seen.failures.iter().chain(&seen.failed_posts).take(5) {
            let log = self.three.mesh.log("client-1");
            let line = log.iter().find(|line| line.contains(path.as_str()));
            let line = line.map_or("not in the log", String::as_str);
            writeln!(said, "  {path}: {reason}\n    {line}").expect("it fits");
        }
        eprint!("{said}");
        self.report += &said;
        self.failed += asked;
        match posts {
            Posts::AllAnswered => self.failed += done,
            Posts::UnderWayMayFail => self.failed += done.saturating_sub(POSTING),
        }
    }

    async fn answered_by(&self, pods: &[&str]) {
        let web = self.three.web("east").await;
        self.three.mesh.answered_by("client-1", web, pods).await;
    }
}

fn without(gone: &[&str]) -> Vec<&'static str> {
    WEB.into_iter().filter(|pod| !gone.contains(pod)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_things_do() {
    need_namespaces();
    // Short, so that each certificate is renewed many times in what follows.
    let mut three = Three::start("1m", "").await;
    three.start_pods().await;
    let load = three.load("client-1").await;
    let mut trial = Trial {
        three,
        load,
        report: String::new(),
        failed: 0,
    };
    trial.answered_by(&WEB).await;
    trial.load.take();

    pods_leave(&mut trial).await;
    a_gateway_leaves(&mut trial).await;
    a_zone_dies(&mut trial).await;
    a_gateway_dies(&mut trial).await;
    machines_fall_silent(&mut trial).await;
    an_api_server_dies(&mut trial).await;
    the_control_plane_is_killed(&mut trial).await;
    the_root_rotates(&mut trial).await;
    a_member_leaves(&mut trial).await;
    much_changes(&mut trial).await;
    trial.three.mesh.nobody_refused_anything();
    assert_eq!(trial.failed, 0, "{}", trial.report);
}

/// As a rollout has it: not ready, no endpoint any more, then SIGTERM. One on the own network and one behind the gateway.
async fn pods_leave(trial: &mut Trial) {
    for pod in ["web-1", "web-5"] {
        trial.before().await;
        trial.three.mesh.report(pod, false).await;
        trial.answered_by(&without(&[pod])).await;
        trial.three.mesh.drain(pod);
        trial.load.goes_on(AFTER).await;
        trial.three.mesh.stop_pod(pod).await;
        trial.after(&format!("{pod} leaves")).await;
        let spec = PODS.iter().find(|spec| spec.name == pod).expect("it is one of them");
        trial.three.mesh.start_pod(*spec).await;
        trial.answered_by(&WEB).await;
        trial.after(&format!("{pod} comes back")).await;
    }
}

/// Who has been told of it sends nothing more through it, so its end breaks nothing off.
async fn a_gateway_leaves(trial: &mut Trial) {
    let gateway = "eastwest-2";
    trial.before().await;
    trial.three.mesh.report(gateway, false).await;
    trial.load.goes_on(2 * AFTER).await;
    trial.three.mesh.stop_pod(gateway).await;
    trial.answered_by(&WEB).await;
    trial.after("a gateway leaves, another is left").await;
    let spec = PODS.iter().find(|spec| spec.name == gateway);
    trial.three.mesh.start_pod(*spec.expect("it is one of them")).await;
    trial.answered_by(&WEB).await;
    trial.after("the gateway comes back").await;
}

/// All at once and without a word; the kubelet says so later.
async fn a_zone_dies(trial: &mut Trial) {
    trial.before().await;
    trial.three.mesh.kill_envoy("web-2");
    trial.load.goes_on(AFTER).await;
    // Bytes as well: a connection that can't be made is made elsewhere.
    let (ip, _) = trial.three.web("east").await;
    for _ in 0..20 {
        let said = trial.three.mesh.pods["client-1"]
            .space
            .within(|| client::listen_to((ip, 9000).into()));
        assert!(said.as_ref().is_ok_and(|pod| pod.starts_with("web-")), "{said:?}");
    }
    trial.three.mesh.report("web-2", false).await;
    trial.answered_by(&without(&["web-2"])).await;
    trial.after_with(Posts::UnderWayMayFail, "a zone dies").await;
    trial.three.mesh.restart_envoy("web-2").await;
    trial.answered_by(&WEB).await;
    trial.after("the zone is back").await;
}

async fn a_gateway_dies(trial: &mut Trial) {
    trial.before().await;
    trial.three.mesh.kill_envoy("eastwest-2");
    trial.load.goes_on(AFTER).await;
    trial.three.mesh.report("eastwest-2", false).await;
    trial.answered_by(&WEB).await;
    trial
        .after_with(Posts::UnderWayMayFail, "a gateway dies, another is left")
        .await;
    trial.three.mesh.restart_envoy("eastwest-2").await;
    trial.answered_by(&WEB).await;
    trial.after("the gateway is back").await;
}

/// No connection is closed and none refused: nobody is told. A machine of the own network, and a gateway.
async fn machines_fall_silent(trial: &mut Trial) {
    let silent = ["web-2", "eastwest-2"];
    trial.before().await;
    for pod in silent {
        trial.three.mesh.cut_off(pod);
    }
    trial.load.is_done_with_these().await;
    for pod in silent {
        trial.three.mesh.report(pod, false).await;
    }
    trial.load.is_done_with_these().await;
    trial.answered_by(&without(&["web-2"])).await;
    trial
        .after_with(Posts::UnderWayMayFail, "two machines fall silent")
        .await;
    for pod in silent {
        trial.three.mesh.reconnect(pod);
        trial.three.mesh.report(pod, true).await;
    }
    trial.answered_by(&WEB).await;
    trial.after("they are heard again").await;
}

async fn an_api_server_dies(trial: &mut Trial) {
    trial.before().await;
    trial.three.api_server("west").kill_apiserver();
    trial.after("the API server of west dies").await;
    let west = trial.three.api_server("west");
    west.restart_apiserver().await.expect("it starts again");
    trial.after("the API server of west is back").await;
}

async fn the_control_plane_is_killed(trial: &mut Trial) {
    trial.before().await;
    trial.three.mesh.kill_control_plane("east");
    trial.after("the control plane is killed").await;
    trial.three.mesh.restart_control_plane("east").await;
    trial.after("the control plane is back").await;
}

/// Each step waits until every sidecar has the one before.
async fn the_root_rotates(trial: &mut Trial) {
    trial.before().await;
    for (step, roots, renews) in [
        ("widened", 2, false),
        ("issued under the new one", 2, true),
        ("shrunk", 1, false),
    ] {
        let before = trial.three.mesh.secrets();
        trial.three.mesh.parallax(&["ca", "rotate-root", "--dir", "ca"]);
        let look = async || {
            let now = trial.three.mesh.secrets();
            let renewed = !renews
                || before
                    .iter()
                    .all(|(pod, held)| now[pod].certificate != held.certificate);
            let trusted = now.values().all(|held| held.roots == roots);
            if renewed && trusted {
                Ok(())
            } else {
                Err(format!("{now:?}"))
            }
        };
        eventually(&format!("the root to be {step}"), DEADLINE, look)
            .await
            .expect("it is");
        trial.after(&format!("the root is {step}")).await;
    }
}

async fn a_member_leaves(trial: &mut Trial) {
    trial.before().await;
    let west = ["web-4", "web-5"];
    trial.three.members_command("detach", "west", &["--drain"]);
    trial.answered_by(&without(&west)).await;
    trial.after("west is detached, with drain").await;
    trial.three.members_command("attach", "west", &[]);
    trial.answered_by(&WEB).await;
    trial.after("west is attached again").await;
}

/// Settings, Services and endpoints, two hundred times.
async fn much_changes(trial: &mut Trial) {
    trial.before().await;
    let file = trial.three.mesh.folder_of("east").join("parallax.yaml");
    let settings = std::fs::read_to_string(&file).expect("it is there");
    for change in 0..50_u16 {
        // Another port of the Service that is asked for, which changes listeners, routes and clusters.
        let port = json!({ "name": "http-new", "port": 1000 + change, "targetPort": 8080 });
        let http = json!({ "name": "http", "port": 80, "targetPort": 8080 });
        let first = json!({ "name": "tcp-first", "port": 9000, "targetPort": 9000 });
        trial.three.mesh.clusters["east"]
            .service("web", &json!([http, first, port]))
            .await;
        // A service that comes, on the port of the others.
        let http = json!([{ "name": "http", "port": 80, "targetPort": 8080 }]);
        trial.three.mesh.clusters["west"]
            .service(&format!("late-{change}"), &http)
            .await;
        trial.three.mesh.report("web-3", change % 2 == 1).await;
        std::fs::write(
            &file,
            format!(
                "{settings}\nmemberDefaults: {{stale: {{policy: demote, after: {}s}}}}\n",
                60 + change
            ),
        )
        .expect("it can be written");
    }
    trial.answered_by(&WEB).await;
    trial.after("200 changes").await;
}
