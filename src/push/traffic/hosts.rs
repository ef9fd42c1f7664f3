//! Hosts outside of Kubernetes: their clusters, and what the listener of all addresses knows of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{Distance, DnsTarget, Resolution, ServiceEndpoints, ServicePort, ViewKey};
use crate::resources::{
    ClusterName, HostClusterSpec, HostWay, OutsideHosts, Protocol, RankedTarget, ResourceSpec, TrafficSettings,
};
use crate::table::EndpointTable;

/// The cluster of one port of a host, `None` for what is none. `settings` are a sidecar's.
pub(in super::super) fn cluster(
    name: ClusterName,
    service: &ServiceEndpoints,
    key: &ViewKey,
    domain: &Arc<str>,
    settings: Option<&Arc<TrafficSettings>>,
) -> Option<ResourceSpec> {
    let entry = service.entry.as_ref()?;
    let targets = || entry.lookups.get(&name.port).cloned().unwrap_or_default();
    Some(ResourceSpec::HostCluster(HostClusterSpec {
        way: match entry.resolution {
            Resolution::None => HostWay::Original,
            Resolution::Static => HostWay::Endpoints,
            Resolution::Dns => HostWay::Names(ranked(key, service, targets())),
            Resolution::DnsRoundRobin => HostWay::Name(targets()),
        },
        namespace: Arc::clone(&entry.namespace),
        schema: key.schema,
        families: key.families,
        domain: Arc::clone(domain),
        settings: settings.cloned(),
        name,
    }))
}

/// What is nearest to the viewer comes first, where somebody asks for that. Each of it is on whichever network the viewer is.
fn ranked(key: &ViewKey, service: &ServiceEndpoints, targets: Vec<DnsTarget>) -> Vec<RankedTarget> {
    let terms = service.terms.as_deref();
    let preference = terms.map(|terms| terms.preference.clone()).unwrap_or_default();
    let distance = |target: &DnsTarget| preference.distance(key, &key.network, &target.locality);
    let distances: BTreeSet<Distance> = targets.iter().map(distance).collect();
    let priority = |target: &DnsTarget| distances.range(..distance(target)).count();
    let ranked = targets.into_iter().map(|target| RankedTarget {
        priority: u32::try_from(priority(&target)).unwrap_or(u32::MAX),
        target,
    });
    ranked.collect()
}

/// Whether connections find a service by an address of the whole mesh. A host that DNS knows has it only where a port needs it:
/// other connections would not find their way by it.
pub(super) fn use_virtual_ip(service: &ServiceEndpoints) -> bool {
    let is_dns = service.entry.as_ref().is_some_and(|entry| entry.resolution.is_dns());
    let bytes = |port: &ServicePort| Protocol::of(port) != Protocol::Http && !Protocol::is_tls(port);
    !is_dns || service.ports.iter().any(|port| bytes(&port.port))
}

/// How the listener of all addresses finds a port of a host, beside names that HTTP requests give.
enum Found {
    BySni,
    AsTheRest,
    Not,
}

impl Found {
    fn of(service: &ServiceEndpoints, port: u16) -> Self {
        let (Some(entry), Some(port)) = (&service.entry, service.port(port)) else {
            return Self::Not;
        };
        if Protocol::is_reserved(&port.port) {
            return Self::Not;
        }
        if Protocol::is_tls(&port.port) {
            return Self::BySni;
        }
        // Nothing but where it goes tells a connection of bytes, and here that is anywhere.
        let anywhere = entry.resolution == Resolution::None && entry.addresses.is_empty();
        match Protocol::of(&port.port) {
            Protocol::Tcp if anywhere => Self::AsTheRest,
            _ => Self::Not,
        }
    }
}

/// Whether the listener of all addresses of a port knows the host.
pub(super) fn is_on_all_addresses(service: &ServiceEndpoints, port: u16) -> bool {
    !matches!(Found::of(service, port), Found::Not)
}

/// The clusters of a gateway that are of hosts which are not below the domain of the mesh.
pub(super) fn at_gateway(table: &EndpointTable, key: &ViewKey, settings: &TrafficSettings) -> Vec<Arc<str>> {
    let mut names = Vec::new();
    // Nothing is called `*`: a server name with it in the middle would have the whole listener refused.
    let whole = |service: &Arc<ServiceEndpoints>| !service.key.name.starts_with('*');
    for service in table.outside_services().into_iter().filter(whole) {
        let ports = service.ports.iter().map(|port| port.port.number);
        let home = ports.filter(|port| super::is_at_home(key, &service, *port));
        names.extend(home.map(|port| super::sni(&service.key, port, settings)));
    }
    names.sort();
    names
}

/// What the listener of all addresses of a port knows of hosts, of these services.
pub(super) fn on_all_addresses(services: &[Arc<ServiceEndpoints>], port: u16) -> OutsideHosts {
    let mut hosts = OutsideHosts::default();
    for service in services {
        let name = || ClusterName {
            service: service.key.clone(),
            port,
        };
        match Found::of(service, port) {
            Found::BySni => hosts.by_sni.push(name()),
            // Of several the first by name, which is all the same: connections go where they were going.
            Found::AsTheRest => drop(hosts.rest.get_or_insert_with(name)),
            Found::Not => {}
        }
    }
    hosts
}
