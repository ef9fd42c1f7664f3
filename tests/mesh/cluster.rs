//! A member on a real API server: what people, a kubelet and a cloud say there of the pods of this mesh.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::harness::{Member, apply, delete, report, token};

/// Tells one pod of a set from another, as StatefulSets have it.
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";

/// A pod as the mesh tests run it: in a namespace of the machine, on one of the networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PodSpec {
    pub(crate) name: &'static str,
    pub(crate) member: &'static str,
    pub(crate) network: &'static str,
    pub(crate) address: &'static str,
    pub(crate) zone: &'static str,
    /// Of a pod on a Node that says one; empty else.
    pub(crate) subzone: &'static str,
    /// Of a gateway only: where others reach it.
    pub(crate) outside: Option<&'static str>,
    pub(crate) kind: Kind,
}

/// What knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Kubernetes, as a pod.
    Pod,
    /// A person, who wrote a `WorkloadEntry`: a virtual machine.
    Machine,
}

impl PodSpec {
    pub(crate) const fn new(
        name: &'static str,
        member: &'static str,
        network: &'static str,
        address: &'static str,
    ) -> Self {
        Self {
            name,
            member,
            network,
            address,
            zone: "z1",
            subzone: "",
            outside: None,
            kind: Kind::Pod,
        }
    }

    /// A virtual machine.
    pub(crate) const fn is_machine(self) -> Self {
        Self {
            kind: Kind::Machine,
            ..self
        }
    }

    /// An east-west gateway with this address outside.
    pub(crate) const fn reached_at(self, outside: &'static str) -> Self {
        Self {
            outside: Some(outside),
            ..self
        }
    }

    pub(crate) const fn in_zone(self, zone: &'static str) -> Self {
        Self { zone, ..self }
    }

    pub(crate) const fn in_subzone(self, subzone: &'static str) -> Self {
        Self { subzone, ..self }
    }

    /// The Node that it runs on.
    fn node(&self) -> String {
        match self.subzone {
            "" => format!("node-{}", self.zone),
            subzone => format!("node-{}-{subzone}", self.zone),
        }
    }

    pub(crate) const fn is_gateway(&self) -> bool {
        self.outside.is_some()
    }

    pub(crate) const fn namespace(&self) -> &'static str {
        if self.is_gateway() { "istio-system" } else { "shop" }
    }

    /// Its service account and the value of its label `app`: the name up to the number.
    pub(crate) fn account(&self) -> &'static str {
        self.name.rsplit_once('-').map_or(self.name, |(account, _)| account)
    }

    pub(crate) fn spiffe_id(&self) -> String {
        format!("spiffe://cluster.local/ns/{}/sa/{}", self.namespace(), self.account())
    }

    fn object(&self, ready: bool) -> Value {
        match self.kind {
            Kind::Pod => self.pod(ready),
            Kind::Machine => json!({
                "apiVersion": "networking.istio.io/v1",
                "kind": "WorkloadEntry",
                "metadata": { "name": self.name, "namespace": self.namespace() },
                "spec": {
                    "address": self.address,
                    "labels": { "app": self.account(), "security.istio.io/tlsMode": "istio" },
                    "serviceAccount": self.account(),
                },
            }),
        }
    }

    fn pod(&self, ready: bool) -> Value {
        let mut labels = json!({ "app": self.account(), POD_NAME: self.name, "security.istio.io/tlsMode": "istio" });
        if self.is_gateway() {
            labels["istio"] = "eastwestgateway".into();
        }
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": self.name, "namespace": self.namespace(), "labels": labels },
            "spec": {
                "nodeName": self.node(),
                "serviceAccountName": self.account(),
                "containers": [{ "name": "main", "image": "main" }],
            },
            "status": {
                "phase": "Running",
                "podIP": self.address,
                "podIPs": [{ "ip": self.address }],
                "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
            },
        })
    }
}

/// An API server, for whoever stands outside of the namespaces.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    /// Of 127.0.0.1.
    pub(crate) port: u16,
}

impl Cluster {
    pub(crate) async fn of(name: &'static str, member: &Member) -> Self {
        let url = member.server_url();
        let (_, port) = url.rsplit_once(':').expect("it has a port");
        Self {
            name,
            client: member.client().await.expect("a client"),
            port: port.parse().expect("a number"),
        }
    }

