//! A control plane that dies: what Envoys hold stays, and what changed meanwhile comes with the next one.

use tokio::time::Instant;

use super::control_plane::ControlPlane;
use super::envoys::{DEADLINE, Envoys};
use super::harness::{Fault, seconds};
use super::manifests::{Members, Pod};
use super::outages::watch;

#[tokio::test]
async fn envoys_keep_what_they_have_and_catch_up() {
    let members = Members::new();
    members.place("east", "net1");
    members.web("east", &[Pod::new("a", "10.1.0.1")]);
    let mut control_plane = ControlPlane::on_members(members.path()).await;
    let mut envoys = Envoys::start(&control_plane, "east", "10.1.0.50").await;
    envoys.hold(&["10.1.0.1:8080*1@east/z1"]).await;

    let watched = watch(Fault::ControlPlaneRestarted, &mut envoys).await;
    control_plane.process.end();
    for (name, envoy) in envoys.each() {
        let cut = envoy
            .wait_for_stat("control_plane.connected_state", DEADLINE, |state| state == 0)
            .await;
        cut.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
    envoys.hold(&["10.1.0.1:8080*1@east/z1"]).await;

    members.web("east", &[Pod::new("a", "10.1.0.1"), Pod::new("b", "10.1.0.2")]);
    let mut control_plane = control_plane.again();
    control_plane.ready().await;
    let begun = Instant::now();
    envoys
        .hold(&["10.1.0.1:8080*1@east/z1", "10.1.0.2:8080*1@east/z1"])
        .await;
    let seen = watched.end().await.expect("the Envoys answer");
    assert!(seen.gone().is_empty() && seen.changed() == 0, "{seen:#?}");
    let over = format!(
        "what changed meanwhile, and nothing else, is there {} after it is ready",
        seconds(begun.elapsed())
    );
    seen.record("by Envoy", &over).expect("it can be written");
    envoys.are_content().await;
}
