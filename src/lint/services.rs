//! What is wrong with services: ports that nothing matches, names too long, members that disagree, endpoints that others never get.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Severity};
use crate::model::{ClusterId, Mtls, NetworkId, ObjectName, ServiceEndpoints, ServiceKey};
use crate::resources::{Protocol, SniName};
use crate::table::{ServicePart, ServiceRecord};

/// The longest name that DNS and TLS can carry, in bytes.
const LONGEST_NAME: usize = 253;

/// How many pods are named.
const NAMED: usize = 3;

/// Services that every member has for itself, and whose endpoints nobody elsewhere asks for.
fn is_local(key: &ServiceKey) -> bool {
    &*key.namespace == "kube-system" || (&*key.namespace == "default" && &*key.name == "kubernetes")
}

/// What the parts of one service show.
pub(super) fn findings(
    key: &ServiceKey,
    parts: &[ServicePart],
    service: Option<&ServiceEndpoints>,
    domain: &str,
    findings: &mut Vec<Finding>,
) {
    let Some(service) = service else {
        // Slices alone: nothing says which ports the service has.
        let with_slices = parts.iter().filter(|part| !part.slice_ports.is_empty());
        findings.extend(with_slices.map(|part| {
            Finding::service(Severity::Error, &part.member, key).says(
                "there are EndpointSlices of it, and no member has the Service; none of it is served",
                "create the Service, or delete its EndpointSlices",
            )
        }));
        for (part, entry) in parts
            .iter()
            .flat_map(|part| part.entries.iter().map(move |entry| (part, entry)))
        {
            findings.push(of_entry(&part.member, entry).at("spec.hosts").says(
                format!(
                    "it names {key}, a Service of another namespace that no member has; that host of it is passed over"
                ),
                "name another host, or put the object into that namespace",
            ));
        }
        return;
    };
    for part in parts {
        let Some(record) = &part.service else { continue };
        name(key, part, record, domain, findings);
        ports(key, part, record, service, findings);
    }
    disagreements(key, parts, service, findings);
    endpoints(key, parts, service, findings);
}

/// About a `ServiceEntry` of a member.
fn of_entry(member: &ClusterId, name: &ObjectName) -> Finding {
    Finding::of(Severity::Error, member.as_str(), format!("ServiceEntry {name}"))
}

fn name(key: &ServiceKey, part: &ServicePart, record: &ServiceRecord, domain: &str, findings: &mut Vec<Finding>) {
    let longest = record.ports.iter().map(|port| SniName {
        service: key.clone(),
        port: port.number,
    });
    let longest = longest.map(|name| name.encode(domain).len()).max();
    let longest = longest.unwrap_or_else(|| key.host(domain).len());
    if longest > LONGEST_NAME {
        findings.push(Finding::service(Severity::Error, &part.member, key).at("metadata.name").says(
            format!(
                "with its namespace and the domain {domain} its name has {longest} bytes in TLS, more than the {LONGEST_NAME} that fit; other networks don't reach it"
            ),
            "give it a shorter name",
        ));
    }
}

/// Ports that no slice of the same member has.
fn ports(
    key: &ServiceKey,
    part: &ServicePart,
    record: &ServiceRecord,
    service: &ServiceEndpoints,
    findings: &mut Vec<Finding>,
) {
    if record.ports.is_empty() {
        findings.push(
            Finding::service(Severity::Warning, &part.member, key)
                .at("spec.ports")
                .says(
                    "it has no TCP port, so nothing of it is served",
                    "add one, where it is meant to be reached over the mesh",
                ),
        );
    }
    for port in &record.ports {
        if part.slice_ports.is_empty() || part.slice_ports.contains(&port.name) {
            continue;
        }
        let has_own = service.port(port.number).is_some_and(|port| {
            let mut groups = port.groups().keys();
            groups.any(|group| group.member == part.member)
        });
        if has_own {
            continue;
        }
        let quoted: Vec<_> = part.slice_ports.iter().map(|name| format!("{name:?}")).collect();
        findings.push(
            Finding::service(Severity::Error, &part.member, key)
                .at(format!("spec.ports[port {}].name", port.number))
                .says(
                    format!(
                        "port {} is called {:?}, and its EndpointSlices have only {}; the port has no endpoints here",
                        port.number,
                        port.name,
                        quoted.join(", ")
                    ),
                    "call both alike, or correct targetPort, which no pod may have",
                ),
        );
    }
}

