//! Tokens in files, as projected ones are, of a kubeconfig and of the pod that Parallax runs in: a file that changes is read
//! again, without a start.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::envoys::Envoys;
use super::harness::{Kubernetes, Member, remote_secret};
use super::kubernetes::{create, furnish, run_pod};

/// A token of the service account `reader` that lasts as long as the Secret of this name.
async fn token(member: &Member, secret: &str) -> String {
    let client = member.client().await.expect("a client");
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
    create(&secrets, json!({"metadata": {"name": secret}})).await;
    let request: TokenRequest = serde_json::from_value(json!({"spec": {
        "audiences": [], "expirationSeconds": 3600, "boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": secret},
    }}))
    .expect("a request");
    let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
    let issued = accounts
        .create_token_request("reader", &PostParams::default(), &request)
        .await;
    issued.expect("a token").status.expect("it is issued").token
}

fn expiry(token: &str) -> f64 {
    let claims = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).expect("claims"))
        .expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    claims["exp"].as_f64().expect("a number")
}

#[tokio::test]
async fn a_token_file_that_changes_is_read_again() {
    let kubernetes = Kubernetes::start().await.expect("etcd starts");
    let east = kubernetes.start_member("east").await.expect("the API server starts");
    let client = furnish(&east, "net1", "192.0.2.1").await;
    run_pod(&client, "web-1", "10.1.0.1", true).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    create(&accounts, json!({"metadata": {"name": "reader"}})).await;
    let binding = json!({
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": "default"}],
    });
    create(&Api::<ClusterRoleBinding>::all(client.clone()), binding).await;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let (file, kubeconfig) = (folder.path().join("token"), folder.path().join("kubeconfig"));
    let mut text: Value = serde_json::from_str(&east.kubeconfig().expect("it can be read")).expect("it is JSON");
    text["users"][0]["user"] = json!({"tokenFile": file});
    std::fs::write(&kubeconfig, text.to_string()).expect("it can be written");
    let one = token(&east, "one").await;
    std::fs::write(&file, &one).expect("it can be written");
    let settings = format!("members:\n  - name: east\n    kubeconfig: {}\n", kubeconfig.display());
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    let mut envoys = Envoys::start(&control_plane, "east", "10.1.0.50").await;
    envoys.hold(&["10.1.0.1:8080*1@net1/z1"]).await;
    // The same file in a pod of the cluster, as a kubelet mounts it, with the authority beside it.
    let account = folder.path().join("account");
    std::fs::create_dir(&account).expect("it can be made");
    std::fs::copy(east.ca_path(), account.join("ca.crt")).expect("it can be copied");
    std::fs::write(account.join("namespace"), "istio-system").expect("it can be written");
    std::fs::write(account.join("token"), &one).expect("it can be written");
    let api_server = east.server_url().replace("https://", "").parse().expect("an address");
    let settings = "members: [{name: east, inCluster: true}]\nmemberSecrets: {inCluster: true}\n";
    let mut in_pod = ControlPlane::in_pod(settings, &account, api_server);
    in_pod.ready().await;
    in_pod.says(&["get", "endpoints", "web.shop"], "10.1.0.1").await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "istio-system");
    create(&secrets, remote_secret("north", "north", "no kubeconfig")).await;
    in_pod.says(&["get", "members"], "north is connecting").await;
    let metric = "parallax_member_credential_expiry_timestamp_seconds{member=\"east\",credential=\"token\"}";
    control_plane.says_metric(metric, |value| value == expiry(&one)).await;
    let said = control_plane.say(&["get", "members"]);
    assert!(said.contains("EXPIRES") && said.contains("59m"), "{said}");

    // The token is taken back: what is known stays, and the reason is told.
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
    secrets
        .delete("one", &DeleteParams::default())
        .await
        .expect("it is deleted");
    restart_watches(&mut control_plane).await;
    envoys.hold(&["10.1.0.1:8080*1@net1/z1"]).await;

    // Another one is in the file: it goes on.
    let two = token(&east, "two").await;
    std::fs::write(&file, &two).expect("it can be written");
    std::fs::write(account.join("token"), &two).expect("it can be written");
    control_plane.says(&["get", "members"], "Synced").await;
    run_pod(&client, "web-2", "10.1.0.2", true).await;
    envoys
        .hold(&["10.1.0.1:8080*1@net1/z1", "10.1.0.2:8080*1@net1/z1"])
        .await;
    in_pod.says(&["get", "endpoints", "web.shop"], "10.1.0.2").await;
    let logs = [&control_plane, &in_pod].map(|running| std::fs::read_to_string(running.process.log()));
    let log: String = logs.into_iter().map(|log| log.expect("there is a log")).collect();
    for token in [one, two] {
        assert!(!log.contains(&token), "a token is in the log");
    }
}

/// Waits until the API server takes the token no more, which it notices within a minute.
async fn restart_watches(control_plane: &mut ControlPlane) {
    let deadline = Duration::from_secs(120);
    let noticed = control_plane.says_within(deadline, &["get", "members"], "does not take our credentials");
    noticed.await;
}
