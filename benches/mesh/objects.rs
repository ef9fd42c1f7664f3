//! The Kubernetes objects of a mesh, as an API server has them: with what Kubernetes adds, so that they cost to read what
//! real ones cost.

use serde_json::{Value, json};

use crate::world::Size;

/// The kinds that a mesh is made of, by the name in URLs.
pub(crate) const KINDS: [&str; 5] = ["namespaces", "nodes", "services", "endpointslices", "pods"];

/// A kind by its place in [`KINDS`].
pub(crate) type Kind = usize;
pub(crate) const NAMESPACES: Kind = 0;
pub(crate) const NODES: Kind = 1;
pub(crate) const SERVICES: Kind = 2;
pub(crate) const SLICES: Kind = 3;
pub(crate) const PODS: Kind = 4;

const NODES_PER_MEMBER: usize = 6;
const CREATED: &str = "2026-01-05T10:00:00Z";

/// One endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backend {
    pub(crate) pod: String,
    pub(crate) address: String,
    pub(crate) ready: bool,
    pub(crate) node: usize,
}

/// What the `at`th service of a member starts with.
pub(crate) fn backends(size: &Size, member: usize, at: usize) -> Vec<Backend> {
    let service = size.services_of(member).nth(at).unwrap_or_default();
    let (_, name) = Size::service_name(service);
    (0..size.endpoints_of(member, at))
        .map(|endpoint| Backend {
            pod: format!("{name}-6d4b75cb6d-{endpoint:05}"),
            address: size.address(member, at, endpoint).to_string(),
            ready: true,
            node: endpoint,
        })
        .collect()
}

fn metadata(namespace: &str, name: &str, labels: Value, fields: &Value) -> Value {
    let mut metadata = json!({
        "name": name,
        "uid": format!("7a1c0b1e-0000-4000-8000-{:012x}", xxhash_rust::xxh3::xxh3_64(name.as_bytes()) & 0xffff_ffff_ffff),
        "creationTimestamp": CREATED,
        "labels": labels,
        "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
            "time": CREATED, "fieldsType": "FieldsV1", "fieldsV1": fields}],
    });
    if !namespace.is_empty() {
        metadata["namespace"] = namespace.into();
    }
    metadata
}

fn node_name(member: usize, node: usize) -> String {
    format!("node-{member:03}-{}", node % NODES_PER_MEMBER)
}

