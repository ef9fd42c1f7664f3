//! What Istio and its users put into a cluster. Of its kinds there are names and no more, so that any field is taken.

use anyhow::Context;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// A kind of Istio: group, kind, plural.
pub type IstioKind = (&'static str, &'static str, &'static str);

/// Hosts outside of Kubernetes.
pub const SERVICE_ENTRY: IstioKind = ("networking.istio.io", "ServiceEntry", "serviceentries");
/// Workloads outside of Kubernetes.
pub const WORKLOAD_ENTRY: IstioKind = ("networking.istio.io", "WorkloadEntry", "workloadentries");
/// What workloads ask of who connects.
pub const PEER_AUTHENTICATION: IstioKind = ("security.istio.io", "PeerAuthentication", "peerauthentications");

/// Installs a kind in one version.
///
/// # Errors
/// If the API server refuses it.
pub async fn install_kind(client: &Client, kind: IstioKind, version: &str) -> anyhow::Result<()> {
    let (group, kind, plural) = kind;
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": anything}}],
        },
    });
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = serde_json::from_value(definition)?;
    definitions.create(&PostParams::default(), &definition).await?;
    Ok(())
}

/// Takes a kind away, with all its objects.
///
/// # Errors
/// If the API server refuses that.
pub async fn remove_kind(client: &Client, kind: IstioKind) -> anyhow::Result<()> {
    let (group, _, plural) = kind;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions
        .delete(&format!("{plural}.{group}"), &DeleteParams::default())
        .await?;
    Ok(())
}

/// The Secret that Istio's tools make of a member, under a name.
pub fn remote_secret(name: &str, member: &str, kubeconfig: &str) -> Value {
    json!({
        "metadata": {
            "name": name,
            "labels": {"istio/multiCluster": "true"},
            "annotations": {"networking.istio.io/cluster": member},
        },
        "stringData": {member: kubeconfig},
    })
}

/// What Istio's own tool prints of a member, to be piped into kubectl; with the annotation that places it.
///
/// # Errors
/// If the kubeconfig is none that [`super::Member`] writes.
pub fn printed_remote_secret(member: &str, kubeconfig: &str, network: &str) -> anyhow::Result<String> {
    let read: Value = serde_json::from_str(kubeconfig)?;
    let cluster = &read["clusters"][0]["cluster"];
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a text is missing");
    let (server, authority) = (text(&cluster["server"])?, text(&cluster["certificate-authority-data"])?);
    let token = text(&read["users"][0]["user"]["token"])?;
    Ok(format!(
        "apiVersion: v1
kind: Secret
metadata:
  annotations:
    networking.istio.io/cluster: {member}
    topology.istio.io/network: {network}
  creationTimestamp: null
  labels:
    istio/multiCluster: \"true\"
  name: istio-remote-secret-{member}
  namespace: istio-system
stringData:
  {member}: |
    apiVersion: v1
    clusters:
    - cluster:
        certificate-authority-data: {authority}
        server: {server}
      name: {member}
    contexts:
    - context:
        cluster: {member}
        user: {member}
      name: {member}
    current-context: {member}
    kind: Config
    preferences: {{}}
    users:
    - name: {member}
      user:
        token: {token}
"
    ))
}

/// The manifest of a system namespace that says its member's network.
pub fn system_namespace(network: &str) -> String {
    format!(
        "apiVersion: v1
kind: Namespace
metadata:
  name: istio-system
  labels:
    topology.istio.io/network: {network}
"
    )
}

/// The manifest of a network's gateway with an address.
pub fn gateway(network: &str, address: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata:
  name: eastwest
  namespace: istio-system
  labels:
    topology.istio.io/network: {network}
spec:
  ports:
    - name: tls
      port: 15443
status:
  loadBalancer:
    ingress:
      - ip: {address}
"
    )
}
