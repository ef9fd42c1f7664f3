//! A small mesh for the tests of this module: one service on three networks, gateways of one of them.

use std::sync::Arc;

use crate::model::{
    Addresses, ClusterId, Conflict, Endpoint, GatewaySet, GatewaySource, Health, Locality, Mtls, NetworkGateway,
    NetworkId, ObjectName, PortEndpoints, ServiceEndpoints, ServiceKey, ServicePort, UnusableGateway, UnusableReason,
};

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
        health,
        mtls,
        network: network(network_name),
        locality: Locality::new("r1", zone, ""),
        pod: format!("shop/web-{}", address.rsplit('.').next().unwrap()).into(),
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
        headless: false,
        ports: vec![PortEndpoints::new(
            port,
            endpoints.map(|(name, endpoint)| (member(name), endpoint)),
        )],
        conflicts: vec![Conflict {
            attribute: "headless",
            winner: member("west"),
            loser: member("east"),
            detail: "false, true".to_owned(),
        }],
    }
}

/// Another service, with two ports and no endpoints.
pub(crate) fn two_ports() -> ServiceEndpoints {
    let ports = [(80, "http"), (9090, "metrics")];
    ServiceEndpoints {
        key: ServiceKey::new("shop", "cart"),
        defined_in: vec![member("west")],
        headless: true,
        ports: ports
            .map(|(number, name)| {
                PortEndpoints::new(
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
    }
}

pub(crate) fn services() -> Vec<Arc<ServiceEndpoints>> {
    vec![Arc::new(two_ports()), Arc::new(service())]
}

/// Two gateways of net2; one of net3 that is none.
pub(crate) fn gateways() -> GatewaySet {
    let gateway = |address: &str| NetworkGateway {
        network: network("net2"),
        member: member("east"),
        address: address.parse().unwrap(),
        port: 15443,
    };
    let unusable = UnusableGateway {
        source: GatewaySource {
            network: network("net3"),
            member: member("north"),
            service: ObjectName::new("istio-system", "eastwest"),
        },
        reason: UnusableReason::NoReadyPod,
    };
    GatewaySet::new([gateway("203.0.113.7"), gateway("203.0.113.8")], vec![unusable])
}
