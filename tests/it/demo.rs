//! The demo, as `make demo` runs it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use super::envoys::DEADLINE;
use super::harness::{Process, Stop, envoy_versions, eventually, example, get};

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(example("demo").expect("it is built"));
    command.args(arguments);
    command
}

/// Both ways to run it in one test: they share the folder `.demo`.
#[tokio::test]
async fn the_demo_ends_by_itself_or_when_it_is_told_and_leaves_nobody() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut once =
        Process::start("the demo", demo(&[]), &folder.path().join("once"), Stop::Terminate).expect("it starts");
    let status = once.wait(DEADLINE).await.expect("it ends");
    let said = std::fs::read_to_string(once.log()).expect("it speaks");
    assert!(status.success(), "{said}");
    for part in [
        envoy_versions()[0],
        "gateway 192.0.2.20:15443  weight 3",
        "withheld: network west has no usable gateway",
        "Done.",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }

    let log = folder.path().join("kept");
    let mut kept = Process::start("the demo", demo(&["--keep"]), &log, Stop::Terminate).expect("it starts");
    let up = eventually("everything to be up", DEADLINE, async || {
        kept.expect_running().map_err(|ended| ended.to_string())?;
        let said = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
        if said.contains("Ctrl-C ends it.") {
            Ok(())
        } else {
            Err(said)
        }
    });
    up.await.expect("it stays up");
    let envoy = admin_of("west");
    assert_eq!(get(envoy, "/ready").await.expect("it runs").status, 200);
    kept.terminate();
    let status = kept.wait(DEADLINE).await.expect("it ends");
    assert!(status.success(), "{status}");
    assert!(get(envoy, "/ready").await.is_err(), "an Envoy is left behind");
}

fn admin_of(member: &str) -> SocketAddr {
    let file: PathBuf = format!("{}/.demo/envoy-{member}/admin-address", env!("CARGO_MANIFEST_DIR")).into();
    let text = std::fs::read_to_string(file).expect("Envoy writes it");
    text.trim().parse().expect("an address")
}
