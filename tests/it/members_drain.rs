//! `parallax members` where the kind `Member` is installed: the object tells how the member fares, and drains it.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DeleteParams, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::Value;

use super::control_plane::ControlPlane;
use super::envoys::{DEADLINE, Envoys};
use super::harness::{Kubernetes, eventually};
use super::kubernetes::{furnish, run_pod};
use super::members::{kubeconfig_of, said};
use super::topologies::{account, apply_text};

const EAST: &str = "10.1.0.1:8080*1@net1/z1";

/// The token that the member's controllers write into a Secret.
async fn token_in(client: &Client, secret: &str) -> String {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "istio-system");
    let look = async || {
        let secret = secrets.get(secret).await.map_err(|error| error.to_string())?;
        let token = secret.data.and_then(|mut data| data.remove("token"));
        token.ok_or_else(|| "no token".to_owned())
    };
    let token = eventually("the token to be written", DEADLINE, look)
        .await
        .expect("it is");
    String::from_utf8(token.0).expect("it is text")
}

/// The version of a Secret.
async fn version(client: &Client, secret: &str) -> Option<String> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "istio-system");
    secrets
        .get(secret)
        .await
        .expect("it is there")
        .metadata
        .resource_version
}

/// An object that a manifest names, if it is there.
async fn find(client: &Client, object: &Value) -> Option<DynamicObject> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = text(&object["apiVersion"]);
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &text(&object["kind"])));
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    };
    api.get_opt(&text(&object["metadata"]["name"]))
        .await
        .expect("an answer")
}

