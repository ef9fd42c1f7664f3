//! `parallax members`, as a person types it, on real API servers, seen in real Envoys.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::envoys::{DEADLINE, Envoys};
use super::harness::{self, Kubernetes, Member, eventually};
use super::kubernetes::{create, furnish, run_pod};

const EAST: &str = "10.1.0.1:8080*1@net1/z1";
pub(crate) const SECRET: &str = "istio-remote-secret-west";

/// One kubeconfig with a context for each member, as people have.
pub(crate) fn kubeconfig_of(folder: &Path, members: &[&Member]) -> PathBuf {
    harness::kubeconfig_of(folder, members).expect("it can be written")
}

/// Standard output and standard error.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Two members, one control plane with Secrets in east, and a person with contexts for both.
pub(crate) struct World {
    // Dropped in this order: processes before the store that they use.
    pub(crate) control_plane: ControlPlane,
    pub(crate) east_client: Client,
    pub(crate) west_client: Client,
    pub(crate) east: Member,
    pub(crate) west: Member,
    pub(crate) kubeconfig: PathBuf,
    _kubernetes: Kubernetes,
}

impl World {
    pub(crate) async fn start() -> Self {
        let (kubernetes, east, west) = Kubernetes::start_two(["east", "west"])
            .await
            .expect("etcd and API servers start");
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

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
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
    pub(crate) fn does(&self, arguments: &[&str]) -> String {
        let output = self.members(arguments);
        let said = said(&output);
        assert!(output.status.success(), "{arguments:?}: {}: {said}", output.status);
        said
    }

    /// The same, which must fail with this exit code.
    pub(crate) fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.members(arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.east_client.clone(), "istio-system")
    }

    /// The kubeconfig that the control plane reads west with, and the version of its Secret.
    pub(crate) async fn attached(&self) -> (String, String) {
        let mut secret = self.secrets().get(SECRET).await.expect("it is there");
        let data = secret.data.take().and_then(|mut data| data.remove("west"));
        let text = String::from_utf8(data.expect("a key west").0).expect("it is text");
        (text, secret.metadata.resource_version.expect("it has a version"))
    }

    /// How many tokens of the reader there are in west.
    pub(crate) async fn tokens(&self) -> usize {
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

/// How long after west's first complete sync the last Envoy took `web` with it: both by their own word. They hold it.
async fn after_sync(world: &World, envoys: &mut Envoys) -> Duration {
    let synced = |log: &str| {
        log.lines()
            .filter(|line| line.contains("member is synced") && line.contains("member=west"))
            .count()
    };
    let log = world.control_plane.process.log();
    let look = async || match synced(&std::fs::read_to_string(log).map_err(|error| error.to_string())?) {
        0 => Err("it is not".to_owned()),
        _ => Ok(()),
    };
    eventually("west to be synced", DEADLINE, look).await.expect("it is");
    let taken = envoys.web_taken_at().await;
    taken
        .duration_since(world.control_plane.synced_at("west"))
        .unwrap_or_default()
}

#[tokio::test]
async fn a_member_is_attached_rotated_and_detached() {
    let world = World::start().await;
    let mut envoys = Envoys::start(&world.control_plane, "east", "10.1.0.50").await;
    envoys.hold(&[EAST]).await;
    let through = "192.0.2.2:15443*1@net2/z1";

    // Attach. It ends when the member is synced; the Envoys follow at once.
    let attach = world.command(&["attach", "west", "--context", "west", "--network", "net2"]);
    let attach = tokio::task::spawn_blocking(move || { attach }.output().expect("the binary starts"));
    envoys.hold(&[EAST, through]).await;
    let first = after_sync(&world, &mut envoys).await;
    let output = attach.await.expect("it ends");
    let said = self::said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("west joined: synced after"), "{said}");
    assert!(said.contains("; 3 services, 1 endpoint, network net2\n"), "{said}");
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
    let second = after_sync(&world, &mut envoys).await;
    // The machine may be busy, hardly twice.
    eprintln!("the last Envoy had it {first:?} and {second:?} after the sync");
    assert!(first.min(second) < Duration::from_secs(1), "{first:?} and {second:?}");
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
