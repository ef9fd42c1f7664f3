//! Where a Service can be reached from outside of its cluster: what matters where it is a gateway.

use serde::Deserialize;
use serde_json::Value;

use crate::model::HostName;
use crate::table::{Exposure, Labels, NodeExposure};

use super::subject::Subject;

pub(super) const NODE_SELECTOR: &str = "traffic.istio.io/nodeSelector";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port<'a> {
    port: i64,
    node_port: Option<i64>,
    protocol: Option<&'a str>,
}

/// `None` where nothing outside can reach it. `on_nodes`: it is of type NodePort; `local`: only through Nodes with its pods.
pub(super) fn convert(subject: &mut Subject<'_>, on_nodes: bool, local: bool) -> Option<Box<Exposure>> {
    let (mut addresses, mut hosts) = (Vec::new(), Vec::new());
    let ingress = ["status", "loadBalancer", "ingress"];
    for (at, value) in subject.list(&ingress).iter().enumerate() {
        let text = |key| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let place = format!("status.loadBalancer.ingress[{at}]");
        if let Some(ip) = text("ip") {
            addresses.extend(subject.address(&format!("{place}.ip"), ip));
        }
        if let Some(name) = text("hostname") {
            match HostName::new(name) {
                Ok(host) => hosts.push(host),
                Err(error) => subject.report(
                    format!("{place}.hostname: {error}; it is passed over"),
                    "have the load balancer write a complete host name",
                ),
            }
        }
    }
    for (at, value) in subject.list(&["spec", "externalIPs"]).iter().enumerate() {
        let place = format!("spec.externalIPs[{at}]");
        if let Some(text) = subject.element::<&str>(&place, value) {
            addresses.extend(subject.address(&place, text));
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    hosts.sort_unstable();
    hosts.dedup();
    let nodes = on_nodes.then(|| nodes(subject, local));
    let reachable = !addresses.is_empty() || !hosts.is_empty() || nodes.is_some();
    reachable.then(|| {
        Box::new(Exposure {
            addresses,
            hosts,
            nodes,
        })
    })
}

fn nodes(subject: &mut Subject<'_>, local: bool) -> NodeExposure {
    let mut ports = Vec::new();
    for (at, value) in subject.list(&["spec", "ports"]).iter().enumerate() {
        // What is wrong with a port is told where the Service's ports are read.
        let Ok(port) = Port::deserialize(value) else { continue };
        let (None | Some("TCP"), Some(on_node)) = (port.protocol, port.node_port) else {
            continue;
        };
        let number = u16::try_from(port.port).ok().filter(|number| *number != 0);
        let on_node = subject.port(&format!("spec.ports[{at}].nodePort"), on_node);
        ports.extend(number.zip(on_node));
    }
    NodeExposure {
        selector: selector(subject),
        ports,
        local,
    }
}

fn selector(subject: &mut Subject<'_>) -> Option<Labels> {
    let text = subject.annotation(NODE_SELECTOR)?;
    match serde_json::from_str::<std::collections::BTreeMap<String, String>>(text) {
        Ok(labels) => {
            let labels = labels.into_iter();
            Some(labels.map(|(key, value)| (key.into(), value.into())).collect())
        }
        Err(error) => {
            subject.report(
                format!("annotation {NODE_SELECTOR} is no map of labels: {error}; no Node is chosen"),
                "write a JSON map of Node labels, such as {\"role\": \"edge\"}, or {} for all Nodes",
            );
            None
        }
    }
}
