//! Which resources of traffic a view has, and what each name stands for, from the table as it is now.

mod dns;
mod hosts;
mod pods;

pub(super) use dns::DnsListeners;
pub(super) use hosts::cluster as host_cluster;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{AddressFamilies, Role, ServiceEndpoints, ServiceKey, Vantage, ViewKey};
use crate::resources::{
    AssignmentSpec, CAPTURE_LISTENER, CaptureSpec, ClusterName, DNS_LISTENER, Destination, DirectClusterSpec,
    DirectName, FixedCluster, FixedClusterSpec, GATEWAY_LISTENER, GatewayClusterSpec, GatewayListenerSpec,
    INBOUND_LISTENER, InboundSpec, OutboundListener, OutboundSpec, OutboundTarget, OutsideHosts, Protocol,
    ResourceSpec, ResourceType, RoutesSpec, SidecarClusterSpec, SniName, TrafficSettings, VirtualService, port_number,
};
use crate::table::EndpointTable;
use crate::view::{assign, is_carried};

/// What the listener does for connections to this port at an address, where it needs one of its own.
fn own_target(service: &ServiceEndpoints, port: u16, to: Destination) -> Option<OutboundTarget> {
    match Protocol::of(&service.port(port)?.port) {
        // Known by the names that requests give.
        Protocol::Http => None,
        Protocol::Tcp => Some(OutboundTarget::Bytes(to)),
        Protocol::Sniffed => Some(OutboundTarget::Sniffed(to)),
    }
}

/// Its `ClusterIP`s where the viewer is.
fn cluster_ips<'a>(key: &ViewKey, service: &'a ServiceEndpoints) -> &'a [IpAddr] {
    if let Some(entry) = &service.entry {
        return &entry.addresses;
    }
    let member = key.site.as_ref().and_then(|site| site.member.as_ref());
    member
        .and_then(|member| service.cluster_ips.get(member))
        .map_or(&[], Vec::as_slice)
}

/// Whether the viewer's member gives the service an address of a family that the viewer has.
fn is_addressed(key: &ViewKey, service: &ServiceEndpoints) -> bool {
    cluster_ips(key, service)
        .iter()
        .any(|address| key.families.reach(*address))
}

/// The addresses that mean the service as a whole where the viewer is: its `ClusterIP`s, and its virtual one where the viewer
/// can't use any of these. Of the host of a pod on the viewer's network there is none, since that has its own.
fn addresses(key: &ViewKey, service: &ServiceEndpoints) -> Vec<IpAddr> {
    let own = cluster_ips(key, service);
    if is_addressed(key, service) || is_home_host(key, service) {
        return own.to_vec();
    }
    let virtual_ip = match key.families {
        AddressFamilies::V6 => service.virtual_ip_v6().map(IpAddr::from),
        AddressFamilies::V4 | AddressFamilies::Dual | AddressFamilies::Unknown => service.virtual_ip.map(IpAddr::from),
    };
    let virtual_ip = virtual_ip.filter(|_| hosts::use_virtual_ip(service));
    virtual_ip.into_iter().chain(own.iter().copied()).collect()
}

fn is_home_host(key: &ViewKey, service: &ServiceEndpoints) -> bool {
    service.key.pod().is_some() && pods::home(key, service).is_some()
}

/// Whether requests to this port may be HTTP.
fn may_be_http(service: &ServiceEndpoints, port: u16) -> bool {
    service
        .port(port)
        .is_some_and(|port| Protocol::of(&port.port) != Protocol::Tcp)
}

/// Whether a port has endpoints on the viewer's own network that a gateway leads to, ready or not.
fn is_at_home(key: &ViewKey, service: &ServiceEndpoints, port: u16) -> bool {
    service
        .port(port)
        .is_some_and(|port| port.groups().keys().any(|group| is_carried(key, port, group)))
}

/// Whether there are names for it where the viewer is.
fn is_visible(key: &ViewKey, service: &ServiceEndpoints) -> bool {
    let site = key.site.as_ref();
    let namespace = site.map_or("", |site| &site.namespace);
    service.is_visible_to(site.and_then(|site| site.member.as_ref()), namespace)
}

