//! Kinds of Istio in real API servers: installed while we read, not allowed, and taken away.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::harness::{
    IstioKind, Kubernetes, PEER_AUTHENTICATION, SERVICE_ENTRY, WORKLOAD_ENTRY, eventually, install_kind, remove_kind,
};
use super::kubernetes::create;

/// Longer than the pause between two looks for what is missing.
const A_LOOK: Duration = Duration::from_secs(100);

/// Creates an object of a kind, as soon as the API server takes it.
pub(crate) async fn create_of(client: &Client, kind: IstioKind, version: &str, object: Value) {
    let (group, kind, plural) = kind;
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), "shop", &resource);
    let mut object: DynamicObject = serde_json::from_value(object).expect("an object");
    object.types = Some(TypeMeta {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
    });
    eventually(
        "an object of a new kind to be taken",
        Duration::from_secs(30),
        async || {
            let created = objects.create(&PostParams::default(), &object).await;
            created.map(drop).map_err(|error| error.to_string())
        },
    )
    .await
    .expect("it is taken");
}

fn kind(member: &Value, kind: &str) -> String {
    let kinds = member["kinds"].as_array().into_iter().flatten();
    let mut found = kinds.filter(|report| report["kind"] == kind);
    found.next().map_or_else(String::new, |report| {
        report["state"].as_str().unwrap_or_default().to_owned()
    })
}

async fn until_member(control_plane: &ControlPlane, what: &str, holds: impl Fn(&Value) -> bool) {
    eventually(what, A_LOOK, async || {
        let answer = control_plane.json(&["get", "members"]);
        if holds(&answer["members"][0]) {
            Ok(())
        } else {
            Err(format!("{answer:#}"))
        }
    })
    .await
    .expect("it gets there");
}

#[tokio::test]
async fn kinds_of_istio_come_in_when_they_are_installed_and_go_when_they_are_taken_away() {
    let kubernetes = Kubernetes::start().await.expect("etcd starts");
    let member = kubernetes.start_member("east").await.expect("the API server starts");
    let client = member.client().await.expect("a client");
    create(
        &Api::<Namespace>::all(client.clone()),
        json!({"metadata": {"name": "shop"}}),
    )
    .await;
    // One is there from the start, in an old version; the others are not.
    install_kind(&client, WORKLOAD_ENTRY, "v1alpha3")
        .await
        .expect("it is taken");
    let vm = json!({"metadata": {"name": "vm"}, "spec": {"address": "10.1.0.9"}});
    create_of(&client, WORKLOAD_ENTRY, "v1alpha3", vm).await;
    let settings = format!(
        "members:\n  - name: east\n    kubeconfig: {}\n",
        member.kubeconfig_path().display()
    );
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    let all = |member: &Value| {
        member["state"] == "Synced"
            && member["counts"]["WorkloadEntry"] == 1
            && kind(member, "WorkloadEntry") == "Connected"
            && ["ServiceEntry", "PeerAuthentication"]
                .iter()
                .all(|missing| kind(member, missing) == "NotInstalled")
    };
    until_member(&control_plane, "one kind, and two that are not installed", all).await;
    assert_eq!(control_plane.json(&["get", "members"])["members"][0]["problemCount"], 0);

    install_kind(&client, SERVICE_ENTRY, "v1").await.expect("it is taken");
    install_kind(&client, PEER_AUTHENTICATION, "v1beta1")
        .await
        .expect("it is taken");
    let entry = json!({"metadata": {"name": "api"}, "spec": {"hosts": ["api.example.com"], "resolution": "DNS",
        "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}], "subjectAltNames": ["x"]}});
    create_of(&client, SERVICE_ENTRY, "v1", entry).await;
    create_of(
        &client,
        PEER_AUTHENTICATION,
        "v1beta1",
        json!({"metadata": {"name": "strict"}, "spec": {"mtls": {"mode": "STRICT"}}}),
    )
    .await;
    let both = |member: &Value| member["counts"]["ServiceEntry"] == 1 && member["counts"]["PeerAuthentication"] == 1;
    until_member(&control_plane, "the kinds that were installed", both).await;
    let said = control_plane.say(&["get", "members"]);
    let problem = "ServiceEntry shop/api: spec.subjectAltNames is not supported";
    assert!(said.contains(problem), "{said}");

    remove_kind(&client, SERVICE_ENTRY).await.expect("it goes");
    let gone = |member: &Value| member["counts"]["ServiceEntry"] == 0 && member["state"] == "Synced";
    until_member(&control_plane, "its objects to go", gone).await;
}
