//! Real members: an API server with the real EndpointSlice controller on one end, real Envoys on the other.

use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::envoys::{DEADLINE, Envoys};
use super::harness::{Kubernetes, Member, eventually};

/// Makes an object out of JSON.
pub(crate) async fn create<K>(api: &Api<K>, object: Value)
where
    K: kube::Resource + Clone + std::fmt::Debug + DeserializeOwned + serde::Serialize,
{
    let object: K = serde_json::from_value(object).expect("a valid object");
    api.create(&PostParams::default(), &object)
        .await
        .expect("the API server takes it");
}

/// A pod of `web` as a kubelet would report it.
pub(crate) async fn run_pod(client: &Client, name: &str, address: &str, ready: bool) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
    let pod = json!({
        "metadata": {"name": name, "labels": {"app": "web", "security.istio.io/tlsMode": "istio"}},
        "spec": {"nodeName": "node-1", "containers": [{"name": "web", "image": "web"}]},
    });
    create(&pods, pod).await;
    report_pod(client, name, address, ready).await;
}

async fn report_pod(client: &Client, name: &str, address: &str, ready: bool) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
    let status = if ready { "True" } else { "False" };
    let report = json!({"status": {
        "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": status}],
    }});
    pods.patch_status(name, &PatchParams::default(), &Patch::Merge(report))
        .await
        .expect("the report is taken");
}

/// A member with a network, a Node, a gateway, and a Service `web` without pods.
pub(crate) async fn furnish(member: &Member, network: &str, gateway: &str) -> Client {
    let client = member.client().await.expect("a client");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    create(&namespaces, json!({"metadata": {"name": "shop"}})).await;
    let labels = json!({"topology.istio.io/network": network});
    create(
        &namespaces,
        json!({"metadata": {"name": "istio-system", "labels": labels}}),
    )
    .await;
    let place = json!({"topology.kubernetes.io/region": network, "topology.kubernetes.io/zone": "z1"});
    create(
        &Api::<Node>::all(client.clone()),
        json!({"metadata": {"name": "node-1", "labels": place}}),
    )
    .await;

    let gateways: Api<Service> = Api::namespaced(client.clone(), "istio-system");
    let spec = json!({"type": "LoadBalancer", "ports": [{"name": "tls", "port": 15443}]});
    create(
        &gateways,
        json!({"metadata": {"name": "eastwest", "labels": labels}, "spec": spec}),
    )
    .await;
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": gateway}]}}});
    let params = PatchParams::default();
    gateways
        .patch_status("eastwest", &params, &Patch::Merge(status))
        .await
        .expect("the address is taken");

    let services: Api<Service> = Api::namespaced(client.clone(), "shop");
    let spec = json!({"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]});
    create(&services, json!({"metadata": {"name": "web"}, "spec": spec})).await;
    client
}

#[tokio::test]
async fn services_and_pods_in_endpoints_in_envoy_out() {
    let (_kubernetes, mut east, west) = Kubernetes::start_two(["east", "west"])
        .await
        .expect("etcd and API servers start");
    let east_client = furnish(&east, "net1", "192.0.2.1").await;
    let west_client = furnish(&west, "net2", "192.0.2.2").await;
    run_pod(&east_client, "web-1", "10.1.0.1", true).await;
    run_pod(&west_client, "web-1", "10.2.0.1", true).await;

    let mut settings = "members:\n".to_owned();
    for (name, member) in [("east", &east), ("west", &west)] {
        settings += &format!(
            "  - name: {name}\n    kubeconfig: {}\n",
            member.kubeconfig_path().display()
        );
    }
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    let mut envoys = Envoys::start(&control_plane, "east", "10.1.0.50").await;
    let gateway = |weight| format!("192.0.2.2:15443*{weight}@net2/z1");
    let here = "10.1.0.1:8080*1@net1/z1";
    envoys.hold(&[here, &gateway(1)]).await;

    // Scale up in both.
    run_pod(&east_client, "web-2", "10.1.0.2", true).await;
    run_pod(&west_client, "web-2", "10.2.0.2", true).await;
    let second = "10.1.0.2:8080*1@net1/z1";
    envoys.hold(&[here, second, &gateway(2)]).await;

    // Unready here and there.
    report_pod(&east_client, "web-2", "10.1.0.2", false).await;
    report_pod(&west_client, "web-2", "10.2.0.2", false).await;
    envoys.hold(&[here, &gateway(1)]).await;
    report_pod(&east_client, "web-2", "10.1.0.2", true).await;
    envoys.hold(&[here, second, &gateway(1)]).await;

    // Delete.
    let pods: Api<Pod> = Api::namespaced(east_client.clone(), "shop");
    let at_once = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    pods.delete("web-1", &at_once).await.expect("it is deleted");
    envoys.hold(&[second, &gateway(1)]).await;

    // The API server goes: what is known stays, and it is shown. It comes back: so does the rest.
    east.kill_apiserver();
    control_plane.says(&["get", "members"], "Stale").await;
    envoys.hold(&[second, &gateway(1)]).await;
    east.restart_apiserver().await.expect("it starts again");
    run_pod(&east_client, "web-3", "10.1.0.3", true).await;
    envoys.hold(&[second, "10.1.0.3:8080*1@net1/z1", &gateway(1)]).await;
    envoys.are_content().await;
    let look = async || {
        let members = control_plane.json(&["get", "members"]);
        let states = members["members"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|member| member["state"].clone());
        let synced = states.clone().count() == 2 && states.clone().all(|state| state == "Synced");
        if synced { Ok(()) } else { Err(format!("{members:#}")) }
    };
    eventually("both members to be synced", DEADLINE, look)
        .await
        .expect("they are");
}