    pub(crate) async fn apply(&self, object: &Value) {
        apply(&self.client, object).await.expect("it is taken");
    }

    /// Namespaces, nodes in these zones of a region of the cluster's name, and the Service `web`.
    pub(crate) async fn furnish(&self, zones: &[&'static str]) {
        for name in ["shop", "istio-system"] {
            self.namespace(name, &json!({})).await;
        }
        for zone in zones {
            self.node(zone, "").await;
        }
        let ports = json!([
            { "name": "http", "port": 80, "targetPort": 8080 },
            { "name": "tcp-first", "port": 9000, "targetPort": 9000 },
        ]);
        self.service("web", &ports).await;
    }

    /// A Node in a zone, and in a subzone of it where that has a name.
    pub(crate) async fn node(&self, zone: &'static str, subzone: &'static str) {
        let name = PodSpec::new("", self.name, "", "")
            .in_zone(zone)
            .in_subzone(subzone)
            .node();
        let mut labels = json!({
            "topology.kubernetes.io/region": self.name,
            "topology.kubernetes.io/zone": format!("{}-{zone}", self.name),
        });
        if !subzone.is_empty() {
            labels["topology.istio.io/subzone"] = subzone.into();
        }
        let metadata = json!({ "name": name, "labels": labels });
        self.apply(&json!({ "apiVersion": "v1", "kind": "Node", "metadata": metadata }))
            .await;
    }

    pub(crate) async fn namespace(&self, name: &str, labels: &Value) {
        let metadata = json!({ "name": name, "labels": labels });
        self.apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }))
            .await;
    }

    /// A Service of `shop` for the pods with its name.
    pub(crate) async fn service(&self, name: &str, ports: &Value) {
        self.apply(&json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": name, "namespace": "shop" },
            "spec": { "selector": { "app": name }, "ports": ports },
        }))
        .await;
    }

    /// What the cluster chose as the address of a Service of `shop`.
    pub(crate) async fn cluster_ip(&self, service: &str) -> Ipv4Addr {
        let services: Api<Service> = Api::namespaced(self.client.clone(), "shop");
        let service = services.get(service).await.expect("it is there");
        let ip = service.spec.and_then(|spec| spec.cluster_ip).expect("it has one");
        ip.parse().expect("an IPv4 address")
    }

    /// A Service for one gateway, with a load balancer of its own.
    pub(crate) async fn gateway_service(&self, network: &str, gateway: &PodSpec) {
        let name = gateway.name;
        self.apply(&json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": name,
                "namespace": "istio-system",
                "labels": { "topology.istio.io/network": network },
            },
            "spec": {
                "type": "LoadBalancer",
                "selector": { POD_NAME: name },
                "ports": [{ "name": "tls", "port": 15443, "targetPort": 15443 }],
            },
        }))
        .await;
        self.balances(name, gateway.outside.expect("a gateway has one")).await;
    }

    /// Plays the cloud that gives a load balancer its address.
    pub(crate) async fn balances(&self, service: &str, address: &str) {
        let status = json!({ "loadBalancer": { "ingress": [{ "ip": address }] } });
        let object = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": service, "namespace": "istio-system" },
            "status": status,
        });
        report(&self.client, &object).await.expect("the address is taken");
    }

    /// Makes a pod, which is not ready yet, and returns its token.
    pub(crate) async fn create_pod(&self, pod: &PodSpec) -> String {
        let (namespace, account) = (pod.namespace(), pod.account());
        let metadata = json!({ "name": account, "namespace": namespace });
        self.apply(&json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }))
            .await;
        let mut object = pod.object(false);
        object.as_object_mut().expect("an object").remove("status");
        self.apply(&object).await;
        let token = token(&self.client, namespace, account, Some("istio-ca"), Some(pod.name)).await;
        self.report_pod(pod, false).await;
        token.expect("a token")
    }

    /// What a kubelet says of a pod; of a machine a person says that it is there.
    pub(crate) async fn report_pod(&self, pod: &PodSpec, ready: bool) {
        if pod.kind == Kind::Machine {
            return match ready {
                true => self.apply(&pod.object(true)).await,
                false => self.delete_pod(pod).await,
            };
        }
        report(&self.client, &pod.object(ready))
            .await
            .expect("the report is taken");
    }

    pub(crate) async fn delete_pod(&self, pod: &PodSpec) {
        delete(&self.client, &pod.object(false)).await.expect("it is deleted");
    }
}
