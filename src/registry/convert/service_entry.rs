//! A `ServiceEntry`: hosts outside of Kubernetes, and how they are reached.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::model::{HostName, Resolution, ServicePort};
use crate::table::{EntryHost, EntryPort, ExportTo, Location, ServiceEntryRecord, Workload};

use super::subject::Subject;
use super::terms::export_to;
use super::workload::{Names, object, selector, text, workload};

const FIELDS: [&str; 8] = [
    "hosts",
    "addresses",
    "ports",
    "location",
    "resolution",
    "endpoints",
    "workloadSelector",
    "exportTo",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port<'a> {
    name: Option<&'a str>,
    number: i64,
    protocol: Option<&'a str>,
    target_port: Option<i64>,
}

pub(super) fn convert(subject: &mut Subject<'_>) -> Option<ServiceEntryRecord> {
    let spec: Map<String, Value> = subject.part("spec")?;
    let spec = Value::Object(spec);
    subject.only("spec", &spec, &FIELDS);
    let resolution = resolution(subject, &spec)?;
    let mut hosts = hosts(subject);
    let selected = object(subject, "spec.workloadSelector", spec.get("workloadSelector"));
    let of = spec.get("workloadSelector").cloned().unwrap_or_default();
    subject.only("spec.workloadSelector", &of, &["labels"]);
    let mut selector = selector(subject, "spec.workloadSelector.labels", selected.get("labels"));
    let mut endpoints = endpoints(subject, resolution);
    if resolution == Resolution::None && (selector.is_some() || !endpoints.is_empty()) {
        subject.report(
            "with spec.resolution NONE connections go to where they were going; its endpoints are passed over",
            "remove them, or use STATIC or DNS",
        );
        (selector, endpoints) = (None, Vec::new());
    }
    if selector.is_some() && !endpoints.is_empty() {
        subject.report(
            "spec has endpoints and a workloadSelector; the selector is passed over",
            "use one of them",
        );
        selector = None;
    }
    let has_none = selector.is_none() && endpoints.is_empty();
    if has_none && !subject.list(&["spec", "endpoints"]).is_empty() && resolution != Resolution::None {
        subject.report(
            "none of its endpoints can be used, so it is passed over",
            "correct them",
        );
        return None;
    }
    match resolution {
        Resolution::Static if has_none => {
            subject.report(
                "it has no endpoints, so nobody reaches it",
                "add endpoints, or a workloadSelector",
            );
        }
        Resolution::Dns | Resolution::DnsRoundRobin if has_none => {
            let count = hosts.len();
            hosts.retain(|host| matches!(host, EntryHost::Exact(_)));
            if hosts.len() < count {
                subject.report(
                    "a host with * can't be looked up, and there are no endpoints to look up in its place; it is passed over",
                    "add endpoints, or use resolution NONE",
                );
            }
        }
        _ => {}
    }
    if resolution == Resolution::DnsRoundRobin && endpoints.len() > 1 {
        subject.report(
            "with spec.resolution DNS_ROUND_ROBIN there is one endpoint; the first one is taken",
            "remove the others, or use resolution DNS",
        );
        endpoints.truncate(1);
    }
    if hosts.is_empty() {
        subject.report(
            "it has no host that can be used, so it is passed over",
            "name one in spec.hosts",
        );
        return None;
    }
    Some(ServiceEntryRecord {
        name: subject.name().clone(),
        created: subject.created(),
        hosts,
        addresses: addresses(subject),
        ports: ports(subject),
        location: location(subject, &spec),
        resolution,
        endpoints,
        selector,
        export: export(subject),
    })
}

fn export(subject: &mut Subject<'_>) -> Option<ExportTo> {
    let said = subject.field("spec").and_then(|spec| spec.get("exportTo"));
    // What is no list is a word too, and shows it to nobody.
    let is_said = said.is_some_and(|said| !said.is_null() && said.as_array().is_none_or(|names| !names.is_empty()));
    let names = texts(subject, "exportTo");
    is_said.then(|| export_to(subject, "spec.exportTo", names))
}

fn texts<'a>(subject: &mut Subject<'a>, field: &str) -> Vec<&'a str> {
    let mut texts = Vec::new();
    for (at, value) in subject.list(&["spec", field]).iter().enumerate() {
        texts.extend(subject.element::<&str>(&format!("spec.{field}[{at}]"), value));
    }
    texts
}

fn resolution(subject: &mut Subject<'_>, spec: &Value) -> Option<Resolution> {
    match text(subject, "spec", spec, "resolution").as_deref() {
        None | Some("NONE") => Some(Resolution::None),
        Some("STATIC") => Some(Resolution::Static),
        Some("DNS") => Some(Resolution::Dns),
        Some("DNS_ROUND_ROBIN") => Some(Resolution::DnsRoundRobin),
        Some(other) => {
            subject.report(
                format!("spec.resolution {other} is not supported, so it is passed over"),
                "use NONE, STATIC, DNS or DNS_ROUND_ROBIN",
            );
            None
        }
    }
}

