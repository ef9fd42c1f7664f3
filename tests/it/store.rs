//! A start while a member can't be reached: everybody is served what was known of it, at once, and told its age.

use tokio::time::Instant;

use super::control_plane::ControlPlane;
use super::envoys::{Envoys, WEB};
use super::harness::{Fault, Kubernetes, seconds};
use super::kubernetes::{furnish, run_pod};
use super::manifests::{Members, Pod};
use super::outages::{until_synced_is, watch};

const WEST: &str = "10.2.0.1:8080*1@west/z1";

#[tokio::test]
async fn a_member_that_is_down_at_the_start_is_served_as_it_was_known() {
    let kubernetes = Kubernetes::start().await.expect("etcd starts");
    let mut east = kubernetes.start_member("east").await.expect("the API server starts");
    let client = furnish(&east, "net1", "192.0.2.1").await;
    run_pod(&client, "web-1", "10.1.0.1", true).await;
    let members = Members::new();
    members.place("west", "net2");
    members.web("west", &[Pod::new("a", "10.2.0.1")]);
    let file = members.path().join("known.redb");
    let settings = format!(
        "store:\n  path: {}\nmembers:\n  - name: east\n    kubeconfig: {}\n  - name: west\n    folder: {}\n",
        file.display(),
        east.kubeconfig_path().display(),
        members.member("west").display(),
    );
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    let mut envoys = Envoys::start(&control_plane, "west", "10.2.0.50").await;
    let gateway = |weight| format!("192.0.2.1:15443*{weight}@net1/z1");
    envoys.hold(&[WEST, &gateway(1)]).await;

    // The last word before the crash is on disk within its batch; the metric tells when. It waits from before Envoys are told.
    run_pod(&client, "web-2", "10.1.0.2", true).await;
    envoys.hold(&[WEST, &gateway(2)]).await;
    control_plane
        .says_metric("parallax_store_waiting", |waiting| waiting == 0.0)
        .await;
    east.kill_apiserver();
    let watched = watch(Fault::ControlPlaneKilled, &mut envoys).await;
    // SIGKILL: nothing can be saved on the way out.
    let begun = Instant::now();
    let mut control_plane = control_plane.again();
    control_plane.ready().await;
    let noticed = until_synced_is(&control_plane, "east", 0, begun).await;
    envoys.hold(&[WEST, &gateway(2)]).await;
    let mut newcomers = Envoys::start(&control_plane, "west", "10.2.0.51").await;
    newcomers.hold(&[WEST, &gateway(2)]).await;
    let said = control_plane.says(&["get", "members"], "Stale").await;
    assert!(said.contains("east is stale since"), "{said}");
    let said = control_plane.say(&["explain", "web.shop:80", "--network", "net2"]);
    assert!(said.contains("Note: east is stale since"), "{said}");

    // Envoys that were there before have been told by the same process by now, and saw nothing of it all.
    envoys.connected().await;
    let seen = watched.end().await.expect("the Envoys answer");
    assert!(seen.nothing(), "{seen:#?}");

    // Back again: what it says now counts, and nothing else is pushed.
    let before = control_plane.metric("parallax_resources_changed_total").await;
    east.restart_apiserver().await.expect("it starts again");
    run_pod(&client, "web-3", "10.1.0.3", true).await;
    newcomers.hold(&[WEST, &gateway(3)]).await;
    let noticed = format!("{}, with its age", seconds(noticed));
    let over = "new Envoys get all of it meanwhile; afterwards only what differs is sent";
    seen.record(&noticed, over).expect("it can be written");
    let changed = control_plane.metric("parallax_resources_changed_total").await - before;
    assert!(
        changed <= 2.0,
        "{changed} resources for a pod that came and became ready"
    );
    newcomers.wait("web to be there", |held| held.contains_key(WEB)).await;
    newcomers.are_content().await;
}
