//! `parallax members`, as a person types it, on real API servers, seen in real Envoys.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::control_plane::ControlPlane;
use super::envoys::{DEADLINE, Envoys};
use super::harness::{Kubernetes, Member, eventually, free_port, get};
use super::kubernetes::{create, furnish, run_pod};

const EAST: &str = "10.1.0.1:8080*1@net1/z1";
const SECRET: &str = "istio-remote-secret-west";

/// One kubeconfig with a context for each member, as people have.
pub(crate) fn kubeconfig_of(folder: &Path, members: &[&Member]) -> PathBuf {
    let mut merged = json!({"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []});
    for member in members {
        let text = member.kubeconfig().expect("it can be read");
        let mut one: Value = serde_json::from_str(&text).expect("it is JSON");
        let name = member.name();
        one["users"][0]["name"] = name.into();
        one["contexts"][0]["context"]["user"] = name.into();
        for part in ["clusters", "users", "contexts"] {
            let list = merged[part].as_array_mut().expect("a list");
            list.push(one[part][0].clone());
        }
    }
    let file = folder.join("people.kubeconfig");
    std::fs::write(&file, merged.to_string()).expect("it can be written");
    file
}

/// Standard output and standard error.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Two members, one control plane with Secrets in east, and a person with contexts for both.
struct World {
    // Dropped in this order: processes before the store that they use.
    control_plane: ControlPlane,
    east_client: Client,
    west_client: Client,
    east: Member,
    west: Member,
    kubeconfig: PathBuf,
    _kubernetes: Kubernetes,
}

impl World {
    async fn start() -> Self {
        let kubernetes = Kubernetes::start().await.expect("etcd starts");
        let east = kubernetes.start_member("east").await.expect("the API server starts");
        let west = kubernetes.start_member("west").await.expect("the API server starts");
        let east_client = furnish(&east, "net1", "192.0.2.1").await;
        let west_client = furnish(&west, "net2", "192.0.2.2").await;
        run_pod(&east_client, "web-1", "10.1.0.1", true).await;
        run_pod(&west_client, "web-1", "10.2.0.1", true).await;
        let file = east.kubeconfig_path();
        let file = file.display();
        let settings =
            format!("members:\n  - name: east\n    kubeconfig: {file}\nmemberSecrets:\n  kubeconfig: {file}\n");
        let mut control_plane = ControlPlane::on_settings(&settings);
        control_plane.ready().await;
        let kubeconfig = kubeconfig_of(&control_plane.folder("people"), &[&east, &west]);
        Self {
            control_plane,
            east_client,
            west_client,
            east,
            west,
            kubeconfig,
            _kubernetes: kubernetes,
        }
    }

    /// `parallax members …` with the person's kubeconfig, at home in east.
    fn members(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary starts")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parallax"));
        command.arg("members").args(arguments);
        command.args(["--server", &self.control_plane.admin.to_string()]);
        if matches!(arguments[0], "attach" | "rotate" | "detach") {
            command
                .arg("--kubeconfig")
                .arg(&self.kubeconfig)
                .args(["--home-context", "east"]);
        }
        command
    }

    /// The same, which must succeed.
    fn does(&self, arguments: &[&str]) -> String {
        let output = self.members(arguments);
        let said = said(&output);
        assert!(output.status.success(), "{arguments:?}: {}: {said}", output.status);
        said
    }

    /// The same, which must fail with this exit code.
    fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.members(arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.east_client.clone(), "istio-system")
    }

    /// The kubeconfig that the control plane reads west with, and the version of its Secret.
    async fn attached(&self) -> (String, String) {
        let mut secret = self.secrets().get(SECRET).await.expect("it is there");
        let data = secret.data.take().and_then(|mut data| data.remove("west"));
        let text = String::from_utf8(data.expect("a key west").0).expect("it is text");
        (text, secret.metadata.resource_version.expect("it has a version"))
    }

    /// How many tokens of the reader there are in west.
    async fn tokens(&self) -> usize {
        let secrets: Api<Secret> = Api::namespaced(self.west_client.clone(), "istio-system");
        let params = ListParams::default().labels("app.kubernetes.io/component=reader");
        secrets.list(&params).await.expect("a list").items.len()
    }
}

async fn client(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("it can be used")).expect("a client")
}

