//! A small mesh for the tests of this module: one service on three networks, gateways of one of them.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::cache::Cache;
use crate::model::{
    Addresses, ClusterId, Conflict, Endpoint, GatewayOrigin, GatewaySet, GatewaySource, Health, Locality, Mtls,
    NetworkGateway, NetworkId, ObjectName, PortEndpoints, ServiceEndpoints, ServiceKey, ServicePort, UnusableGateway,
    UnusableReason, Viewer,
};
use crate::push::{Builder, PushMetrics};
use crate::resources::ResourceType;
use crate::xds::{Dialect, ProxyKind, ProxyNode, ResourceState, ResourceStatus, StreamInfo, TypeInfo, TypeStatus};

pub(crate) fn network(name: &str) -> NetworkId {
    NetworkId::new(name).unwrap()
}

pub(crate) fn member(name: &str) -> ClusterId {
    ClusterId::new(name).unwrap()
}

fn endpoint(network_name: &str, address: &str, health: Health, mtls: Mtls, zone: &str) -> Endpoint {
    Endpoint {
        addresses: Addresses::from(address.parse::<std::net::IpAddr>().unwrap()),
        port: 8080,
        weight: 1,
        health,
        mtls,
        network: network(network_name),
        locality: Locality::new("r1", zone, ""),
        pod: Some((&ObjectName::new("shop", &format!("web-{}", address.rsplit('.').next().unwrap()))).into()),
    }
}

/// The open stream of a sidecar on net1 in west that asked for nothing yet; opened so many seconds after 1970.
pub(crate) fn stream(pod: &str, opened: u64) -> StreamInfo {
    let id = format!("sidecar~10.1.0.9~{pod}.shop~shop.svc.cluster.local");
    let viewer = Viewer {
        member: Some(member("west")),
        network: Some(network("net1")),
        addresses: vec!["10.1.0.9".parse().unwrap()],
        ..Viewer::default()
    };
    let table = Arc::new(crate::table::testing::table());
    let cache = Cache::new(Builder::new(table, "cluster.local", PushMetrics::default()));
    let subscriber = cache.attach(viewer.clone());
    StreamInfo {
        id: subscriber.id(),
        node: Arc::new(ProxyNode {
            claims: crate::identity::Claims::default(),
            id: id.into(),
            cluster: "".into(),
            kind: ProxyKind::Sidecar,
            pod: ObjectName::new("shop", pod),
            viewer,
            locality: Locality::default(),
            agent: "envoy/1.36.2".into(),
        }),
        standpoint: subscriber.standpoint(),
        dialect: Dialect::Delta,
        peer: Some("10.1.0.9:4711".parse().unwrap()),
        connected_at: UNIX_EPOCH + Duration::from_secs(opened),
        types: Vec::new(),
    }
}

/// A type of which everything was accepted.
pub(crate) fn settled(kind: ResourceType) -> TypeInfo {
    TypeInfo {
        status: TypeStatus {
            kind,
            subscribed: 0,
            wildcard: true,
            held: 2,
            pending: 0,
            in_flight: None,
            sent_version: None,
            acked_version: None,
            pushes: 1,
            acks: 1,
            nacks: 0,
            last_nack: None,
        },
        in_flight_for: None,
        resources: Vec::new(),
    }
}

/// A resource that was sent in version 2, and accepted before in version 1.
pub(crate) fn resource(name: &str, state: ResourceState) -> ResourceStatus {
    ResourceStatus {
        name: name.into(),
        sent: "2".to_owned(),
        acked: "1".to_owned(),
        state,
    }
}

/// `web.shop`, port 8080: in west (net1) one dual-stack pod that is ready and one that is not; in east (net2) three
/// ready ones and a plaintext one; in north (net3, no gateway) a
/// draining one and a ready one.
pub(crate) fn service() -> ServiceEndpoints {
    let mut dual = endpoint("net1", "10.1.0.1", Health::Ready, Mtls::Yes, "z1");
    dual.addresses = dual.addresses.with("fd00::1".parse().unwrap());
    let endpoints = [
        ("west", dual),
        ("west", endpoint("net1", "10.1.0.2", Health::NotReady, Mtls::Yes, "z1")),
        ("east", endpoint("net2", "10.2.0.1", Health::Ready, Mtls::Yes, "z2")),
        ("east", endpoint("net2", "10.2.0.2", Health::Ready, Mtls::Yes, "z2")),
        ("east", endpoint("net2", "10.2.0.3", Health::Ready, Mtls::Yes, "z2")),
        ("east", endpoint("net2", "10.2.0.4", Health::Ready, Mtls::No, "z2")),
        ("north", endpoint("net3", "10.3.0.1", Health::Draining, Mtls::Yes, "")),
        ("north", endpoint("net3", "10.3.0.2", Health::Ready, Mtls::Yes, "")),
    ];
    let port = ServicePort {
        number: 8080,
        name: "http".into(),
        app_protocol: "".into(),
    };
    ServiceEndpoints {
        key: ServiceKey::new("shop", "web"),
        defined_in: vec![member("west"), member("east")],
        terms: None,
        headless: false,
        cluster_ips: std::collections::BTreeMap::new(),
        virtual_ip: None,
        ports: vec![PortEndpoints::from_endpoints(
            port,
            endpoints.map(|(name, endpoint)| (member(name), endpoint)),
        )],
        conflicts: vec![Conflict {
            attribute: "headless",
            winner: member("west"),
            loser: member("east"),
            detail: "false, true".to_owned(),
        }],
        entry: None,
    }
}

/// Another service, with two ports and no endpoints.
pub(crate) fn two_ports() -> ServiceEndpoints {
    let ports = [(80, "http"), (9090, "metrics")];
    ServiceEndpoints {
        key: ServiceKey::new("shop", "cart"),
        defined_in: vec![member("west")],
        terms: None,
        headless: true,
        cluster_ips: std::collections::BTreeMap::new(),
        virtual_ip: None,
        ports: ports
            .map(|(number, name)| {
                PortEndpoints::from_endpoints(
                    ServicePort {
                        number,
                        name: name.into(),
                        app_protocol: "".into(),
                    },
                    [],
                )
            })
            .into(),
        conflicts: Vec::new(),
        entry: None,
    }
}

pub(crate) fn services() -> Vec<Arc<ServiceEndpoints>> {
    vec![Arc::new(two_ports()), Arc::new(service())]
}

/// Two gateways of net2; one of net3 that is none.
pub(crate) fn gateways() -> GatewaySet {
    let gateway = |address: &str| NetworkGateway {
        network: network("net2"),
        member: Some(member("east")),
        address: address.parse().unwrap(),
        port: 15443,
    };
    let unusable = UnusableGateway {
        source: GatewaySource {
            network: network("net3"),
            member: Some(member("north")),
            origin: GatewayOrigin::Labelled(ObjectName::new("istio-system", "eastwest")),
        },
        reason: UnusableReason::NoReadyPod,
    };
    GatewaySet::new([gateway("203.0.113.7"), gateway("203.0.113.8")], vec![unusable])
}
