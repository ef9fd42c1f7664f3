//! A Service: its ports, and the gateway that it is where it is labelled with a network.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use crate::model::{ServiceKey, ServicePort};
use crate::table::{GatewayClaim, ServiceRecord, TargetPort};

use super::Wanted;
use super::Wanted::{Fields, Whole};
use super::exposure::{self, NODE_SELECTOR};
use super::subject::{Label, NETWORK_LABEL, Subject};
use super::terms::{self, EXPORT_TO, TRAFFIC_DISTRIBUTION, WEIGHT};
use super::workload::labels;

/// What is read of one.
pub(super) const WANTED: &[(&str, Wanted)] = &[
    (
        "metadata",
        Fields(&[
            ("name", Whole),
            ("namespace", Whole),
            ("resourceVersion", Whole),
            ("creationTimestamp", Whole),
            ("labels", Fields(&[(NETWORK_LABEL, Whole), (GATEWAY_PORT, Whole)])),
            (
                "annotations",
                Fields(&[
                    (NODE_SELECTOR, Whole),
                    (EXPORT_TO, Whole),
                    (TRAFFIC_DISTRIBUTION, Whole),
                    (WEIGHT, Whole),
                ]),
            ),
        ]),
    ),
    (
        "spec",
        Fields(&[
            ("type", Whole),
            ("clusterIP", Whole),
            ("clusterIPs", Whole),
            ("publishNotReadyAddresses", Whole),
            ("ports", Whole),
            ("selector", Whole),
            ("externalIPs", Whole),
            ("externalTrafficPolicy", Whole),
            ("trafficDistribution", Whole),
        ]),
    ),
    ("status", Fields(&[("loadBalancer", Whole)])),
];

const GATEWAY_PORT: &str = "networking.istio.io/gatewayPort";
/// Where an east-west gateway listens for mutual TLS, as Istio's charts set it up.
const DEFAULT_GATEWAY_PORT: u16 = 15443;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec<'a> {
    r#type: Option<&'a str>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<&'a str>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<&'a str>>,
    publish_not_ready_addresses: Option<bool>,
    external_traffic_policy: Option<&'a str>,
    traffic_distribution: Option<&'a str>,
    selector: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port<'a> {
    name: Option<&'a str>,
    port: i64,
    protocol: Option<&'a str>,
    app_protocol: Option<&'a str>,
    target_port: Option<Value>,
}

pub(super) fn convert(subject: &mut Subject<'_>) -> Option<ServiceRecord> {
    let spec: Spec<'_> = subject.part("spec")?;
    // It is an alias in DNS: it has no endpoints.
    if spec.r#type == Some("ExternalName") {
        return None;
    }
    let cluster_ips = spec.cluster_ip.into_iter().chain(spec.cluster_ips.unwrap_or_default());
    let cluster_ips = self::cluster_ips(subject, cluster_ips);
    let terms = terms::of_service(subject, spec.traffic_distribution);
    let network = subject.network("the Service is no gateway");
    let selector = labels(subject, "spec.selector", spec.selector.as_ref());
    let mut targets = Vec::new();
    let ports = ports(subject, &mut targets);
    if selector.is_empty() {
        targets.clear();
    }
    Some(ServiceRecord {
        key: ServiceKey {
            namespace: subject.name().namespace.clone(),
            name: subject.name().name.clone(),
        },
        created: subject.created(),
        headless: spec.cluster_ip == Some("None"),
        cluster_ips,
        publish_not_ready: spec.publish_not_ready_addresses.unwrap_or_default(),
        ports,
        selector,
        targets,
        gateway: match network {
            Label::Valid(network) => Some(GatewayClaim {
                network,
                port: gateway_port(subject),
            }),
            Label::Absent | Label::Invalid => None,
        },
        terms,
        exposure: exposure::convert(
            subject,
            spec.r#type == Some("NodePort"),
            spec.external_traffic_policy == Some("Local"),
        ),
    })
}

/// In the order of the object, each once: `clusterIP` is the first of `clusterIPs`.
fn cluster_ips<'a>(subject: &mut Subject<'_>, texts: impl Iterator<Item = &'a str>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for text in texts.filter(|text| !matches!(*text, "" | "None")) {
        if let Some(address) = subject.address("spec.clusterIPs", text)
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    addresses
}

fn ports(subject: &mut Subject<'_>, targets: &mut Vec<(u16, TargetPort)>) -> Vec<ServicePort> {
    let mut ports: Vec<ServicePort> = Vec::new();
    for (at, value) in subject.list(&["spec", "ports"]).iter().enumerate() {
        let place = format!("spec.ports[{at}]");
        let Some(port) = subject.element::<Port<'_>>(&place, value) else {
            continue;
        };
        if port.protocol.is_some_and(|protocol| protocol != "TCP") {
            continue;
        }
        let Some(number) = subject.port(&format!("{place}.port"), port.port) else {
            continue;
        };
        if ports.iter().any(|port| port.number == number) {
            subject.report(
                format!("{place}.port {number} is there twice; the first one is taken"),
                "remove one of them",
            );
            continue;
        }
        targets.extend(target(&port, number).map(|target| (number, target)));
        ports.push(ServicePort {
            number,
            name: port.name.unwrap_or_default().into(),
            app_protocol: port.app_protocol.unwrap_or_default().into(),
        });
    }
    ports
}

/// Where a port leads to, if not to the same number. What is wrong with it is the API server's business: slices tell of pods.
fn target(port: &Port<'_>, number: u16) -> Option<TargetPort> {
    match port.target_port.as_ref()? {
        Value::String(name) if !name.is_empty() => Some(TargetPort::Name(name.as_str().into())),
        value => {
            let target = u16::try_from(value.as_i64()?).ok()?;
            (target != 0 && target != number).then_some(TargetPort::Number(target))
        }
    }
}

fn gateway_port(subject: &mut Subject<'_>) -> u16 {
    let Some(text) = subject.label(GATEWAY_PORT) else {
        return DEFAULT_GATEWAY_PORT;
    };
    match text.parse::<u16>() {
        Ok(port) if port != 0 => port,
        _ => {
            subject.report(
                format!("label {GATEWAY_PORT} is {text:?}, which is no port; {DEFAULT_GATEWAY_PORT} is taken"),
                "use a number from 1 to 65535",
            );
            DEFAULT_GATEWAY_PORT
        }
    }
}
