//! What is wrong with hosts of `ServiceEntry` objects that nothing in one object shows: names that look like those of Services and are
//! none, and names that no gateway can lead to.

use std::sync::Arc;

use super::{Finding, Severity};
use crate::model::{Mtls, ServiceEndpoints, ServiceKey};
use crate::table::ServicePart;

/// What a host shows that no Service of Kubernetes has. `networks` is how many there are.
pub(super) fn findings(
    service: &ServiceEndpoints,
    parts: &[ServicePart],
    merged: &[Arc<ServiceEndpoints>],
    domain: &str,
    networks: usize,
    findings: &mut Vec<Finding>,
) {
    let Some(entry) = &service.entry else { return };
    let host = service.key.host(domain);
    let said = said_of(service, merged, domain);
    let carried = |mtls| mtls == Mtls::Yes;
    let inside = service.groups().any(|(key, group)| {
        !key.network.is_anywhere() && group.endpoints().iter().any(|endpoint| carried(endpoint.mtls))
    });
    for part in parts {
        // Those of other namespaces are passed over, which is said of them already.
        for name in part.entries.iter().filter(|name| name.namespace == entry.namespace) {
            let finding = || {
                let object = format!("ServiceEntry {name}");
                Finding::of(Severity::Warning, part.member.as_str(), object).at("spec.hosts")
            };
            if let Some((problem, remedy)) = &said {
                findings.push(finding().says(problem.clone(), remedy.clone()));
            }
            if inside && networks > 1 && host.starts_with('*') {
                findings.push(finding().says(
                    format!("no gateway leads to {host}, so other networks don't reach its endpoints in the mesh"),
                    "name each host that they answer for",
                ));
            }
        }
    }
}

/// What is to be said of a host that looks like a Service, and what to do.
fn said_of(service: &ServiceEndpoints, merged: &[Arc<ServiceEndpoints>], domain: &str) -> Option<(String, String)> {
    let key = &service.key;
    let host = key.host(domain);
    if host.starts_with('*') {
        return None;
    }
    let of_kubernetes = |key: &ServiceKey| {
        let at = merged.binary_search_by(|other| other.key.cmp(key));
        at.is_ok_and(|at| merged[at].entry.is_none())
    };
    if !key.is_outside() {
        // The pod of a headless Service that is there.
        if key.pod().is_some_and(|(_, owner)| of_kubernetes(&owner)) {
            return None;
        }
        return Some((
            format!("{host} is the name of a Service that no member has; this object alone says what it is"),
            format!("create the Service, correct the name, or use one that is not below svc.{domain}"),
        ));
    }
    let (name, namespace, is_plain) = match host.split('.').collect::<Vec<_>>()[..] {
        [name, namespace] => (name, namespace, true),
        [name, namespace, "svc" | "global"] | [name, namespace, "svc", "clusterset", "local"] => {
            (name, namespace, false)
        }
        _ => return None,
    };
    // `example.com` is no short name, where nobody has a namespace `com`.
    let is_namespace = || {
        let mut others = merged.iter().filter(|other| other.entry.is_none());
        others.any(|other| *other.key.namespace == *namespace)
    };
    if is_plain && !is_namespace() {
        return None;
    }
    let meant = ServiceKey::new(namespace, name);
    let whole = meant.host(domain);
    Some(match of_kubernetes(&meant) {
        true => (
            format!("{host} is a short name of the Service {meant}, and here a host outside of Kubernetes beside it"),
            format!("write {whole} to add endpoints to the Service, or name another host"),
        ),
        false => (
            format!("{host} looks like a short name of a Service, which no member has; it is taken as a host outside"),
            format!("write {whole} if that is meant, or correct the name"),
        ),
    })
}
