//! An `EndpointSlice`: endpoints with their health, and the pods behind them.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::model::{Addresses, Health, PodName, ServiceKey};
use crate::table::{SliceEndpoint, SliceRecord};

use super::Wanted;
use super::Wanted::{Each, Fields, Whole};
use super::subject::Subject;

/// What is read of one.
pub(super) const WANTED: &[(&str, Wanted)] = &[
    (
        "metadata",
        Fields(&[
            ("name", Whole),
            ("namespace", Whole),
            ("resourceVersion", Whole),
            ("labels", Fields(&[(SERVICE_NAME, Whole), (IMPORTED_FOR, Whole)])),
        ]),
    ),
    ("addressType", Whole),
    (
        "ports",
        Each(&Fields(&[("name", Whole), ("port", Whole), ("protocol", Whole)])),
    ),
    (
        "endpoints",
        Each(&Fields(&[
            ("addresses", Whole),
            (
                "conditions",
                Fields(&[("ready", Whole), ("serving", Whole), ("terminating", Whole)]),
            ),
            (
                "targetRef",
                Fields(&[("kind", Whole), ("namespace", Whole), ("name", Whole)]),
            ),
            ("nodeName", Whole),
            ("zone", Whole),
            ("hostname", Whole),
        ])),
    ),
];

const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Slices that an implementation of the MCS API copied from other clusters. They belong to no Service here, and their
/// endpoints are known from the cluster they are in.
const IMPORTED_FOR: &str = "multicluster.kubernetes.io/service-name";

#[derive(Deserialize)]
struct Port<'a> {
    name: Option<&'a str>,
    port: Option<i64>,
    protocol: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint<'a> {
    #[serde(borrow)]
    addresses: Option<Vec<&'a str>>,
    conditions: Option<Conditions>,
    #[serde(borrow)]
    target_ref: Option<TargetRef<'a>>,
    node_name: Option<&'a str>,
    zone: Option<&'a str>,
    hostname: Option<&'a str>,
}

#[derive(Deserialize, Default)]
struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Deserialize)]
struct TargetRef<'a> {
    kind: Option<&'a str>,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
}

pub(super) fn convert(subject: &mut Subject<'_>) -> Option<SliceRecord> {
    let service = subject.label(SERVICE_NAME).filter(|service| !service.is_empty());
    let Some(service) = service else {
        if subject.label(IMPORTED_FOR).is_none() {
            subject.report(
                format!("it names no Service (label {SERVICE_NAME}), so it is passed over"),
                "label it with the name of its Service",
            );
        }
        return None;
    };
    let address_type = subject.field("addressType").and_then(Value::as_str);
    if address_type == Some("FQDN") {
        tracing::debug!(slice = %subject.name(), "an EndpointSlice of host names is passed over");
        return None;
    }
    Some(SliceRecord {
        name: subject.name().clone(),
        service: ServiceKey::new(&subject.name().namespace, &service),
        ports: ports(subject),
        endpoints: endpoints(subject),
    })
}

fn ports(subject: &mut Subject<'_>) -> Vec<(Arc<str>, u16)> {
    let mut ports = Vec::new();
    for (at, value) in subject.list(&["ports"]).iter().enumerate() {
        let place = format!("ports[{at}]");
        let Some(port) = subject.element::<Port<'_>>(&place, value) else {
            continue;
        };
        // Without a number it stands for all ports, which nothing can be sent to.
        let (None | Some("TCP"), Some(number)) = (port.protocol, port.port) else {
            continue;
        };
        if let Some(number) = subject.port(&format!("{place}.port"), number) {
            ports.push((port.name.unwrap_or_default().into(), number));
        }
    }
    ports
}

fn endpoints(subject: &mut Subject<'_>) -> Vec<SliceEndpoint> {
    let mut endpoints = Vec::new();
    for (at, value) in subject.list(&["endpoints"]).iter().enumerate() {
        let place = format!("endpoints[{at}]");
        if let Some(endpoint) = subject.element::<Endpoint<'_>>(&place, value) {
            endpoints.extend(convert_endpoint(subject, &place, &endpoint));
        }
    }
    endpoints
}

fn convert_endpoint(subject: &mut Subject<'_>, place: &str, endpoint: &Endpoint<'_>) -> Option<SliceEndpoint> {
    let mut addresses: Option<Addresses> = None;
    let texts = endpoint.addresses.as_deref().unwrap_or_default();
    if texts.is_empty() {
        subject.report(format!("{place} has no address; it is passed over"), "give it one");
    }
    for (at, text) in texts.iter().enumerate() {
        // An endpoint of which one address is wrong is wrong as a whole: nobody can tell what was meant.
        let address = subject.address(&format!("{place}.addresses[{at}]"), text)?;
        addresses = Some(match addresses {
            Some(addresses) => addresses.with(address),
            None => Addresses::from(address),
        });
    }
    let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(Into::into);
    Some(SliceEndpoint {
        addresses: addresses?,
        health: health(endpoint.conditions.as_ref()),
        pod: pod(endpoint.target_ref.as_ref(), &subject.name().namespace),
        node: text(endpoint.node_name),
        zone: text(endpoint.zone),
        host: host(subject, place, endpoint.hostname),
    })
}

/// One part of a DNS name, as the API server checks it; folders of manifests may have anything.
fn host(subject: &mut Subject<'_>, place: &str, name: Option<&str>) -> Option<Arc<str>> {
    let name = name.filter(|name| !name.is_empty())?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.len() <= 63 && name.chars().all(plain) && !name.starts_with('-') && !name.ends_with('-') {
        return Some(name.into());
    }
    subject.report(
        format!("{place}.hostname is {name:?}, which is no part of a host name; the endpoint goes without"),
        "use up to 63 lower case letters, digits and '-'",
    );
    None
}

/// What a condition means that is not said: ready; as serving as it is ready; not terminating (the API's own words).
fn health(conditions: Option<&Conditions>) -> Health {
    let said = |condition: fn(&Conditions) -> Option<bool>| conditions.and_then(condition);
    let ready = said(|conditions| conditions.ready).unwrap_or(true);
    let serving = said(|conditions| conditions.serving).unwrap_or(ready);
    let terminating = said(|conditions| conditions.terminating).unwrap_or(false);
    match (ready, serving && terminating) {
        (true, _) => Health::Ready,
        (false, true) => Health::Draining,
        (false, false) => Health::NotReady,
    }
}

fn pod(target: Option<&TargetRef<'_>>, of_slice: &Arc<str>) -> Option<PodName> {
    let target = target.filter(|target| target.kind == Some("Pod"))?;
    let name = target.name.filter(|name| !name.is_empty())?;
    let other = target.namespace.filter(|text| !text.is_empty() && **text != **of_slice);
    Some(PodName::new(
        other.map_or_else(|| Arc::clone(of_slice), Into::into),
        name,
    ))
}
