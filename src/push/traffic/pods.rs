//! Pods of headless services, which connections reach by their own addresses where they share the viewer's network.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::{Endpoint, GroupKey, Mtls, ServiceEndpoints, ViewKey};
use crate::resources::{ClusterName, Destination, DirectName};

/// The endpoints of one port, or of all, on the viewer's network.
fn near<'a>(
    key: &'a ViewKey,
    service: &'a ServiceEndpoints,
    port: Option<u16>,
) -> impl Iterator<Item = (&'a GroupKey, &'a Endpoint)> {
    let ports = service.ports.iter();
    let ports = ports.filter(move |own| port.is_none_or(|port| own.port.number == port));
    let groups = ports.flat_map(|port| port.groups());
    let near = groups.filter(|(group, _)| group.network == key.network);
    near.flat_map(|(group, pods)| pods.endpoints().iter().map(move |endpoint| (group, endpoint)))
}

fn is_own(key: &ViewKey, group: &GroupKey) -> bool {
    let site = key.site.as_ref();
    site.and_then(|site| site.member.as_ref()) == Some(&group.member)
}

/// Whether the DNS of the viewer's member knows pods of a headless service that the viewer reaches.
pub(super) fn any_ready(key: &ViewKey, service: &ServiceEndpoints) -> bool {
    let mut groups = service.groups();
    groups.any(|(group, pods)| group.network == key.network && is_own(key, group) && pods.any_ready())
}

/// The host of a pod on the viewer's network.
#[derive(Debug)]
pub(super) struct Home {
    /// Whether the DNS of the viewer's member knows it.
    pub(super) is_own: bool,
    /// Of the viewer's own member where that has one called so, else of all that have.
    pub(super) addresses: Vec<IpAddr>,
    mtls: bool,
}

/// Where the host of a pod is on the viewer's network; none where it is only on others.
pub(super) fn home(key: &ViewKey, host: &ServiceEndpoints) -> Option<Home> {
    let is_own = near(key, host, None).any(|(group, _)| self::is_own(key, group));
    let counts = |(group, _): &(&GroupKey, &Endpoint)| !is_own || self::is_own(key, group);
    let endpoints = || near(key, host, None).filter(counts).map(|(_, endpoint)| endpoint);
    let addresses: BTreeSet<IpAddr> = endpoints().flat_map(|endpoint| endpoint.addresses.iter()).collect();
    (!addresses.is_empty()).then(|| Home {
        is_own,
        addresses: addresses.into_iter().collect(),
        mtls: endpoints().all(|endpoint| endpoint.mtls == Mtls::Yes),
    })
}

/// Where a request to a service port goes by name: to the pod that was dialled where it names a host on the viewer's network.
pub(super) fn by_name(key: &ViewKey, service: &ServiceEndpoints, port: u16) -> Destination {
    let name = |service| ClusterName { service, port };
    let of_pod = service.key.pod();
    match of_pod.and_then(|(_, service_of)| Some((service_of, home(key, service)?))) {
        None => Destination::Endpoints(name(service.key.clone())),
        Some((service, home)) if home.mtls => Destination::Pod(DirectName(name(service))),
        Some(_) => Destination::Passthrough,
    }
}

/// The addresses of a headless service's pods on the viewer's network.
pub(super) fn addresses(key: &ViewKey, service: &ServiceEndpoints, port: u16) -> BTreeSet<IpAddr> {
    if !service.headless {
        return BTreeSet::new();
    }
    let endpoints = near(key, service, Some(port));
    endpoints.flat_map(|(_, endpoint)| endpoint.addresses.iter()).collect()
}

/// Where a connection to a pod of a headless service goes that dials its address.
pub(super) fn by_address(key: &ViewKey, service: &ServiceEndpoints, port: u16, address: IpAddr) -> Option<Destination> {
    let mut endpoints = near(key, service, Some(port)).filter(|_| service.headless);
    let (_, pod) = endpoints.find(|(_, endpoint)| endpoint.addresses.iter().any(|own| own == address))?;
    let service = service.key.clone();
    Some(match pod.mtls {
        Mtls::Yes => Destination::Pod(DirectName(ClusterName { service, port })),
        Mtls::No | Mtls::Disabled | Mtls::PodUnknown => Destination::Passthrough,
    })
}

/// The port that pods of a headless service listen on, where the viewer's network has any with mutual TLS: all of those that
/// differ from the service's own are taken to be the same.
pub(super) fn target(key: &ViewKey, service: &ServiceEndpoints, port: u16) -> Option<u16> {
    if !service.headless {
        return None;
    }
    let pods = near(key, service, Some(port)).filter(|(_, endpoint)| endpoint.mtls == Mtls::Yes);
    pods.map(|(_, endpoint)| endpoint.port)
        .max_by_key(|target| *target != port)
}