/// What members say differently of one service.
fn disagreements(key: &ServiceKey, parts: &[ServicePart], service: &ServiceEndpoints, findings: &mut Vec<Finding>) {
    // The same port by another protocol, whether appProtocol says so or the name.
    let mut first: BTreeMap<u16, (Protocol, &ClusterId)> = BTreeMap::new();
    let mut clashing: BTreeSet<&ClusterId> = BTreeSet::new();
    let records = service.defined_in.iter().filter_map(|member| {
        let part = parts.iter().find(|part| part.member == *member)?;
        Some((member, part.service.as_deref()?))
    });
    for (member, record) in records {
        for port in &record.ports {
            let protocol = Protocol::of(port);
            let (counts, winner) = *first.entry(port.number).or_insert((protocol, member));
            if counts == protocol {
                continue;
            }
            clashing.insert(member);
            let finding =
                Finding::service(Severity::Error, member, key).at(format!("spec.ports[port {}]", port.number));
            findings.push(finding.says(
                format!(
                    "port {} is {} here and {} in {winner}, which counts",
                    port.number,
                    word(protocol),
                    word(counts)
                ),
                "give the port one appProtocol (or one prefix of its name) in all members",
            ));
        }
    }
    for conflict in &service.conflicts {
        let field = match conflict.attribute {
            // Of objects that name one host: the detail has which.
            "ServiceEntry" | "protocol" => {
                let entry = parts.iter().find(|part| part.member == conflict.loser);
                let mut entries = entry.iter().flat_map(|part| &part.entries);
                let said = |entry: &&ObjectName| conflict.detail.contains(&format!("ServiceEntry {entry}"));
                let field = match conflict.attribute {
                    "protocol" => "spec.ports",
                    _ => "spec.hosts",
                };
                if let Some(entry) = entries.find(said) {
                    findings.push(of_entry(&conflict.loser, entry).at(field).says(
                        format!("host {}: {}", key.name, conflict.detail),
                        "let one object alone say what this host is",
                    ));
                }
                continue;
            }
            // Said already, and better.
            "appProtocol" if clashing.contains(&conflict.loser) => continue,
            "headless" => "spec.clusterIP",
            "appProtocol" | "ports" => "spec.ports",
            other => other,
        };
        let finding = Finding::service(Severity::Warning, &conflict.loser, key).at(field);
        findings.push(finding.says(
            format!("members disagree, {}: {}", conflict.attribute, conflict.detail),
            format!(
                "write the Service as in {}, which counts since it is the oldest",
                conflict.winner
            ),
        ));
    }
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "HTTP",
        Protocol::Tcp => "TCP",
        Protocol::Sniffed => "undeclared",
    }
}

/// Services that answer nobody.
fn endpoints(key: &ServiceKey, parts: &[ServicePart], service: &ServiceEndpoints, findings: &mut Vec<Finding>) {
    // Proxies find the endpoints of hosts outside, or what is wrong with them is said of their objects.
    if service.entry.is_some() {
        return;
    }
    // A gateway without pods is a machine outside of Kubernetes; nothing is sent to it by its name.
    let mut records = parts.iter().filter_map(|part| part.service.as_deref());
    if records.any(|record| record.gateway.is_some()) || service.ports.is_empty() {
        return;
    }
    let all = || {
        let groups = service
            .ports
            .iter()
            .flat_map(|port| port.groups().values().map(move |group| (port, group)));
        groups.flat_map(|(port, group)| group.endpoints().iter().map(move |endpoint| (port, endpoint)))
    };
    let count = all().count();
    if all().any(|(port, endpoint)| port.serves(endpoint)) {
        return;
    }
    let Some(member) = service.defined_in.first() else {
        return;
    };
    let (problem, remedy) = match count {
        0 => (
            "it has no endpoints in any member; whoever calls it gets an error".to_owned(),
            "see that its selector matches pods, or delete it",
        ),
        count => (
            format!("none of its {count} endpoints in all members is ready"),
            "see what its pods wait for: kubectl get pods, kubectl describe pod",
        ),
    };
    findings.push(
        Finding::service(Severity::Warning, member, key)
            .at("spec.selector")
            .says(problem, remedy),
    );
}

/// Endpoints that no other network ever gets, whatever becomes of them.
pub(super) fn withheld(service: &ServiceEndpoints, parts: &[ServicePart], findings: &mut Vec<Finding>) {
    let mut records = parts.iter().filter_map(|part| part.service.as_deref());
    if is_local(&service.key) || records.any(|record| record.gateway.is_some()) {
        return;
    }
    #[derive(Default)]
    struct Plain {
        pods: BTreeSet<String>,
        addresses: BTreeSet<String>,
    }
    let mut plain: BTreeMap<(&ClusterId, &NetworkId), Plain> = BTreeMap::new();
    let groups = service.ports.iter().flat_map(|port| port.groups());
    for (key, group) in groups.filter(|(key, _)| !key.network.is_anywhere()) {
        for endpoint in group.endpoints().iter().filter(|endpoint| endpoint.mtls == Mtls::No) {
            let found = plain.entry((&key.member, &key.network)).or_default();
            match &endpoint.pod {
                Some(pod) => {
                    found.pods.insert(pod.to_string());
                }
                None => {
                    let addresses = endpoint.addresses.iter().map(|address| address.to_string());
                    found.addresses.extend(addresses);
                }
            }
        }
    }
    for ((member, network), Plain { pods, addresses }) in plain {
        let finding = || Finding::service(Severity::Warning, member, &service.key);
        let effect = format!("networks other than {network} never get them");
        if !pods.is_empty() {
            findings.push(finding().at("label security.istio.io/tlsMode").says(
                format!("pods without it speak no mutual TLS ({}); {effect}", some_of(&pods)),
                "label the pods security.istio.io/tlsMode: istio where a sidecar is beside them",
            ));
        }
        if !addresses.is_empty() {
            findings.push(finding().says(
                format!(
                    "endpoints that are no pods speak no mutual TLS ({}); {effect}",
                    some_of(&addresses)
                ),
                "nothing, where only their own network is to reach them",
            ));
        }
    }
}

/// The first of these names.
pub(super) fn some_of(names: &BTreeSet<String>) -> String {
    let shown: Vec<_> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len().saturating_sub(NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
