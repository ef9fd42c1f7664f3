//! What fails while requests go on, about a hundred a second, and how many of these fail with it: none.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::changes::{self, CHANGES};
use super::client;
use super::harness::eventually;
use super::held::Held;
use super::mesh::{DEADLINE, Mesh};
use super::space::need_namespaces;
use super::three::{PODS, Three, WEB};
use super::trial::{AFTER, Posts, Trial};

/// How long a sidecar may take to hear of what was closed, on a busy machine.
const LAG: Duration = Duration::from_millis(200);

fn without(gone: &[&str]) -> Vec<&'static str> {
    WEB.into_iter().filter(|pod| !gone.contains(pod)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_things_do() {
    need_namespaces();
    // Short, so that each certificate is renewed many times in what follows.
    let mut three = Three::start("1m", "").await;
    three.start_pods().await;
    let mut trial = Trial::of(three).await;

    pods_leave(&mut trial).await;
    a_gateway_leaves(&mut trial).await;
    a_zone_dies(&mut trial).await;
    a_gateway_dies(&mut trial).await;
    machines_fall_silent(&mut trial).await;
    let certificates = Certificates::of(&trial);
    an_api_server_dies(&mut trial).await;
    a_member_leaves(&mut trial).await;
    much_changes(&mut trial).await;
    certificates.are_renewed(&mut trial).await;
    the_control_plane_is_killed(&mut trial).await;
    the_root_rotates(&mut trial).await;
    trial.end().await;
}

/// As a rollout has it: not ready, no endpoint any more, then SIGTERM. One on the own network and one behind the gateway.
async fn pods_leave(trial: &mut Trial) {
    for pod in ["web-1", "web-5"] {
        trial.before().await;
        trial.three.mesh.report(pod, false).await;
        trial.answered_by(&without(&[pod])).await;
        trial.three.mesh.drain(pod);
        trial.load.goes_on(AFTER).await;
        no_connection_is_left(&trial.three.mesh, pod).await;
        trial.three.mesh.stop_pod(pod).await;
        trial.after(&format!("{pod} leaves")).await;
        let spec = PODS.iter().find(|spec| spec.name == pod).expect("it is one of them");
        trial.three.mesh.start_pod(*spec).await;
        trial.answered_by(&WEB).await;
        trial.after(&format!("{pod} comes back")).await;
    }
}

/// A connection through a gateway is in use until its pod gives it back.
async fn no_connection_is_left(mesh: &Mesh, pod: &str) {
    let connections = |which| mesh.stat(pod, &[&format!("http.inbound.downstream_cx_{which}")]);
    assert_ne!(connections("total"), 0, "{pod} was asked");
    let left = async || match connections("active") {
        0 => Ok(()),
        left => Err(format!("{left} are left")),
    };
    mesh.until("a pod's connections to be given back", left).await;
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
    let dead = Instant::now() + LAG;
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
    trial.after_with(Posts::UnderWayMayFail(dead), "a zone dies").await;
    trial.three.mesh.restart_envoy("web-2").await;
    trial.answered_by(&WEB).await;
    trial.after("the zone is back").await;
}

async fn a_gateway_dies(trial: &mut Trial) {
    trial.before().await;
    trial.three.mesh.kill_envoy("eastwest-2");
    let dead = Instant::now() + LAG;
    trial.load.goes_on(AFTER).await;
    trial.three.mesh.report("eastwest-2", false).await;
    trial.answered_by(&WEB).await;
    trial
        .after_with(Posts::UnderWayMayFail(dead), "a gateway dies, another is left")
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
    let told = Instant::now() + LAG;
    trial.load.is_done_with_these().await;
    trial.answered_by(&without(&["web-2"])).await;
    trial
        .after_with(Posts::UnderWayMayFail(told), "two machines fall silent")
        .await;
    for pod in silent {
        trial.three.mesh.reconnect(pod);
        trial.three.mesh.report(pod, true).await;
    }
    trial.answered_by(&WEB).await;
    trial.after("they are heard again").await;
}

/// That of another cluster, then that of the cluster where the control plane is at home, whose API server has the list of members.
async fn an_api_server_dies(trial: &mut Trial) {
    for member in ["west", "east"] {
        trial.before().await;
        trial.three.api_server(member).kill_apiserver();
        stale_members(&trial.three.mesh, &[member]).await;
        if member == "east" {
            // A proxy of that cluster attaches anew: its token is checked by keys that are known.
            trial.three.mesh.start_envoy("eastwest-1").await;
        }
        trial.after(&format!("the API server of {member} dies")).await;
        let server = trial.three.api_server(member);
        server.restart_apiserver().await.expect("it starts again");
        stale_members(&trial.three.mesh, &[]).await;
        trial.after(&format!("the API server of {member} is back")).await;
    }
}

/// Waits until just these members are known to be out of reach.
async fn stale_members(mesh: &Mesh, stale: &[&str]) {
    let look = async || {
        let said = mesh.parallax_at("east", &["get", "members", "-o", "json"]);
        let said: Value = serde_json::from_str(&said).expect("it is JSON");
        let members = said["members"].as_array().into_iter().flatten();
        let found: Vec<_> = members
            .filter(|member| member["state"] != "Synced")
            .map(|member| member["name"].as_str().unwrap_or_default())
            .collect();
        match found == stale {
            true => Ok(()),
            false => Err(format!("{said:#}")),
        }
    };
    mesh.until(&format!("just {stale:?} to be out of reach"), look).await;
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
                    .all(|(pod, held)| now[pod].serials.is_disjoint(&held.serials));
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
    let longest = changes::make(&trial.three.mesh).await;
    trial.answered_by(&WEB).await;
    assert_eq!(CHANGES, 200);
    let longest = longest.as_secs_f64();
    trial
        .after(&format!("{CHANGES} changes, the slowest arrived in {longest:.1} s"))
        .await;
}

/// What each Envoy has at a moment, and how many connections it has had to the control plane.
struct Certificates(BTreeMap<&'static str, (Held, u64)>);

impl Certificates {
    fn of(trial: &Trial) -> Self {
        let mesh = &trial.three.mesh;
        let connections = |pod| mesh.stat(pod, &["cluster.xds-grpc.upstream_cx_total"]);
        let all = mesh.secrets().into_iter();
        Self(all.map(|(pod, held)| (pod, (held, connections(pod)))).collect())
    }

    /// Waits until every sidecar shows another one, wherever it shows one, without having connected anew.
    async fn are_renewed(self, trial: &mut Trial) {
        let look = async || {
            let now = Self::of(trial).0;
            let old = self.0.iter().find(|(pod, (before, _))| {
                let shown = &now[*pod].0.serials;
                shown.is_empty() || !shown.is_disjoint(&before.serials)
            });
            match old {
                None => Ok(now),
                Some((pod, before)) => Err(format!("{pod} has {:?} and had {before:?}", now[pod])),
            }
        };
        let now = eventually("certificates to be renewed", DEADLINE, look).await;
        let now = now.unwrap_or_else(|late| panic!("{late:#}"));
        assert_eq!(now.len(), PODS.iter().filter(|pod| !pod.is_gateway()).count());
        for (pod, (before, connections)) in &self.0 {
            assert!(!before.serials.is_empty(), "{pod}");
            assert_eq!(now[pod].1, *connections, "{pod}");
        }
        trial.after("every certificate is renewed").await;
    }
}
