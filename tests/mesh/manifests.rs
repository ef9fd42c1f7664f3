//! What members say of the pods of this mesh, as manifests.

use std::fmt::Write;

pub(crate) use super::harness::{gateway, system_namespace};
use super::pod::Workload;

/// A Service in namespace `shop` with these ports (name, number, target), and its pods.
pub(crate) fn service(name: &str, cluster_ip: &str, ports: &[(&str, u16, u16)], pods: &[&Workload]) -> String {
    let mut text = format!(
        "apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: shop
spec:
  clusterIP: {cluster_ip}
  ports:
"
    );
    for (port, number, _) in ports {
        writeln!(text, "    - {{name: '{port}', port: {number}}}").expect("a String takes everything");
    }
    write!(
        text,
        "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-a
  namespace: shop
  labels:
    kubernetes.io/service-name: {name}
addressType: IPv4
ports:
"
    )
    .expect("a String takes everything");
    for (port, _, target) in ports {
        writeln!(text, "  - {{name: '{port}', port: {target}}}").expect("a String takes everything");
    }
    text.push_str("endpoints:\n");
    for pod in pods {
        writeln!(
            text,
            "  - addresses: [{}]\n    targetRef: {{kind: Pod, namespace: shop, name: {}}}",
            pod.address, pod.name
        )
        .expect("a String takes everything");
    }
    for pod in pods {
        write!(
            text,
            "---
apiVersion: v1
kind: Pod
metadata:
  name: {}
  namespace: shop
  labels:
    security.istio.io/tlsMode: {}
status:
  phase: Running
  podIPs:
    - ip: {}
",
            pod.name,
            if pod.sidecar { "istio" } else { "disabled" },
            pod.address
        )
        .expect("a String takes everything");
    }
    text
}

/// A headless Service whose pods have host names of their own, as those of a StatefulSet.
pub(crate) fn headless(name: &str, ports: &[(&str, u16, u16)], pods: &[&Workload]) -> String {
    let mut text = service(name, "None", ports, pods);
    for pod in pods {
        let target = format!("targetRef: {{kind: Pod, namespace: shop, name: {}}}", pod.name);
        text = text.replace(&target, &format!("hostname: {}\n    {target}", pod.name));
    }
    text
}
