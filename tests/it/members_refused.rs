//! `parallax members` when it can't be done: each mistake is told, with a remedy, and nothing is left half done.

use std::process::Command;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use super::envoys::DEADLINE;
use super::harness::{eventually, free_port, remote_secret};
use super::kubernetes::create;
use super::members::{SECRET, World, said as said_of};

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
    assert_eq!(output.status.code(), Some(69), "{}", said_of(&output));
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
    let words = said_of(&output);
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
    let words = said_of(&output);
    assert_eq!(output.status.code(), Some(77), "{words}");
    assert!(
        words.contains("not allowed to read the ServiceAccount istio-system/parallax-reader"),
        "{words}"
    );
    assert_eq!(world.tokens().await, 0);

    // Somebody else's Secret has it.
    let config = world.west.kubeconfig().expect("it can be read");
    let of_istioctl = |name: &str| remote_secret(name, "west", &config);
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
