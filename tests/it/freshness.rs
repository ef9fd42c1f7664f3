//! A member that can be read no more without a word of it: how soon that is noticed, and what becomes of its endpoints.

use std::time::Duration;

use tokio::time::Instant;

use super::control_plane::ControlPlane;
use super::envoys::{Envoys, WEB};
use super::harness::{Fault, Kubernetes, Watch, eventually, seconds};
use super::kubernetes::{furnish, run_pod};
use super::manifests::{Members, Pod};
use super::outages::{NOTICED_WITHIN, watch};

const EAST: &str = "10.1.0.1";
const WEST: &str = "10.2.0.1";

/// Waits until each Envoy has just these hosts of `web`, as priority and address.
async fn hold(envoys: &mut Envoys, expected: &[(u32, &str)]) {
    envoys
        .wait(&format!("web at {expected:?}"), |held| {
            held.get(WEB).is_some_and(|hosts| {
                let hosts: Vec<_> = hosts
                    .iter()
                    .map(|host| (host.priority, host.address.as_str()))
                    .collect();
                hosts == expected
            })
        })
        .await;
}

/// Waits until east is in a state, and tells how long that took.
async fn until_state(control_plane: &ControlPlane, state: &str, deadline: Duration) -> Duration {
    let begun = Instant::now();
    let look = async || {
        let members = control_plane.json(&["get", "members"]);
        match members["members"][0]["state"] == state {
            true => Ok(()),
            false => Err(format!("{members:#}")),
        }
    };
    eventually(&format!("east to be {state}"), deadline, look)
        .await
        .expect("it gets there");
    begun.elapsed()
}

/// Nothing was missing at any time; one was served last.
async fn record_demoted(watched: Watch, noticed: Duration, back: Duration) {
    let seen = watched.end().await.expect("the Envoys answer");
    assert_eq!((seen.gone(), seen.added()), Default::default(), "{seen:#?}");
    let over = format!("as before after {}", seconds(back));
    seen.record(&seconds(noticed), &over).expect("it can be written");
}

#[tokio::test]
async fn a_member_that_falls_silent_is_noticed_served_last_and_back_at_once() {
    let mut kubernetes = Kubernetes::start().await.expect("etcd starts");
    let mut east = kubernetes.start_member("east").await.expect("the API server starts");
    let client = furnish(&east, "flat", "192.0.2.1").await;
    run_pod(&client, "web-1", EAST, true).await;
    let members = Members::new();
    members.place("west", "flat");
    members.web("west", &[Pod::new("a", WEST)]);
    let settings = format!(
        "members:\n  - name: east\n    kubeconfig: {}\n    stale: {{policy: demote, after: 2s}}\n  - name: west\n    folder: {}\n",
        east.kubeconfig_path().display(),
        members.member("west").display(),
    );
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    let mut envoys = Envoys::start(&control_plane, "west", "10.2.0.50").await;
    let normal = [(0, EAST), (0, WEST)];
    let demoted = [(0, WEST), (1, EAST)];
    hold(&mut envoys, &normal).await;

    // The API server stops without ending: every connection stays open, and nothing arrives.
    let watched = watch(Fault::ApiServerPaused, &mut envoys).await;
    east.apiserver().pause();
    let noticed = until_state(&control_plane, "Stale", NOTICED_WITHIN).await;
    println!("a paused API server was noticed after {noticed:?}");
    hold(&mut envoys, &demoted).await;
    let said = control_plane.say(&["get", "members"]);
    assert!(said.contains("served last (policy: demote after 2s)"), "{said}");
    let said = control_plane.say(&["explain", "web.shop:80", "--network", "flat"]);
    for words in ["direct, last", "Note: east is stale since", "it is served last"] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    assert_eq!(control_plane.metric_where("parallax_registry_rank", "east").await, 1.0);

    east.apiserver().resume();
    let took = until_state(&control_plane, "Synced", NOTICED_WITHIN).await;
    println!("it was read again {took:?} after it went on");
    hold(&mut envoys, &normal).await;
    record_demoted(watched, noticed, took).await;

    // Its etcd stops: the API server answers, and its watches send bookmarks as ever.
    let watched = watch(Fault::EtcdPaused, &mut envoys).await;
    kubernetes.etcd().pause();
    let noticed = until_state(&control_plane, "Stale", NOTICED_WITHIN).await;
    println!("a paused etcd was noticed after {noticed:?}");
    let said = control_plane.say(&["get", "members"]);
    assert!(said.contains("from its etcd"), "{said}");
    hold(&mut envoys, &demoted).await;
    kubernetes.etcd().resume();
    let took = until_state(&control_plane, "Synced", NOTICED_WITHIN * 2).await;
    println!("it was read again {took:?} after it went on");
    hold(&mut envoys, &normal).await;
    record_demoted(watched, noticed, took).await;

    // It is read indeed.
    run_pod(&client, "web-2", "10.1.0.2", true).await;
    hold(&mut envoys, &[(0, EAST), (0, "10.1.0.2"), (0, WEST)]).await;
    envoys.are_content().await;
}

