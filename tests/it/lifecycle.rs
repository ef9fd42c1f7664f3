//! Starting and ending: ready when the members are, drained on the first signal, gone on the second.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::control_plane::{ControlPlane, PARALLAX};
use super::envoys::DEADLINE;
use super::harness::{Envoy, EnvoyOptions, Process, Stop, eventually, get};
use super::manifests::{Members, Pod};

#[tokio::test]
async fn the_first_signal_drains_and_ends_well() {
    let members = Members::new();
    members.place("east", "net1");
    members.web("east", &[Pod::new("a", "10.1.0.1")]);
    let mut control_plane = ControlPlane::on_members(members.path()).await;
    let id = "sidecar~10.1.0.50~client.shop~shop.svc.cluster.local";
    let mut envoy = Envoy::start(EnvoyOptions::new(id, control_plane.xds, control_plane.folder("envoy")))
        .await
        .expect("Envoy starts");
    envoy
        .wait_for_stat("control_plane.connected_state", DEADLINE, |state| state == 1)
        .await
        .expect("it attaches");
    control_plane.process.terminate();
    let status = control_plane
        .process
        .wait(Duration::from_secs(20))
        .await
        .expect("it ends");
    assert!(status.success(), "{status}");
    envoy
        .wait_for_stat("control_plane.connected_state", DEADLINE, |state| state == 0)
        .await
        .expect("it is let go");
}

/// A kubeconfig for an API server that is not there: nobody listens on port 1.
fn dead_kubeconfig(folder: &Path) -> PathBuf {
    let kubeconfig = folder.join("kubeconfig");
    let text = "apiVersion: v1
kind: Config
current-context: dead
contexts:
  - name: dead
    context: {cluster: dead, user: nobody}
clusters:
  - name: dead
    cluster: {server: 'http://127.0.0.1:1'}
users:
  - name: nobody
    user: {token: none}
";
    std::fs::write(&kubeconfig, text).expect("it can be written");
    kubeconfig
}

#[tokio::test]
async fn connections_without_a_stream_do_not_hold_the_end_back() {
    let members = Members::new();
    members.place("east", "net1");
    let mut control_plane = ControlPlane::on_members(members.path()).await;
    // One that never says a word, and one that never answers when it is told to go.
    let _silent = TcpStream::connect(control_plane.xds).await.expect("it is taken");
    let mut deaf = TcpStream::connect(control_plane.xds).await.expect("it is taken");
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let hello = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &settings].concat();
    deaf.write_all(&hello).await.expect("it is read");
    deaf.read_exact(&mut [0; 9]).await.expect("it is answered");
    control_plane.process.terminate();
    let status = control_plane
        .process
        .wait(Duration::from_secs(20))
        .await
        .expect("it ends");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_signal_before_it_is_ready_ends_it_well_and_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut control_plane = ControlPlane::on_settings(&format!(
        "readiness:\n  memberSyncDeadline: 1h\nmembers:\n  - name: dead\n    kubeconfig: {}\n",
        dead_kubeconfig(folder.path()).display(),
    ));
    control_plane.answers("/readyz", 503).await;
    control_plane.process.terminate();
    let status = control_plane
        .process
        .wait(Duration::from_secs(20))
        .await
        .expect("it ends");
    assert!(status.success(), "{status}");
    let log = std::fs::read_to_string(control_plane.process.log()).expect("it logs");
    assert_eq!(log.matches("draining").count(), 1, "{log}");
}

#[tokio::test]
async fn a_member_that_does_not_answer_delays_readiness_only_until_its_deadline() {
    let members = Members::new();
    members.place("east", "net1");
    members.web("east", &[Pod::new("a", "10.1.0.1")]);
    let kubeconfig = dead_kubeconfig(members.path());
    let settings = format!(
        "readiness:\n  memberSyncDeadline: 3s\nmembers:\n  - name: east\n    folder: {}\n  - name: dead\n    kubeconfig: {}\n",
        members.member("east").display(),
        kubeconfig.display(),
    );
    let mut control_plane = ControlPlane::on_settings(&settings);
    let admin = control_plane.admin;
    let waits = eventually("the dead member alone to be waited for", DEADLINE, async || {
        let answer = get(admin, "/readyz").await.map_err(|error| error.to_string())?;
        let just_dead = answer.status == 503 && answer.body.contains("dead") && !answer.body.contains("east");
        if just_dead { Ok(()) } else { Err(answer.body) }
    });
    waits.await.expect("readiness tells what it waits for");
    control_plane.ready().await;
    let said = control_plane.say(&["get", "members"]);
    assert!(
        said.contains("127.0.0.1:1") || said.to_lowercase().contains("connect"),
        "{said}"
    );
    let mut envoy = Envoy::start(
        EnvoyOptions::new(
            "sidecar~10.1.0.50~client.shop~shop.svc.cluster.local",
            control_plane.xds,
            control_plane.folder("envoy"),
        )
        .with_metadata("CLUSTER_ID", "east"),
    )
    .await
    .expect("Envoy starts");
    let held = envoy
        .wait_for("web", DEADLINE, |held| held.values().any(|hosts| !hosts.is_empty()))
        .await;
    held.expect("the others are served");
}

#[tokio::test]
async fn a_folder_of_members_that_is_not_there_yet_is_waited_for() {
    let members = Members::new();
    let late = members.path().join("late");
    let mut control_plane = ControlPlane::on_settings(&format!(
        "readiness:\n  memberSyncDeadline: 1h\nmembersFolder: {}\n",
        late.display()
    ));
    let waits = control_plane.answers("/readyz", 503).await;
    assert!(waits.contains("the folder of members"), "{waits}");
    // It comes with a member in it.
    members.place("ready/east", "net1");
    members.web("ready/east", &[Pod::new("a", "10.1.0.1")]);
    std::fs::rename(members.member("ready"), &late).expect("it can be moved");
    control_plane.ready().await;
    let endpoints = control_plane.say(&["get", "endpoints"]);
    assert!(endpoints.contains("10.1.0.1"), "{endpoints}");
}

#[tokio::test]
async fn ports_that_the_system_chose_are_logged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log");
    let mut command = Command::new(PARALLAX);
    command.arg("serve").arg("--members").arg(folder.path());
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let mut process = Process::start("parallax", command, &log, Stop::Kill).expect("the binary starts");
    let answers = eventually("the logged admin address to answer", DEADLINE, async || {
        process.expect_running().map_err(|ended| ended.to_string())?;
        let text = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
        let admin = text.split("admin=").nth(1).and_then(|rest| rest.split(' ').next());
        let admin = admin.and_then(|admin| admin.parse().ok()).ok_or(text.clone())?;
        get(admin, "/healthz").await.map_err(|error| format!("{error:#}"))
    });
    assert_eq!(answers.await.expect("it answers").status, 200);
}