/// The slice of the `at`th service of a member.
pub(crate) fn slice(size: &Size, member: usize, at: usize, backends: &[Backend]) -> Value {
    let service = size.services_of(member).nth(at).unwrap_or_default();
    let (namespace, name) = Size::service_name(service);
    let labels = json!({"kubernetes.io/service-name": name, "app": name,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"});
    let fields = json!({"f:addressType": {}, "f:endpoints": {}, "f:ports": {},
        "f:metadata": {"f:labels": {".": {}, "f:app": {}, "f:kubernetes.io/service-name": {}}, "f:ownerReferences": {}}});
    let endpoints: Vec<_> = backends
        .iter()
        .map(|backend| {
            json!({"addresses": [backend.address],
                "conditions": {"ready": backend.ready, "serving": backend.ready, "terminating": false},
                "nodeName": node_name(member, backend.node), "zone": format!("zone-{}", backend.node % 3),
                "targetRef": {"kind": "Pod", "namespace": namespace, "name": backend.pod,
                    "uid": "7a1c0b1e-0000-4000-8000-000000000000"}})
        })
        .collect();
    json!({"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
        "metadata": metadata(&namespace, &format!("{name}-x7k2p"), labels, &fields),
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]})
}

/// A pod behind the `at`th service of a member.
pub(crate) fn pod(size: &Size, member: usize, at: usize, backend: &Backend) -> Value {
    let service = size.services_of(member).nth(at).unwrap_or_default();
    let (namespace, name) = Size::service_name(service);
    let labels = json!({"app": name, "pod-template-hash": "6d4b75cb6d", "security.istio.io/tlsMode": "istio"});
    let fields = json!({"f:status": {"f:conditions": {}, "f:podIP": {}, "f:podIPs": {}, "f:phase": {}, "f:startTime": {}},
        "f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {".": {}, "f:image": {}, "f:name": {}, "f:ports": {}}}}});
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata(&namespace, &backend.pod, labels, &fields),
        "spec": {"nodeName": node_name(member, backend.node), "serviceAccountName": name,
            "containers": [
                {"name": "app", "image": format!("registry.example/{name}:1.4.2"), "ports": [{"containerPort": 8080}],
                 "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}},
                {"name": "istio-proxy", "image": "registry.example/proxy:1.30", "args": ["proxy", "sidecar"]}]},
        "status": {"phase": "Running", "podIP": backend.address, "podIPs": [{"ip": backend.address}], "startTime": CREATED,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": CREATED},
                {"type": "ContainersReady", "status": "True", "lastTransitionTime": CREATED}]}})
}

/// The Service that leads to a member's network.
pub(crate) fn gateway(size: &Size, member: usize, address: &str) -> Value {
    let network = Size::network_name(size.network_of(member));
    let labels = json!({"topology.istio.io/network": network, "istio": "eastwestgateway"});
    json!({"kind": "Service", "apiVersion": "v1",
        "metadata": metadata("istio-system", "istio-eastwestgateway", labels, &json!({"f:spec": {"f:ports": {}}})),
        "spec": {"type": "LoadBalancer", "clusterIP": "10.255.0.1", "ports": [{"name": "tls", "port": 15443}]},
        "status": {"loadBalancer": {"ingress": [{"ip": address}]}}})
}

/// All objects of a member that are of a kind.
pub(crate) fn all(size: &Size, member: usize, kind: Kind) -> Vec<Value> {
    let network = Size::network_name(size.network_of(member));
    let services = || size.services_of(member);
    match kind {
        NAMESPACES => {
            let system = metadata(
                "",
                "istio-system",
                json!({"topology.istio.io/network": network}),
                &json!({}),
            );
            let plain = (0..10).map(|n| metadata("", &format!("ns-{n}"), json!({}), &json!({})));
            std::iter::once(system)
                .chain(plain)
                .map(|metadata| json!({"kind": "Namespace", "apiVersion": "v1", "metadata": metadata}))
                .collect()
        }
        NODES => (0..NODES_PER_MEMBER)
            .map(|node| {
                let labels = json!({"topology.kubernetes.io/region": network,
                    "topology.kubernetes.io/zone": format!("{network}-{}", node % 3)});
                json!({"kind": "Node", "apiVersion": "v1",
                    "metadata": metadata("", &node_name(member, node), labels, &json!({"f:status": {}}))})
            })
            .collect(),
        SERVICES => services()
            .map(|service| {
                let (namespace, name) = Size::service_name(service);
                let fields = json!({"f:spec": {"f:ports": {}, "f:selector": {}, "f:type": {}}});
                json!({"kind": "Service", "apiVersion": "v1",
                    "metadata": metadata(&namespace, &name, json!({"app": name}), &fields),
                    "spec": {"type": "ClusterIP", "clusterIP": "10.254.0.1", "selector": {"app": name},
                        "ports": [{"name": "http", "port": 8080, "targetPort": 8080, "protocol": "TCP"}]}})
            })
            .chain(std::iter::once(gateway(
                size,
                member,
                &size.gateway(member).to_string(),
            )))
            .collect(),
        SLICES => (0..services().count())
            .map(|at| slice(size, member, at, &backends(size, member, at)))
            .collect(),
        _ => (0..services().count())
            .flat_map(|at| {
                let backends = backends(size, member, at);
                backends
                    .iter()
                    .map(|backend| pod(size, member, at, backend))
                    .collect::<Vec<_>>()
            })
            .collect(),
    }
}
