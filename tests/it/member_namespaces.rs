//! A member of which some namespaces are read, by an account that may read no more: a Role in each of them.

use k8s_openapi::api::core::v1::{Namespace, Pod, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::envoys::{DEADLINE, Envoys};
use super::harness::{self, Kubernetes, Member, PEER_AUTHENTICATION, eventually, install_kind};
use super::kubernetes::{create, furnish, run_pod};

const EAST: &str = "10.1.0.1:8080*1@net1/z1";

/// What `kubectl -n NAMESPACE apply -f config/kubernetes/namespace-reader.yaml` makes.
async fn allow(client: &Client, namespace: &str) {
    let text = include_str!("../../config/kubernetes/namespace-reader.yaml");
    let objects: Vec<Value> = serde_saphyr::from_multiple(text).expect("it is YAML");
    for mut object in objects {
        object["metadata"]["namespace"] = json!(namespace);
        harness::apply(client, &object).await.expect("it is taken");
    }
}

/// The kubeconfig of the reader's account.
async fn reader(member: &Member, client: &Client) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "istio-system");
    create(&accounts, json!({"metadata": {"name": "parallax-reader"}})).await;
    let token = harness::token(client, "istio-system", "parallax-reader", None, None).await;
    let kubeconfig = member.kubeconfig().expect("it can be read");
    kubeconfig.replace(member.token(), &token.expect("a token"))
}

/// What is shown of the member west.
fn west_of(control_plane: &ControlPlane) -> Value {
    control_plane.json(&["get", "members"])["members"][1].clone()
}

#[tokio::test]
async fn a_role_in_each_namespace_is_enough_for_a_member() {
    let kubernetes = Kubernetes::start().await.expect("etcd starts");
    let east = kubernetes.start_member("east").await.expect("the API server starts");
    let west = kubernetes.start_member("west").await.expect("the API server starts");
    let east_client = furnish(&east, "net1", "192.0.2.1").await;
    let west_client = furnish(&west, "net2", "192.0.2.2").await;
    run_pod(&east_client, "web-1", "10.1.0.1", true).await;
    run_pod(&west_client, "web-1", "10.2.0.1", true).await;
    // Another tenant's, in west.
    create(
        &Api::<Namespace>::all(west_client.clone()),
        json!({"metadata": {"name": "private"}}),
    )
    .await;
    let private: Api<Service> = Api::namespaced(west_client.clone(), "private");
    create(
        &private,
        json!({"metadata": {"name": "hidden"}, "spec": {"ports": [{"port": 80}]}}),
    )
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("west");
    std::fs::write(&kubeconfig, reader(&west, &west_client).await).expect("it can be written");
    allow(&west_client, "shop").await;
    allow(&west_client, "istio-system").await;
    install_kind(&west_client, PEER_AUTHENTICATION, "v1")
        .await
        .expect("it is installed");

    let settings = |namespaces: &str| {
        format!(
            "members:\n  - name: east\n    kubeconfig: {}\n  - name: west\n    kubeconfig: {}\n    namespaces: {namespaces}\n",
            east.kubeconfig_path().display(),
            kubeconfig.display()
        )
    };
    let mut control_plane = ControlPlane::on_settings(&settings("[istio-system, shop]"));
    control_plane.ready().await;
    let mut envoys = Envoys::start(&control_plane, "east", "10.1.0.50").await;
    // Without Nodes the region is not known; the network is, by the label of the system namespace.
    let gateway = |weight| format!("192.0.2.2:15443*{weight}@/z1");
    envoys.hold(&[EAST, &gateway(1)]).await;
    control_plane.says(&["get", "members"], "without Node objects").await;
    let shown = west_of(&control_plane);
    assert_eq!(shown["state"], "Synced", "{shown:#}");
    assert!(!control_plane.say(&["get", "services"]).contains("hidden"));

    // Changes come in from each namespace, that of the label too.
    run_pod(&west_client, "web-2", "10.2.0.2", true).await;
    envoys.hold(&[EAST, &gateway(2)]).await;
    let namespaces: Api<Namespace> = Api::all(west_client.clone());
    let relabel = json!({"metadata": {"labels": {"topology.istio.io/network": "net1"}}});
    namespaces
        .patch("istio-system", &PatchParams::default(), &Patch::Merge(relabel))
        .await
        .expect("it is taken");
    envoys.hold(&[EAST, "10.2.0.1:8080*1@/z1", "10.2.0.2:8080*1@/z1"]).await;

    // A namespace that may not be read is named, and costs nothing of what is known. Without it all is well again.
    control_plane.change_settings(&settings("[istio-system, private, shop]"));
    let said = control_plane
        .says(&["get", "members"], "in the namespace \"private\"")
        .await;
    assert!(said.contains("Stale"), "{said}");
    // Nor does the system namespace, without its Role: policies of the others count, and what is missing is named.
    let bindings: Api<RoleBinding> = Api::namespaced(west_client.clone(), "istio-system");
    bindings
        .delete("parallax-reader", &kube::api::DeleteParams::default())
        .await
        .expect("it is deleted");
    control_plane.change_settings(&settings("[shop]"));
    let look = async || {
        let shown = west_of(&control_plane);
        match shown["state"] == "Synced" {
            true => Ok(()),
            false => Err(format!("{shown:#}")),
        }
    };
    eventually("west to be synced", DEADLINE, look)
        .await
        .expect("it gets there");
    let missing = "PeerAuthentication objects of istio-system, which count for all of the member, can't be read; what is known of them is \
         kept, and where nothing is, traffic.mtls counts in their place: ";
    control_plane.says(&["get", "members"], missing).await;
    let policy = json!({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": "shop"}, "spec": {"mtls": {"mode": "PERMISSIVE"}}});
    harness::apply(&west_client, &policy).await.expect("it is taken");
    let look = async || {
        let shown = west_of(&control_plane);
        let policies = &shown["counts"]["PeerAuthentication"];
        match shown["state"] == "Synced" && *policies == 1 {
            true => Ok(()),
            false => Err(format!("{shown:#}")),
        }
    };
    eventually("the policy of shop to be read", DEADLINE, look)
        .await
        .expect("it is read");

    let pods: Api<Pod> = Api::namespaced(west_client, "shop");
    pods.delete("web-2", &kube::api::DeleteParams::default().grace_period(0))
        .await
        .expect("it is deleted");
    envoys.hold(&[EAST, "10.2.0.1:8080*1@/z1"]).await;
    envoys.are_content().await;
}
