//! Kinds of Istio in real API servers: installed while we read, not allowed, and taken away.

use std::collections::HashMap;
use std::time::Duration;

use envoy_types::pb::google::protobuf::{Struct, Value as Field, value::Kind as FieldKind};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::harness::{
    IstioKind, Kubernetes, PEER_AUTHENTICATION, SERVICE_ENTRY, WORKLOAD_ENTRY, eventually, install_kind, remove_kind,
};
use super::kubernetes::create;
use super::raw::{CDS, RawConnection, RawStream, first, framed};

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
    drop(control_plane);
    policies_that_can_not_be_read_let_nothing_in(&client, &settings).await;
}

const UNAVAILABLE: i32 = 14;

/// A proxy of member east that asks for clusters: its stream, or the status that this ends with.
async fn attaches(control_plane: &ControlPlane, role: &str) -> Result<RawStream, i32> {
    let connection = RawConnection::open(control_plane.xds, 1 << 20).await;
    let mut stream = connection.stream().await.expect("a stream");
    let mut request = first(&format!("{role}~10.1.0.1~a-1.shop~shop.svc.cluster.local"), CDS, []);
    let member = Field {
        kind: Some(FieldKind::StringValue("east".to_owned())),
    };
    let node = request.node.as_mut().expect("the first request has one");
    node.metadata = Some(Struct {
        fields: HashMap::from([("CLUSTER_ID".to_owned(), member)]),
    });
    stream.send(framed(&request)).await.expect("it is taken");
    match stream.answer().await.expect("an answer or an end") {
        Some(_) => Ok(stream),
        None => Err(stream.end().await.expect("an end").expect("a status")),
    }
}

/// As when somebody adds a version to a kind, and whoever converts objects to it is not there.
async fn convert_policies_by(client: &Client, conversion: Value) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let (group, _, plural) = PEER_AUTHENTICATION;
    let name = format!("{plural}.{group}");
    let known = definitions.get(&name).await.expect("it is installed");
    let mut versions = serde_json::to_value(&known.spec.versions).expect("it is JSON");
    let versions = versions.as_array_mut().expect("a list");
    if versions.len() == 1 {
        let mut newer = versions[0].clone();
        newer["name"] = "v1".into();
        newer["storage"] = false.into();
        versions.push(newer);
    }
    let patch = json!({"spec": {"versions": versions, "conversion": conversion}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    definitions.patch(&name, &params, &patch).await.expect("it is taken");
}

/// At a first start. There is a policy that says STRICT, and settings that say less.
async fn policies_that_can_not_be_read_let_nothing_in(client: &Client, settings: &str) {
    let nowhere = json!({"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://127.0.0.1:1/convert"}});
    convert_policies_by(client, json!({"strategy": "Webhook", "webhook": nowhere})).await;
    let (group, kind_of, plural) = PEER_AUTHENTICATION;
    let newer = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind_of), plural);
    let policies: Api<DynamicObject> = Api::all_with(client.clone(), &newer);
    // It says so, or nothing at all.
    let unreadable = async || {
        let params = ListParams::default();
        match tokio::time::timeout(Duration::from_secs(2), policies.list(&params)).await {
            Err(_) => Ok(()),
            Ok(Err(kube::Error::Api(status))) if status.code >= 429 => Ok(()),
            Ok(other) => Err(format!("{other:?}")),
        }
    };
    let broken = eventually("policies to be unreadable", A_LOOK, unreadable).await;
    broken.expect("nobody converts them");

    let settings = format!("{settings}traffic:\n  enabled: true\n  mtls: permissive\n  certificates: /nowhere\n");
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    let synced = |member: &Value| member["state"] == "Synced" && kind(member, "PeerAuthentication") != "Connected";
    until_member(&control_plane, "all but the policies", synced).await;
    // What a sidecar would let in nobody knows; a gateway lets in what it always does.
    assert_eq!(attaches(&control_plane, "sidecar").await.err(), Some(UNAVAILABLE));
    attaches(&control_plane, "router").await.expect("it is served");

    convert_policies_by(client, json!({"strategy": "None", "webhook": null})).await;
    let served = eventually("a sidecar to be served", A_LOOK, async || {
        let attached = attaches(&control_plane, "sidecar").await;
        attached.map_err(|status| status.to_string())
    });
    let _stream = served.await.expect("the policies can be read");
    control_plane.says(&["get", "proxies"], "STRICT").await;
}
