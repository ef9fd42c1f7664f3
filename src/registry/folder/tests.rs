//! Real folders, and what is done to them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::super::run::run_member;
use super::super::testing::{Recorder, id, is_stale, until_report};
use super::super::{MemberOptions, MemberSource, MemberState, Members, run_members_folder};
use super::*;
use crate::table::{Kind, Record};

struct Running {
    folder: TempDir,
    recorder: Arc<Recorder>,
    members: Members,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(&folder.path().join("east").join(name), text);
        }
        let recorder = Arc::new(Recorder::default());
        let members = Members::default();
        let cancel = CancellationToken::new();
        let source = MemberSource::Folder {
            path: folder.path().join("east"),
        };
        let task = tokio::spawn(run_member(
            id("east"),
            source,
            MemberOptions::default(),
            recorder.clone(),
            members.clone(),
            cancel.clone(),
        ));
        Self {
            folder,
            recorder,
            members,
            cancel,
            task,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("east").join(name)
    }

    async fn has(&self, names: &[&str]) {
        self.recorder.until_names("east", names).await;
    }

    async fn problem(&self, text: &str) {
        until_report(&self.members, "east", text, |report| {
            report.problems.iter().any(|problem| problem.to_string().contains(text))
        })
        .await;
    }

    async fn no_problem(&self) {
        until_report(&self.members, "east", "no problem", |report| report.problem_count == 0).await;
    }

    async fn end(self) {
        self.cancel.cancel();
        tokio::time::timeout(super::super::testing::DEADLINE, self.task)
            .await
            .expect("it ends when it is cancelled")
            .unwrap();
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn node(name: &str) -> String {
    format!("apiVersion: v1\nkind: Node\nmetadata:\n  name: {name}\n")
}

#[tokio::test]
async fn everything_comes_at_once_and_edits_follow() {
    let running = Running::start(&[
        ("a.yaml", &node("n1")),
        ("sub/b.yml", &node("n2")),
        (
            "c.json",
            r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n3"}}"#,
        ),
        (".hidden.yaml", &node("no")),
        ("b.yaml~", &node("no")),
        ("README.md", "no: manifest: here"),
    ]);
    running.has(&["Node n1", "Node n2", "Node n3"]).await;
    tokio::time::timeout(
        super::super::testing::DEADLINE,
        running.members.wait_synced(&id("east")),
    )
    .await
    .unwrap();
    let changes = running.recorder.changes();
    assert!(matches!(changes[0], RegistryChange::Joined { network: None }));
    let RegistryChange::Replace(lists) = &changes[1] else {
        panic!("{changes:?}");
    };
    assert_eq!((lists.len(), changes.len()), (8, 2), "one replacement of all kinds");
    let report = running.members.get(&id("east")).unwrap();
    assert_eq!(report.counts[&Kind::Node], 3);
    assert_eq!((report.events_total, report.problem_count), (3, 0));

    // In place, by a rename over it, by links that are swapped, in a new sub folder, and by removal.
    write(&running.path("a.yaml"), &node("n4"));
    running.has(&["Node n2", "Node n3", "Node n4"]).await;
    write(&running.path("a.new"), &node("n5"));
    fs::rename(running.path("a.new"), running.path("a.yaml")).unwrap();
    running.has(&["Node n2", "Node n3", "Node n5"]).await;
    write(&running.path("new/deep/d.yaml"), &node("n6"));
    running.has(&["Node n2", "Node n3", "Node n5", "Node n6"]).await;
    fs::remove_file(running.path("c.json")).unwrap();
    running.has(&["Node n2", "Node n5", "Node n6"]).await;
    running.end().await;
}

#[tokio::test]
async fn a_config_map_as_kubernetes_mounts_it() {
    let running = Running::start(&[("..one/a.yaml", &node("n1"))]);
    symlink("..one", running.path("..data")).unwrap();
    symlink("..data/a.yaml", running.path("a.yaml")).unwrap();
    running.has(&["Node n1"]).await;
    write(&running.path("..two/a.yaml"), &node("n2"));
    symlink("..two", running.path("..data_tmp")).unwrap();
    fs::rename(running.path("..data_tmp"), running.path("..data")).unwrap();
    running.has(&["Node n2"]).await;
    running.end().await;
}

#[tokio::test]
async fn a_broken_file_keeps_what_it_said_and_costs_no_other() {
    let running = Running::start(&[("a.yaml", &node("n1")), ("b.yaml", &node("n2"))]);
    running.has(&["Node n1", "Node n2"]).await;
    write(&running.path("a.yaml"), "apiVersion: v1\nkind: [Node\n");
    running.problem("what the file said before is kept").await;
    write(&running.path("b.yaml"), &node("n3"));
    running.has(&["Node n1", "Node n3"]).await;
    // Empty is what a file is between being opened and being written.
    write(&running.path("b.yaml"), "");
    running.problem("b.yaml: it is empty now").await;
    write(&running.path("c.yaml"), &node("n4"));
    running.has(&["Node n1", "Node n3", "Node n4"]).await;
    fs::write(running.path("b.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    running.problem("b.yaml: it is no text").await;
    write(&running.path("a.yaml"), &node("n5"));
    write(&running.path("b.yaml"), &node("n6"));
    running.has(&["Node n4", "Node n5", "Node n6"]).await;
    running.no_problem().await;
    let report = running.members.get(&id("east")).unwrap();
    assert_eq!(report.state, MemberState::Synced);
    running.end().await;
}

/// A folder that is looked at whenever the test says so.
struct Looked {
    root: TempDir,
    folder: Folder,
    begun: Instant,
}

impl Looked {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path().to_owned());
        Self {
            root,
            folder,
            begun: Instant::now(),
        }
    }

    /// Looks, this long after the test began and with files of this age.
    fn look(&mut self, after: u64, age: u64, closed: &[&str]) -> Outcome {
        let file = fs::File::open(self.root.path().join("a.yaml"));
        let modified = file.and_then(|file| file.metadata()?.modified());
        let now = Now {
            elapsing: self.begun + Duration::from_millis(after),
            wall: modified.unwrap_or(SystemTime::UNIX_EPOCH) + Duration::from_millis(age),
        };
        let closed = closed.iter().map(|name| self.root.path().join(name)).collect();
        self.folder.scan(&closed, now).unwrap()
    }

    fn nodes(&self) -> usize {
        self.folder.contents().0[&Kind::Node].len()
    }
}

#[test]
fn a_young_file_is_taken_when_its_writer_is_done_or_it_has_settled() {
    let mut looked = Looked::new();
    write(&looked.root.path().join("a.yaml"), &node("n1"));
    let outcome = looked.look(0, 10, &[]);
    assert_eq!(outcome.again_in, Some(Duration::from_millis(40)));
    assert_eq!((outcome.changed, looked.nodes()), (false, 0));
    let outcome = looked.look(5, 15, &["a.yaml"]);
    assert_eq!((outcome.changed, outcome.again_in, looked.nodes()), (true, None, 1));
    let two = format!("{}---\n{}", node("n1"), node("n2"));
    write(&looked.root.path().join("a.yaml"), &two);
    assert!(!looked.look(10, 0, &[]).changed);
    let outcome = looked.look(60, 50, &[]);
    assert_eq!((outcome.changed, outcome.again_in, looked.nodes()), (true, None, 2));
    // Whoever never stops writing is read all the same.
    write(&looked.root.path().join("a.yaml"), &node("n1"));
    assert!(!looked.look(100, 1, &[]).changed);
    assert!(!looked.look(1_000, 1, &[]).changed);
    assert!(looked.look(1_100, 1, &[]).changed);
    assert_eq!(looked.nodes(), 1);
}

#[test]
fn files_are_gone_when_no_more_of_them_go() {
    let mut looked = Looked::new();
    for name in ["a.yaml", "b.yaml", "c.yaml"] {
        write(&looked.root.path().join(name), &node(&name[..1]));
    }
    assert!(looked.look(0, 1_000, &[]).changed);
    fs::remove_file(looked.root.path().join("c.yaml")).unwrap();
    let outcome = looked.look(10, 1_000, &[]);
    assert_eq!(
        (outcome.changed, outcome.again_in),
        (false, Some(Duration::from_millis(100)))
    );
    fs::remove_file(looked.root.path().join("b.yaml")).unwrap();
    assert!(!looked.look(109, 1_000, &[]).changed, "another one went");
    assert!(!looked.look(208, 1_000, &[]).changed);
    assert_eq!(looked.nodes(), 3);
    assert!(looked.look(209, 1_000, &[]).changed);
    assert_eq!(looked.nodes(), 1);
    // One that comes back in time was never gone.
    fs::remove_file(looked.root.path().join("a.yaml")).unwrap();
    assert!(!looked.look(300, 1_000, &[]).changed);
    write(&looked.root.path().join("a.yaml"), &node("a"));
    looked.look(350, 1_000, &[]);
    assert!(!looked.look(450, 1_000, &[]).changed);
    assert_eq!(looked.nodes(), 1);
}

#[tokio::test]
async fn of_an_object_that_is_there_twice_the_first_counts() {
    let first = "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {topology.kubernetes.io/zone: a}}\n";
    let second = first.replace("zone: a", "zone: b");
    let running = Running::start(&[("b.yaml", &second), ("a.yaml", first)]);
    running
        .problem("Node n1 (b.yaml:1): it is already in a.yaml:1, which counts")
        .await;
    let zone = |recorder: &Recorder| match recorder.record("east", Kind::Node, "n1") {
        Some(Record::Node(node)) => node.locality.zone().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(zone(&running.recorder), "a");
    fs::remove_file(running.path("a.yaml")).unwrap();
    running.no_problem().await;
    assert_eq!(zone(&running.recorder), "b");
    running.end().await;
}

#[tokio::test]
async fn a_folder_that_vanishes_loses_nothing_and_may_come_back() {
    let many: Vec<_> = (0..50)
        .map(|at| (format!("{at}.yaml"), node(&format!("n{at}"))))
        .collect();
    let files: Vec<_> = many.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let running = Running::start(&files);
    running
        .recorder
        .until("all are there", |recorder| recorder.names("east").len() == 50)
        .await;
    // File by file, as rm does it.
    fs::remove_dir_all(running.path("")).unwrap();
    let report = until_report(&running.members, "east", "stale", is_stale).await;
    assert!(
        report.state.to_string().contains("there is no folder"),
        "{}",
        report.state
    );
    assert!(report.synced_once);
    assert_eq!(report.counts[&Kind::Node], 50);
    assert_eq!(running.recorder.names("east").len(), 50);
    write(&running.path("a.yaml"), &node("back"));
    running.has(&["Node back"]).await;
    until_report(&running.members, "east", "synced", |report| {
        report.state == MemberState::Synced
    })
    .await;
    // It is watched again.
    write(&running.path("a.yaml"), &node("again"));
    running.has(&["Node again"]).await;
    running.end().await;
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_waited_for() {
    let running = Running::start(&[]);
    let report = until_report(&running.members, "east", "connecting", |report| {
        report.state.to_string().contains("there is no folder")
    })
    .await;
    assert!(!report.synced_once);
    write(&running.path("a.yaml"), &node("n1"));
    running.has(&["Node n1"]).await;
    running.end().await;
}

#[tokio::test]
async fn a_file_that_is_too_large_is_not_read() {
    let running = Running::start(&[("a.yaml", &node("n1"))]);
    running.has(&["Node n1"]).await;
    let large = fs::File::create(running.path("b.yaml")).unwrap();
    large.set_len((16 << 20) + 1).unwrap();
    running.problem("b.yaml: it is larger than 16 MiB").await;
    running.has(&["Node n1"]).await;
    running.end().await;
}

#[tokio::test]
async fn sub_folders_are_members_and_new_ones_join() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("east/a.yaml"), &node("n1"));
    write(&folder.path().join("bad name!/a.yaml"), &node("n1"));
    write(&folder.path().join("README.md"), "text");
    let recorder = Arc::new(Recorder::default());
    let members = Members::default();
    let cancel = CancellationToken::new();
    let names = super::super::list_members_folder(folder.path().to_owned())
        .await
        .unwrap();
    assert_eq!(names, [id("east")]);
    let task = tokio::spawn(run_members_folder(
        folder.path().to_owned(),
        MemberOptions::default(),
        recorder.clone(),
        members.clone(),
        cancel.clone(),
    ));
    recorder.until_names("east", &["Node n1"]).await;
    let problems = members.problems();
    assert!(problems[0].to_string().contains("bad name!"), "{problems:?}");
    write(&folder.path().join("west/a.yaml"), &node("n2"));
    recorder.until_names("west", &["Node n2"]).await;
    fs::remove_dir_all(folder.path().join("east")).unwrap();
    until_report(&members, "east", "stale", is_stale).await;
    assert_eq!(recorder.names("east"), ["Node n1"]);
    assert_eq!(members.list().len(), 2);

    // The name is taken as long as we run.
    let source = MemberSource::InCluster;
    let refused = run_member(
        id("west"),
        source,
        MemberOptions::default(),
        recorder.clone(),
        members.clone(),
        cancel.clone(),
    );
    let mut refused = std::pin::pin!(refused);
    assert!(
        futures::poll!(refused.as_mut()).is_pending(),
        "whoever runs it would take its end for a fault"
    );
    let problems = members.problems();
    assert!(
        problems
            .iter()
            .any(|problem| problem.to_string().contains("another member has this name"))
    );
    cancel.cancel();
    refused.await;
    tokio::time::timeout(super::super::testing::DEADLINE, task)
        .await
        .unwrap()
        .unwrap();

    let missing = super::super::list_members_folder(folder.path().join("none"))
        .await
        .unwrap_err();
    assert!(missing.to_string().contains("can't be read"), "{missing}");
}