#[tokio::test]
async fn a_member_is_attached_rotated_and_detached() {
    let world = World::start().await;
    let mut envoys = Envoys::start(&world.control_plane, "east", "10.1.0.50").await;
    envoys.hold(&[EAST]).await;
    let through = "192.0.2.2:15443*1@net2/z1";

    // Attach. It ends when the member is synced; the Envoys follow at once.
    let admin = world.control_plane.admin;
    let synced = async {
        let look = async || match get(admin, "/metrics").await {
            Ok(answer) if answer.body.contains("parallax_registry_synced{member=\"west\"} 1") => Ok(Instant::now()),
            _ => Err("it is not".to_owned()),
        };
        eventually("west to be synced", DEADLINE, look).await.expect("it is")
    };
    let held = async {
        envoys.hold(&[EAST, through]).await;
        Instant::now()
    };
    let attach = world.command(&["attach", "west", "--context", "west", "--network", "net2"]);
    let attach = tokio::task::spawn_blocking(move || { attach }.output().expect("the binary starts"));
    let (synced, held) = tokio::join!(synced, held);
    eprintln!(
        "every Envoy held it {:?} after the sync",
        held.saturating_duration_since(synced)
    );
    let output = attach.await.expect("it ends");
    let said = self::said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("west joined: synced after"), "{said}");
    assert!(
        said.contains("2 services, 2 endpoints, network net2") || said.contains("endpoint"),
        "{said}"
    );
    world.does(&["status", "west"]);
    let list = world.does(&["list"]);
    assert!(list.contains("secret istio-system/istio-remote-secret-west"), "{list}");

    // Again: nothing changes.
    let before = world.attached().await;
    let again = world.does(&["attach", "west", "--context", "west"]);
    assert!(again.contains("west was attached already; nothing changed"), "{again}");
    assert_eq!(world.attached().await, before);
    assert_eq!(world.tokens().await, 1);

    // Its account may read what endpoints are made of, and no more.
    let reader = client(&before.0).await;
    let secrets = Api::<Secret>::all(reader.clone()).list(&ListParams::default()).await;
    assert!(
        matches!(&secrets, Err(kube::Error::Api(status)) if status.code == 403),
        "{secrets:?}"
    );
    let accounts: Api<ServiceAccount> = Api::namespaced(reader.clone(), "istio-system");
    let made = accounts.create(&Default::default(), &ServiceAccount::default()).await;
    assert!(made.is_err(), "it can write");

    // Rotate: another token, the old one ends, and nothing is lost on the way.
    let said = world.does(&["rotate", "west", "--context", "west"]);
    assert!(said.contains("west is read with its new token"), "{said}");
    let after = world.attached().await;
    assert_ne!(after.0, before.0);
    assert_eq!(world.tokens().await, 1);
    let old = Api::<k8s_openapi::api::core::v1::Node>::all(reader);
    eventually("the old token to end", DEADLINE, async || {
        match old.list(&ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 401 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .expect("it ends");
    run_pod(&world.west_client, "web-2", "10.2.0.2", true).await;
    envoys.hold(&[EAST, "192.0.2.2:15443*2@net2/z1"]).await;
    let said = world.does(&["rotate", "west", "--context", "west", "--expires-in", "1h"]);
    assert!(said.contains("valid until 20"), "{said}");
    assert_eq!(world.tokens().await, 1);
    run_pod(&world.west_client, "web-3", "10.2.0.3", true).await;
    envoys.hold(&[EAST, "192.0.2.2:15443*3@net2/z1"]).await;

    // An account whose token is not ours stays.
    let stranger = json!({"metadata": {
        "name": "of-another-mesh", "labels": {"app.kubernetes.io/name": "parallax", "app.kubernetes.io/component": "reader"},
    }});
    let in_west: Api<Secret> = Api::namespaced(world.west_client.clone(), "istio-system");
    create(&in_west, stranger).await;
    let said = world.does(&["detach", "west", "--context", "west"]);
    assert!(said.contains("there are other tokens of it"), "{said}");
    envoys.hold(&[EAST]).await;
    assert!(!world.control_plane.say(&["get", "members"]).contains("west"));
    assert_eq!(world.tokens().await, 1);
    in_west
        .delete("of-another-mesh", &Default::default())
        .await
        .expect("it goes");

    // Without it all goes, and a second time nothing is left to do.
    let said = world.does(&["attach", "west", "--context", "west"]);
    assert!(said.contains("west joined"), "{said}");
    envoys.hold(&[EAST, "192.0.2.2:15443*3@net2/z1"]).await;
    world.does(&["detach", "west", "--context", "west"]);
    envoys.hold(&[EAST]).await;
    let west = world.west_client.clone();
    let accounts: Api<ServiceAccount> = Api::namespaced(west.clone(), "istio-system");
    assert!(accounts.get_opt("parallax-reader").await.expect("an answer").is_none());
    let roles: Api<ClusterRole> = Api::all(west.clone());
    assert!(roles.get_opt("parallax-reader").await.expect("an answer").is_none());
    let bindings: Api<ClusterRoleBinding> = Api::all(west);
    let bindings = bindings.list(&ListParams::default()).await.expect("a list").items;
    assert!(!bindings.iter().any(|binding| {
        binding
            .metadata
            .name
            .as_deref()
            .unwrap_or_default()
            .starts_with("parallax")
    }));
    world.does(&["detach", "west", "--context", "west"]);
    world.fails(&["detach", "west"], 66);
    envoys.are_content().await;

    let log = std::fs::read_to_string(world.control_plane.process.log()).expect("there is a log");
    for kubeconfig in [before.0, after.0] {
        let config: Value = serde_json::to_value(Kubeconfig::from_yaml(&kubeconfig).expect("it is one")).expect("JSON");
        let token = config["users"][0]["user"]["token"]
            .as_str()
            .expect("it has a token")
            .to_owned();
        assert!(!log.contains(&token), "a token is in the log");
        assert!(!said.contains(&token), "a token was said");
    }
}

#[tokio::test]
async fn what_cannot_be_attached_is_told_with_a_remedy() {
    let mut world = World::start().await;
    let attach = ["attach", "west", "--context", "west"];

    // Before anything is asked: the command line.
    let said = world.fails(&["attach", "West.1", "--context", "west"], 2);
    assert!(said.contains("it is no DNS label"), "{said}");
    let said = world.fails(&["attach", "west", "--context", "wset"], 66);
    assert!(
        said.contains("no context wset") && said.contains("it has east, west"),
        "{said}"
    );
    let said = world.fails(&["attach", "east", "--context", "west"], 1);
    assert!(said.contains("has a member east already, from kubeconfig"), "{said}");
    let said = world.fails(&["status", "west"], 66);
    assert!(said.contains("there is no member west"), "{said}");
    let said = world.fails(&["rotate", "west", "--context", "west"], 66);
    assert!(said.contains("there is no member west at home (context east"), "{said}");

    // No control plane there: nothing is done.
    let nobody = format!("127.0.0.1:{}", free_port());
    let output = Command::new(env!("CARGO_BIN_EXE_parallax"))
        .args([
            "members",
            "attach",
            "west",
            "--context",
            "west",
            "--home-context",
            "east",
            "--server",
            &nobody,
        ])
        .env("KUBECONFIG", &world.kubeconfig)
        .output()
        .expect("the binary starts");
    assert_eq!(output.status.code(), Some(69), "{}", self::said(&output));
    assert_eq!(world.tokens().await, 0);

    // A person who may not.
    let folder = world.control_plane.folder("nobody");
    let text = std::fs::read_to_string(&world.kubeconfig).expect("it can be read");
    let reader = reader_of(&world).await;
    let file = folder.join("kubeconfig");
    std::fs::write(&file, text.replace(world.west.token(), &reader)).expect("it can be written");
    let by_reader = |arguments: &[&str]| {
        let file = file.display().to_string();
        let mut all = vec!["members"];
        all.extend(arguments);
        all.extend([
            "--kubeconfig",
            &file,
            "--home-kubeconfig",
            &file,
            "--home-context",
            "west",
        ]);
        world.control_plane.run(&all)
    };
    let output = by_reader(&attach);
    let words = self::said(&output);
    assert_eq!(output.status.code(), Some(77), "{words}");
    assert!(
        words.contains("context west is not allowed to list Secrets in istio-system"),
        "{words}"
    );

    let file = file.display().to_string();
    let people = world.kubeconfig.display().to_string();
    let member_only = [
        "--kubeconfig",
        &file,
        "--home-kubeconfig",
        &people,
        "--home-context",
        "east",
    ];
    let output = world
        .control_plane
        .run(&[&["members"], &attach[..], &member_only].concat());
    let words = self::said(&output);
    assert_eq!(output.status.code(), Some(77), "{words}");
    assert!(
        words.contains("not allowed to read the ServiceAccount istio-system/parallax-reader"),
        "{words}"
    );
    assert_eq!(world.tokens().await, 0);

    // Somebody else's Secret has it.
    let config = world.west.kubeconfig().expect("it can be read");
    let of_istioctl = |name: &str| {
        json!({
            "metadata": {"name": name, "labels": {"istio/multiCluster": "true"}}, "stringData": {"west": config},
        })
    };
    create(&world.secrets(), of_istioctl("west-by-hand")).await;
    let said = world.fails(&attach, 1);
    assert!(
        said.contains("there is a member west already, in the Secret west-by-hand"),
        "{said}"
    );
    world
        .secrets()
        .delete("west-by-hand", &Default::default())
        .await
        .expect("it goes");
    create(&world.secrets(), of_istioctl(SECRET)).await;
    let said = world.fails(&attach, 1);
    assert!(said.contains("was not made by this command"), "{said}");
    world
        .secrets()
        .delete(SECRET, &Default::default())
        .await
        .expect("it goes");

    // The control plane can't reach it: it says so, and the way out works.
    let nowhere = format!("https://127.0.0.1:{}", free_port());
    let said = world.fails(
        &[
            "attach",
            "west",
            "--context",
            "west",
            "--server-address",
            &nowhere,
            "--timeout",
            "2s",
        ],
        75,
    );
    assert!(
        said.contains("can't be reached") && said.contains("--server-address"),
        "{said}"
    );
    world.fails(&["status", "west"], 75);
    let said = world.does(&attach);
    assert!(said.contains("west joined"), "{said}");
    assert_eq!(world.tokens().await, 1, "the token was kept");

    // This cluster under another name, and another cluster under this name.
    let said = world.fails(&["attach", "north", "--context", "west"], 1);
    assert!(said.contains("a member already, under the name west"), "{said}");
    let said = world.fails(&["attach", "west", "--context", "east"], 1);
    assert!(said.contains("the member west is another cluster"), "{said}");

    // A token that somebody revoked is replaced.
    let in_west: Api<Secret> = Api::namespaced(world.west_client.clone(), "istio-system");
    let found = in_west
        .list(&ListParams::default().labels("app.kubernetes.io/component=reader"))
        .await;
    let name = found.expect("a list").items.remove(0).metadata.name.expect("a name");
    in_west.delete(&name, &Default::default()).await.expect("it goes");
    let (before, _) = world.attached().await;
    eventually("attach to find that its token ended", DEADLINE, async || {
        world.does(&attach);
        match world.attached().await.0 == before {
            true => Err("the same token".to_owned()),
            false => Ok(()),
        }
    })
    .await
    .expect("it takes a new one");

    // Roles that somebody changed are put right; a Secret that lost its token too.
    let roles: Api<ClusterRole> = Api::all(world.west_client.clone());
    let none = json!({"rules": []});
    roles
        .patch("parallax-reader", &PatchParams::default(), &Patch::Merge(none))
        .await
        .expect("it is changed");
    let said = world.does(&attach);
    assert!(said.contains("ClusterRole parallax-reader: changed"), "{said}");

    // The API server is away: attach says so, detach lets go at home and says what is left.
    world.west.kill_apiserver();
    let said = world.fails(&attach, 69);
    assert!(
        said.contains("the API server of context west at https://127.0.0.1:"),
        "{said}"
    );
    let said = world.fails(&["detach", "west", "--context", "west"], 69);
    assert!(
        said.contains("west has left the mesh, but its account and token are still in it"),
        "{said}"
    );
    assert!(!world.control_plane.say(&["get", "members"]).contains("west"));
    world.west.restart_apiserver().await.expect("it starts again");
    assert_eq!(world.tokens().await, 1);
    world.does(&["detach", "west", "--context", "west"]);
    assert_eq!(world.tokens().await, 0, "the rest was removed");
    let _ = &world.east;
}

/// A token in west that may do nothing.
async fn reader_of(world: &World) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(world.west_client.clone(), "default");
    let request = serde_json::from_value(json!({"metadata": {}, "spec": {"audiences": []}})).expect("a request");
    let answer = accounts
        .create_token_request("default", &Default::default(), &request)
        .await;
    let status = answer.expect("a token").status;
    let role = json!({
        "metadata": {"name": "sees-which-cluster"},
        "rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}],
    });
    create(&Api::<ClusterRole>::all(world.west_client.clone()), role).await;
    let binding = json!({
        "metadata": {"name": "sees-which-cluster"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sees-which-cluster"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    });
    create(&Api::<ClusterRoleBinding>::all(world.west_client.clone()), binding).await;
    status.expect("it has a token").token
}