/// All names of a type that a proxy of this role has beside those that every client may ask for.
pub(super) fn names(
    table: &EndpointTable,
    settings: &TrafficSettings,
    key: &ViewKey,
    kind: ResourceType,
) -> Vec<Arc<str>> {
    let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
    match (key.role, kind) {
        (Role::Sidecar, ResourceType::Cluster) => {
            names.extend(FixedCluster::ALL.map(|fixed| fixed.name().into()));
            for service in table.services() {
                for port in service.ports.iter().map(|port| port.port.number) {
                    let direct = pods::target(key, &service, port);
                    names.extend(direct.map(|_| direct_name(&service.key, port, settings)));
                }
            }
            for host in table.pod_hosts() {
                if pods::home(key, &host).is_none() {
                    let service = &host.key;
                    let ports = host.ports.iter().map(|port| ClusterName {
                        service: service.clone(),
                        port: port.port.number,
                    });
                    names.extend(ports.map(|name| Arc::from(name.encode(&settings.domain))));
                }
            }
        }
        (Role::Gateway, ResourceType::Cluster) => {
            names.insert(FixedCluster::BlackHole.name().into());
            for service in table.services().into_iter().chain(table.pod_hosts()) {
                let ports = service.ports.iter().map(|port| port.port.number);
                let home = ports.filter(|port| is_at_home(key, &service, *port));
                names.extend(home.map(|port| sni(&service.key, port, settings)));
            }
        }
        (Role::Sidecar, ResourceType::Listener) if key.inbound.is_some() => {
            names.insert(INBOUND_LISTENER.into());
        }
        (Role::Sidecar, ResourceType::Listener) => {
            names.insert(CAPTURE_LISTENER.into());
            if settings.dns {
                names.insert(DNS_LISTENER.into());
            }
            let services = table.services().into_iter().chain(table.pod_hosts());
            for service in services.filter(|service| is_visible(key, service)) {
                let whole = addresses(key, &service);
                for port in service.ports.iter().map(|port| port.port.number) {
                    let all = may_be_http(&service, port) || hosts::is_on_all_addresses(&service, port);
                    let mut listeners = Vec::from_iter(all.then_some(None));
                    if own_target(&service, port, Destination::Passthrough).is_some() {
                        let pods = pods::addresses(key, &service, port);
                        listeners.extend(whole.iter().copied().chain(pods).map(Some));
                    }
                    let listeners = listeners.into_iter();
                    names.extend(listeners.map(|address| OutboundListener { address, port }.encode().into()));
                }
            }
        }
        (Role::Gateway, ResourceType::Listener) => {
            names.insert(GATEWAY_LISTENER.into());
        }
        _ => {}
    }
    names.into_iter().collect()
}

/// The name of the cluster for connections to pods of a service port themselves.
pub(super) fn direct_name(service: &ServiceKey, port: u16, settings: &TrafficSettings) -> Arc<str> {
    let service = service.clone();
    DirectName(ClusterName { service, port })
        .encode(&settings.domain)
        .into()
}

/// The name of a service port's cluster at a gateway.
pub(super) fn sni(service: &ServiceKey, port: u16, settings: &TrafficSettings) -> Arc<str> {
    let service = service.clone();
    SniName { service, port }.encode(&settings.domain).into()
}

/// The content of a resource of a sidecar; `None` where the name is none of traffic's or does not exist.
pub(super) fn sidecar_spec(
    table: &EndpointTable,
    settings: &Arc<TrafficSettings>,
    key: &ViewKey,
    kind: ResourceType,
    name: &str,
) -> Option<ResourceSpec> {
    let settings = Arc::clone(settings);
    match kind {
        ResourceType::Cluster => {
            if let Some(cluster) = FixedCluster::parse(name) {
                let families = key.families;
                return Some(ResourceSpec::FixedCluster(FixedClusterSpec { cluster, families }));
            }
            if let Some(name) = DirectName::parse(name, &settings.domain) {
                let service = table.service(&name.0.service)?;
                let target = pods::target(key, &service, name.0.port)?;
                return Some(ResourceSpec::DirectCluster(DirectClusterSpec {
                    port: (target != name.0.port).then_some(target),
                    name,
                    settings,
                }));
            }
            let name = ClusterName::parse(name, &settings.domain)?;
            let service = table.service(&name.service)?;
            service.port(name.port)?;
            let Vantage { member, namespace, .. } = &key.vantage;
            if is_home_host(key, &service) || !service.is_visible_to(member.as_ref(), namespace) {
                return None;
            }
            if service.entry.is_some() {
                return hosts::cluster(name, &service, key, &settings.domain, Some(&settings));
            }
            Some(ResourceSpec::SidecarCluster(SidecarClusterSpec { name, settings }))
        }
        ResourceType::ClusterLoadAssignment | ResourceType::Secret => None,
        ResourceType::Listener => match name {
            CAPTURE_LISTENER => Some(ResourceSpec::Capture(CaptureSpec {
                families: key.families,
                settings,
            })),
            INBOUND_LISTENER => Some(ResourceSpec::Inbound(InboundSpec {
                families: key.families,
                policy: Arc::clone(key.inbound.as_ref()?),
                settings,
            })),
            _ => {
                let listener = OutboundListener::parse(name)?;
                let (target, hosts) = target(table, key, listener)?;
                Some(ResourceSpec::Outbound(OutboundSpec {
                    families: key.families,
                    listener,
                    target,
                    hosts,
                    settings,
                }))
            }
        },
        ResourceType::RouteConfiguration => {
            let port = port_number(name)?;
            let services = table.services_on(port);
            let services = services
                .iter()
                .filter(|service| is_visible(key, service) && may_be_http(service, port));
            Some(ResourceSpec::Routes(RoutesSpec {
                port,
                namespace: key
                    .site
                    .as_ref()
                    .map(|site| Arc::clone(&site.namespace))
                    .unwrap_or_default(),
                services: services
                    .map(|service| VirtualService {
                        service: service.key.clone(),
                        addresses: addresses(key, service),
                        to: pods::by_name(key, service, port),
                        steps: service.steps(),
                    })
                    .collect(),
                settings,
            }))
        }
    }
}