#[tokio::test]
async fn an_api_server_that_comes_back_empty_empties_nobody_at_its_first_word() {
    let kubernetes = Kubernetes::start().await.expect("etcd starts");
    let mut east = kubernetes.start_member("east").await.expect("the API server starts");
    let client = furnish(&east, "flat", "192.0.2.1").await;
    let pods: Vec<_> = (1..=12).map(|at| format!("10.1.0.{at}")).collect();
    for (at, address) in pods.iter().enumerate() {
        run_pod(&client, &format!("web-{at}"), address, true).await;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = format!(
        "store:\n  path: {}\nmembers:\n  - name: east\n    kubeconfig: {}\n    network: flat\n",
        folder.path().join("known.redb").display(),
        east.kubeconfig_path().display(),
    );
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    let mut envoys = Envoys::start(&control_plane, "east", "10.1.0.50").await;
    envoys
        .wait("all pods of web", |held| {
            held.get(WEB).is_some_and(|hosts| hosts.len() == pods.len())
        })
        .await;

    control_plane
        .says_metric("parallax_store_waiting", |waiting| waiting == 0.0)
        .await;
    // Parallax starts anew as well, so that it has to list everything.
    control_plane.process.end();
    east.restart_apiserver_empty().await.expect("it starts again");
    let watched = watch(Fault::ApiServerEmpty, &mut envoys).await;
    let mut control_plane = control_plane.again();
    control_plane.ready().await;
    let begun = Instant::now();
    // First it is held, and then, since a second list says the same, believed.
    let (first, second) = (
        "until a second list says the same member=east kind=Pod",
        "a second list decided what is held member=east kind=Pod",
    );
    control_plane.logs(first).await;
    let noticed = seconds(begun.elapsed());
    control_plane.logs(second).await;
    let log = std::fs::read_to_string(control_plane.process.log()).expect("it has a log");
    let of_pods = |words: &str| {
        let line = log.lines().find(|line| line.contains(words));
        let at = line.and_then(|line| line.split_whitespace().next()).expect("a time");
        at.parse::<jiff::Timestamp>().expect("a time")
    };
    let held = of_pods(second).duration_since(of_pods(first)).unsigned_abs();
    assert!(held >= Duration::from_millis(4900), "held for {held:?}");
    envoys
        .wait("web to be without pods", |held| held.get(WEB).is_none_or(Vec::is_empty))
        .await;
    control_plane
        .says_metric("parallax_registry_held_back{member=\"east\",kind=\"Pod\"}", |held| {
            held == 0.0
        })
        .await;
    let seen = watched.end().await.expect("the Envoys answer");
    assert_eq!(seen.gone().len(), pods.len(), "{seen:#?}");
    let gone = seen.first_gone().expect("they are gone");
    assert!(gone >= Duration::from_millis(4900), "{seen:#?}");
    let over = "until a second list says the same all is kept, and shown as held back";
    seen.record(&noticed, over).expect("it can be written");
    envoys.are_content().await;
}
