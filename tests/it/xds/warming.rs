//! Real Envoys that warm clusters. Where one would wait for an assignment, its own timeout of 15 s is what is not seen.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::super::control_plane::ControlPlane;
use super::super::envoys::{Envoys, WEB};
use super::super::harness::{Clusters, Envoy};
use super::super::manifests::Members;
use super::client::BOTH;
use super::lab::Lab;

/// Below Envoy's 15 s, and far above what it takes.
pub(super) const SOON: Duration = Duration::from_secs(12);

fn ports(held: &Clusters, name: &str) -> Option<BTreeSet<u16>> {
    let hosts = held.get(name)?;
    Some(hosts.iter().map(|host| host.port).collect())
}

pub(super) async fn holds(envoy: &mut Envoy, name: &str, expected: &[u16]) {
    let expected: BTreeSet<u16> = expected.iter().copied().collect();
    let what = format!("{name} at {expected:?}");
    let held = envoy
        .wait_for(&what, SOON, |held| ports(held, name).as_ref() == Some(&expected))
        .await;
    held.unwrap_or_else(|error| panic!("{error:#}"));
}

/// The timeout of an active cluster, as the config dump shows it.
async fn timeout_of(envoy: &Envoy, name: &str) -> Option<String> {
    let active = envoy.config_dump("dynamic_active_clusters").await.expect("it answers");
    let found = active.iter().find(|entry| entry["cluster"]["name"] == name)?;
    found["cluster"]["connect_timeout"].as_str().map(ToOwned::to_owned)
}

async fn has_timeout(envoy: &Envoy, name: &str, expected: &str) {
    let look = async || match timeout_of(envoy, name).await {
        Some(timeout) if timeout == expected => Ok(()),
        other => Err(format!("{other:?}")),
    };
    let what = format!("{name} to be active with {expected}");
    super::super::harness::eventually(&what, SOON, look)
        .await
        .unwrap_or_else(|error| panic!("{error:#}"));
}

#[tokio::test]
async fn r74_r75_r76_m1_m2_a_changed_cluster_is_warm_at_once_without_new_endpoints() {
    for dialect in BOTH {
        let lab = Lab::start().await;
        for name in ["a", "b"] {
            lab.cluster(name, 1);
            lab.assignment(name, &[1001]);
        }
        let mut envoy = lab.envoy(dialect).await;
        holds(&mut envoy, "a", &[1001]).await;
        lab.settled().await;
        // The assignment stays as it is: only the server can know that it is needed once more.
        lab.cluster("a", 2);
        has_timeout(&envoy, "a", "2s").await;
        holds(&mut envoy, "a", &[1001]).await;
        // Several at once, in the middle of changes of endpoints.
        lab.assignment("b", &[1002]);
        lab.cluster("b", 3);
        lab.cluster("a", 3);
        lab.assignment("a", &[1003]);
        for (name, port) in [("a", 1003), ("b", 1002)] {
            has_timeout(&envoy, name, "3s").await;
            holds(&mut envoy, name, &[port]).await;
        }
        let (clusters, _) = lab.settled().await;
        assert_eq!(clusters.nacks, 0);
    }
}

#[tokio::test]
async fn r77_one_changed_cluster_of_many_costs_one_assignment() {
    for dialect in BOTH {
        let lab = Lab::start().await;
        let names: Vec<String> = (0..100).map(|n| format!("c{n:02}")).collect();
        for name in &names {
            lab.cluster(name, 1);
            lab.assignment(name, &[1001]);
        }
        let mut envoy = lab.envoy(dialect).await;
        for name in &names {
            holds(&mut envoy, name, &[1001]).await;
        }
        lab.settled().await;
        let before = updates(&envoy, &names).await;
        lab.cluster("c42", 2);
        has_timeout(&envoy, "c42", "2s").await;
        lab.settled().await;
        let changed: Vec<&String> = updates(&envoy, &names)
            .await
            .into_iter()
            .zip(before)
            .zip(&names)
            .filter_map(|((now, before), name)| (now != before).then_some(name))
            .collect();
        assert_eq!(changed, ["c42"]);
    }
}