/// What such a listener is for, and the hosts outside that it knows by other things than names.
fn target(table: &EndpointTable, key: &ViewKey, listener: OutboundListener) -> Option<(OutboundTarget, OutsideHosts)> {
    let OutboundListener { address, port } = listener;
    let Some(address) = address else {
        let mut services = table.services_on(port);
        services.retain(|service| is_visible(key, service));
        let known =
            |service: &Arc<ServiceEndpoints>| may_be_http(service, port) || hosts::is_on_all_addresses(service, port);
        let hosts = hosts::on_all_addresses(&services, port);
        return services.iter().any(known).then_some((OutboundTarget::Names, hosts));
    };
    // In one member an address is one service's; where manifests say otherwise the first by name has it.
    let services = table.services_at(address);
    let to = |service: &ServiceEndpoints| {
        if addresses(key, service).contains(&address) {
            let service = service.key.clone();
            return Some(Destination::Endpoints(ClusterName { service, port }));
        }
        pods::by_address(key, service, port, address)
    };
    let counts = |service: &&Arc<ServiceEndpoints>| service.port(port).is_some() && is_visible(key, service);
    let mut found = services.iter().filter(counts);
    let (service, to) = found.find_map(|service| Some((service, to(service)?)))?;
    Some((own_target(service, port, to)?, OutsideHosts::default()))
}

/// The content of a resource of a gateway. It has nothing else: what it has no cluster for, nobody reaches through it.
pub(super) fn gateway_spec(
    table: &EndpointTable,
    settings: &Arc<TrafficSettings>,
    key: &ViewKey,
    kind: ResourceType,
    name: &Arc<str>,
) -> Option<ResourceSpec> {
    match kind {
        ResourceType::Listener => (**name == *GATEWAY_LISTENER).then(|| {
            ResourceSpec::GatewayListener(GatewayListenerSpec {
                families: key.families,
                hosts: hosts::at_gateway(table, key, settings),
                settings: Arc::clone(settings),
            })
        }),
        // The listener has none, and nobody waits for a gateway to ask for them.
        ResourceType::RouteConfiguration | ResourceType::Secret => None,
        ResourceType::Cluster | ResourceType::ClusterLoadAssignment => {
            if kind == ResourceType::Cluster && FixedCluster::parse(name) == Some(FixedCluster::BlackHole) {
                let (cluster, families) = (FixedCluster::BlackHole, key.families);
                return Some(ResourceSpec::FixedCluster(FixedClusterSpec { cluster, families }));
            }
            let SniName { service, port } = SniName::parse(name, &settings.domain)?;
            let service = table.service(&service)?;
            if !is_at_home(key, &service, port) {
                return None;
            }
            let name = Arc::clone(name);
            Some(match kind {
                ResourceType::Cluster => ResourceSpec::GatewayCluster(GatewayClusterSpec {
                    name,
                    outlier: settings.outlier.clone(),
                }),
                _ => ResourceSpec::Assignment(AssignmentSpec {
                    name,
                    assignment: assign(key, service.port(port)?, &table.gateways()),
                }),
            })
        }
    }
}

#[cfg(test)]
mod tests;
