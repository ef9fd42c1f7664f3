//! The mesh that a person looks at, as `make mesh` runs it.

use std::process::Command;
use std::time::Duration;

use super::harness::{Process, Stop, eventually, example};
use super::space::need_namespaces;

/// It takes a minute and a half on two free cores.
const DEADLINE: Duration = Duration::from_secs(400);

fn spaces_of(process: u32) -> Vec<String> {
    let output = Command::new("ip")
        .args(["netns", "list"])
        .output()
        .expect("there is ip");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let prefix = format!("px{process}-");
    text.lines()
        .filter(|line| line.starts_with(&prefix))
        .map(str::to_owned)
        .collect()
}

async fn until_it_says(words: &str, mesh: &mut Process) {
    eventually(words, DEADLINE, async || {
        mesh.expect_running().map_err(|ended| ended.to_string())?;
        let said = std::fs::read_to_string(mesh.log()).map_err(|error| error.to_string())?;
        if said.contains(words) { Ok(()) } else { Err(said) }
    })
    .await
    .expect("it gets there");
}

/// Types the line with these words that it told to type, and looks for the answer.
fn assert_typed(said: &str, words: &str, answer: &str) {
    let line = said.lines().find(|line| line.contains(words)).expect("it told so");
    // Without a terminal each line begins with the time.
    let (_, line) = line.split_once("ip netns").expect("it is typed in a namespace");
    let line = format!("ip netns{}", line.split("   (").next().expect("there is a first part"));
    let output = Command::new("bash")
        .args(["-c", &line])
        .output()
        .expect("there is bash");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains(answer),
        "{line}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Both ways to end in one test: each needs the whole machine.
#[tokio::test]
async fn the_mesh_keeps_its_promises_and_leaves_nothing() {
    need_namespaces();
    let folder = tempfile::tempdir().expect("a folder");
    let mesh = example("mesh").expect("it is built");
    let start = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(&mesh);
        command.args(arguments);
        Process::start("the mesh", command, &folder.path().join(name), Stop::Terminate).expect("it starts")
    };
    let mut stopped = start("stopped", &[]);
    until_it_says("Starting ten pods", &mut stopped).await;
    assert!(!spaces_of(stopped.id()).is_empty());
    stopped.terminate();
    let status = stopped.wait(DEADLINE).await.expect("it ends");
    assert_eq!(status.code(), Some(130));
    assert_eq!(spaces_of(stopped.id()), Vec::<String>::new());

    let mut whole = start("whole", &["--keep"]);
    until_it_says("Ctrl-C ends it.", &mut whole).await;
    let said = std::fs::read_to_string(whole.log()).expect("it speaks");
    for (line, answer) in [
        ("explain web.shop:80", "gateway"),
        ("get members", "Synced"),
        ("curl -s http://web.shop:80", "web-"),
        ("localhost:15000/clusters", "outbound|80||web.shop.svc.cluster.local"),
    ] {
        assert_typed(&said, line, answer);
    }
    whole.terminate();
    let status = whole.wait(DEADLINE).await.expect("it ends");
    assert!(status.success(), "{said}");
    for part in [
        "1. client-1 in east asks",
        "through eastwest-2, eastwest-3",
        "direct",
        "7. The control plane is killed",
        "Done:",
        "; 0 GET failed",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
    assert!(!said.contains("BROKEN"), "{said}");
    assert_eq!(spaces_of(whole.id()), Vec::<String>::new());
}

/// Who may not make namespaces is told so, and what to do.
#[test]
fn without_root_it_says_what_it_needs() {
    need_namespaces();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "1337", "--regid", "1337", "--clear-groups"]);
    // Where that user may not read the program, this says nothing about it.
    let copy = tempfile::tempdir().expect("a folder");
    let open = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(copy.path(), open(0o755)).expect("it is ours");
    let program = copy.path().join("mesh");
    std::fs::copy(example("mesh").expect("it is built"), &program).expect("it can be copied");
    let output = command.arg(program).output().expect("there is setpriv");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("need root"), "{said}");
}