#[tokio::test]
async fn a_member_object_comes_with_the_member_and_drains_it_before_it_goes() {
    let (_kubernetes, east, west) = Kubernetes::start_two(["east", "west"])
        .await
        .expect("etcd and API servers start");
    let east_client = furnish(&east, "net1", "192.0.2.1").await;
    let west_client = furnish(&west, "net2", "192.0.2.2").await;
    run_pod(&east_client, "web-1", "10.1.0.1", true).await;
    run_pod(&west_client, "web-1", "10.2.0.1", true).await;
    let folder = tempfile::tempdir().expect("a folder");
    // The control plane may do what config/kubernetes lets it do.
    let account = account(&east, &east_client, folder.path()).await;
    let account = account.display();
    let settings =
        format!("members:\n  - name: east\n    kubeconfig: {account}\nmemberSecrets:\n  kubeconfig: {account}\n");
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    let people = kubeconfig_of(folder.path(), &[&east, &west]).display().to_string();
    let members = |arguments: &[&str], code: i32| {
        let mut all = vec!["members"];
        all.extend(arguments);
        all.extend(["--context", "west", "--kubeconfig", &people, "--home-context", "east"]);
        let output = control_plane.run(&all);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    };
    let mut envoys = Envoys::start(&control_plane, "east", "10.1.0.50").await;
    envoys.hold(&[EAST]).await;

    // The object is made, and its status tells the truth.
    let said = members(&["attach", "west", "--network", "net2"], 0);
    assert!(said.contains("Member istio-system/west: made"), "{said}");
    envoys.hold(&[EAST, "192.0.2.2:15443*1@net2/z1"]).await;
    let kind = GroupVersionKind::gvk("parallax.dev", "v1alpha1", "Member");
    let objects: Api<DynamicObject> =
        Api::namespaced_with(east_client.clone(), "istio-system", &ApiResource::from_gvk(&kind));
    let look = async || {
        let object = objects.get("west").await.map_err(|error| error.to_string())?;
        let conditions = object.data["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let synced = conditions
            .iter()
            .any(|condition| condition["type"] == "Synced" && condition["status"] == "True");
        match synced && object.data["spec"]["network"] == "net2" {
            true => Ok(()),
            false => Err(format!("{:#}", object.data)),
        }
    };
    eventually("the Member to be synced", DEADLINE, look)
        .await
        .expect("it is");
    assert!(members(&["attach", "west"], 0).contains("nothing changed"));
    members(&["rotate", "west"], 0);

    // A wrong name does no harm to the right one.
    let said = members(&["detach", "wset"], 1);
    assert!(said.contains("under the name west"), "{said}");

    // A proxy that does not accept it: drained for the others, and not removed.
    let (_, stuck) = envoys.each().next().expect("there are some");
    stuck.process().pause();
    let said = members(&["detach", "west", "--drain", "--timeout", "2s"], 75);
    assert!(
        said.contains("1 proxy has not accepted") && said.contains("not removed"),
        "{said}"
    );
    let object = objects.get("west").await.expect("it is still there");
    assert_eq!(object.data["spec"]["weight"], 0);
    let listed = control_plane.json(&["get", "members"]);
    assert!(
        listed["members"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|member| member["name"] == "west")
    );

    // Once it does, all of it goes.
    let (_, stuck) = envoys.each().next().expect("there are some");
    stuck.process().resume();
    envoys.hold(&[EAST]).await;
    let said = members(&["detach", "west", "--drain"], 0);
    assert!(
        said.contains("proxies that have accepted to send it nothing: 4"),
        "{said}"
    );
    assert!(objects.get_opt("west").await.expect("an answer").is_none());
    envoys.hold(&[EAST]).await;

    // By hand, with what a dry run prints.
    apply_text(&west_client, &members(&["attach", "west", "--dry-run=member"], 0)).await;
    let token = token_in(&west_client, "parallax-reader-token").await;
    let home = members(&["attach", "west", "--dry-run=home", "--network", "net2"], 0);
    apply_text(&east_client, &home.replace("token: TOKEN", &format!("token: {token}"))).await;
    envoys.hold(&[EAST, "192.0.2.2:15443*1@net2/z1"]).await;

    // The command takes it over, with the token that is there, and says so to programs too.
    let said = members(&["attach", "west", "-o", "json"], 0);
    assert!(said.contains("token: there already, and valid"), "{said}");
    assert!(
        said.contains("\"endpoints\": 1") && said.contains("\"state\": \"Synced\""),
        "{said}"
    );

    // Another token by hand: what is printed names the cluster, keeps the network, and says which one to delete then.
    let versions = async || {
        (
            version(&east_client, "istio-remote-secret-west").await,
            version(&west_client, "parallax-reader-token").await,
        )
    };
    let before = versions().await;
    let member = members(&["rotate", "west", "--dry-run=member"], 0);
    let home = members(&["rotate", "west", "--dry-run=home"], 0);
    let deleted = members(&["detach", "west", "--dry-run"], 0);
    assert_eq!(versions().await, before, "a dry run changes nothing");
    let last = "kubectl --context west -n istio-system delete secret parallax-reader-token\n";
    assert!(member.ends_with(last), "{member}");
    apply_text(&west_client, &member).await;
    let token = token_in(&west_client, "parallax-reader-token-2").await;
    apply_text(&east_client, &home.replace("token: TOKEN", &format!("token: {token}"))).await;
    control_plane.logs("going on with the new kubeconfig").await;
    let tokens: Api<Secret> = Api::namespaced(west_client.clone(), "istio-system");
    let gone = tokens.delete("parallax-reader-token", &DeleteParams::default()).await;
    gone.expect("it is deleted");
    run_pod(&west_client, "web-2", "10.2.0.2", true).await;
    envoys.hold(&[EAST, "192.0.2.2:15443*2@net2/z1"]).await;
    let said = members(&["attach", "west"], 0);
    assert!(said.contains("token: there already, and valid"), "{said}");

    // What is printed of a detach is what it deletes.
    let said = members(&["detach", "west", "--no-wait"], 0);
    assert!(said.contains("the account of the reader removed"), "{said}");
    let deleted: Vec<Value> = serde_saphyr::from_multiple(&deleted).expect("it is YAML");
    let kinds: Vec<_> = deleted
        .iter()
        .map(|object| object["kind"].as_str().unwrap_or_default())
        .collect();
    let expected = [
        "Secret",
        "Member",
        "Secret",
        "ClusterRoleBinding",
        "ClusterRole",
        "ServiceAccount",
    ];
    assert_eq!(kinds, expected, "{deleted:#?}");
    for (at, object) in deleted.iter().enumerate() {
        let client = if at < 2 { &east_client } else { &west_client };
        let left = find(client, object).await;
        assert!(left.is_none(), "{left:?}");
    }
    envoys.hold(&[EAST]).await;
    envoys.are_content().await;
}