/// How often each cluster was sent an assignment.
async fn updates(envoy: &Envoy, names: &[String]) -> Vec<u64> {
    let text = envoy
        .get("/stats?format=json&filter=update_success")
        .await
        .expect("it answers");
    let stats: Value = serde_json::from_str(&text).expect("JSON");
    let all = stats["stats"].as_array().cloned().unwrap_or_default();
    let of = |name: &String| {
        let stat = format!("cluster.{name}.update_success");
        let found = all.iter().find(|entry| entry["name"] == stat.as_str());
        found.and_then(|entry| entry["value"].as_u64()).unwrap_or_default()
    };
    names.iter().map(of).collect()
}

#[tokio::test]
async fn r68_r71_r78_a_cluster_that_changed_while_the_server_was_away_is_warm_at_once() {
    for dialect in BOTH {
        let mut lab = Lab::start().await;
        for name in ["a", "b", "gone"] {
            lab.cluster(name, 1);
            lab.assignment(name, &[1001]);
        }
        let mut envoy = lab.envoy(dialect).await;
        for name in ["a", "b", "gone"] {
            holds(&mut envoy, name, &[1001]).await;
        }
        lab.settled().await;
        for round in 2..5 {
            lab.stop().await;
            lab.cluster("a", round);
            lab.no_cluster("gone");
            lab.no_assignment("gone");
            lab.restart().await;
            has_timeout(&envoy, "a", &format!("{round}s")).await;
            holds(&mut envoy, "a", &[1001]).await;
            let gone = envoy
                .wait_for("gone to be gone", SOON, |held| !held.contains_key("gone"))
                .await;
            gone.unwrap_or_else(|error| panic!("{error:#}"));
            holds(&mut envoy, "b", &[1001]).await;
        }
    }
}

#[tokio::test]
async fn r60_r62_endpoints_that_vanish_leave_a_real_envoy() {
    for dialect in BOTH {
        let lab = Lab::start().await;
        for name in ["a", "b"] {
            lab.cluster(name, 1);
            lab.assignment(name, &[1001, 1002]);
        }
        let mut envoy = lab.envoy(dialect).await;
        holds(&mut envoy, "a", &[1001, 1002]).await;
        // A mere removal would leave its hosts in the load balancer.
        lab.no_assignment("a");
        holds(&mut envoy, "a", &[]).await;
        lab.assignment("a", &[1003]);
        holds(&mut envoy, "a", &[1003]).await;
        let (_, before) = lab.settled().await;
        lab.no_cluster("b");
        lab.no_assignment("b");
        let gone = envoy
            .wait_for("b to be gone", SOON, |held| !held.contains_key("b"))
            .await;
        gone.unwrap_or_else(|error| panic!("{error:#}"));
        let (_, after) = lab.settled().await;
        assert_eq!(after.pushes, before.pushes, "CDS alone tells it");
    }
}

#[tokio::test]
async fn r61_a_service_without_endpoints_does_not_hold_envoys_up() {
    let members = Members::new();
    members.place("east", "net1");
    members.web("east", &[]);
    let server = ControlPlane::on_members(members.path()).await;
    let mut envoys = Envoys::start(&server, "east", "10.1.0.50").await;
    for (name, envoy) in envoys.each() {
        let held = envoy
            .wait_for("an empty web", SOON, |held| held.get(WEB).is_some_and(Vec::is_empty))
            .await;
        held.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
    live(&mut envoys).await;
}

#[tokio::test]
async fn r63_m15_an_envoy_in_an_empty_mesh_goes_live() {
    let members = Members::new();
    std::fs::create_dir_all(members.member("east")).expect("a folder");
    let server = ControlPlane::on_members(members.path()).await;
    let mut envoys = Envoys::start(&server, "east", "10.1.0.50").await;
    live(&mut envoys).await;
}

async fn live(envoys: &mut Envoys) {
    for (name, envoy) in envoys.each() {
        let state = envoy.wait_for_stat("server.live", SOON, |live| live == 1).await;
        state.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
}