fn location(subject: &mut Subject<'_>, spec: &Value) -> Location {
    match text(subject, "spec", spec, "location").as_deref() {
        None | Some("MESH_EXTERNAL") => Location::External,
        Some("MESH_INTERNAL") => Location::Internal,
        Some(other) => {
            subject.report(
                format!("spec.location is {other}; MESH_EXTERNAL is taken"),
                "use MESH_EXTERNAL or MESH_INTERNAL",
            );
            Location::External
        }
    }
}

/// The longest host, in bytes: Envoy takes no server name of more than 255, and `outbound_.65535_._.` stands before it.
const LONGEST_HOST: usize = 255 - 19;

fn hosts(subject: &mut Subject<'_>) -> Vec<EntryHost> {
    let mut hosts = BTreeSet::new();
    for (at, text) in texts(subject, "hosts").into_iter().enumerate() {
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        // What is no name in DNS is none in a route or a certificate either.
        let host = HostName::new(name).map_err(|error| error.to_string());
        let host = host.and_then(|host| match host.as_str().contains('_') {
            true => Err(format!("{text:?} has an underscore")),
            false if host.as_str().len() > LONGEST_HOST => Err(format!("{text:?} is longer than {LONGEST_HOST} bytes")),
            false => Ok(host),
        });
        match host {
            Ok(host) if below => drop(hosts.insert(EntryHost::Below(host))),
            Ok(host) => drop(hosts.insert(EntryHost::Exact(host))),
            Err(error) => subject.report(
                format!("spec.hosts[{at}]: {error}; it is passed over"),
                "write a complete host name, or one below a domain as *.example.com",
            ),
        }
    }
    hosts.into_iter().collect()
}

fn addresses(subject: &mut Subject<'_>) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for (at, text) in texts(subject, "addresses").into_iter().enumerate() {
        let place = format!("spec.addresses[{at}]");
        let address = match text.split_once('/') {
            Some((address, "32")) if !address.contains(':') => subject.address(&place, address),
            Some((address, "128")) => subject.address(&place, address),
            Some(_) => {
                subject.report(
                    format!("{place} is {text}: ranges are not supported; it is passed over"),
                    "write single addresses, or leave them out",
                );
                None
            }
            None => subject.address(&place, text),
        };
        addresses.extend(address.filter(|address| !addresses.contains(address)));
    }
    addresses
}

fn ports(subject: &mut Subject<'_>) -> Vec<EntryPort> {
    let mut ports: Vec<EntryPort> = Vec::new();
    let listed = subject.list(&["spec", "ports"]);
    if listed.is_empty() {
        subject.report("it has no port, so nobody reaches it", "add one to spec.ports");
    }
    for (at, value) in listed.iter().enumerate() {
        let place = format!("spec.ports[{at}]");
        subject.only(&place, value, &["name", "number", "protocol", "targetPort"]);
        let Some(port) = subject.element::<Port<'_>>(&place, value) else {
            continue;
        };
        let protocol = port.protocol.unwrap_or_default().to_ascii_lowercase();
        if protocol == "udp" {
            subject.report(
                format!("{place}: UDP is not supported; it is passed over"),
                "use another protocol",
            );
            continue;
        }
        let Some(number) = subject.port(&format!("{place}.number"), port.number) else {
            continue;
        };
        if ports.iter().any(|port| port.port.number == number) {
            subject.report(
                format!("{place}.number {number} is there twice; the first one is taken"),
                "remove one of them",
            );
            continue;
        }
        let target = port.target_port.filter(|target| *target != 0);
        ports.push(EntryPort {
            target: target.and_then(|target| subject.port(&format!("{place}.targetPort"), target)),
            port: ServicePort {
                number,
                name: port.name.unwrap_or_default().into(),
                app_protocol: protocol.as_str().into(),
            },
        });
    }
    ports
}

fn endpoints(subject: &mut Subject<'_>, resolution: Resolution) -> Vec<Workload> {
    let names = match resolution {
        Resolution::Dns | Resolution::DnsRoundRobin => Names::Allowed,
        Resolution::None | Resolution::Static => Names::Refused,
    };
    let mut endpoints = Vec::new();
    for (at, value) in subject.list(&["spec", "endpoints"]).iter().enumerate() {
        endpoints.extend(workload(
            subject,
            &format!("spec.endpoints[{at}]"),
            value,
            names,
            Vec::new(),
        ));
    }
    endpoints
}
