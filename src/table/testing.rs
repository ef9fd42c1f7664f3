//! Builders of records and events for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::virtual_ips::choice;
use super::{
    EndpointTable, Exposure, GatewayClaim, Kind, NamespaceRecord, NodeRecord, PodRecord, Record, RegistryChange,
    RegistryEvent, ServiceRecord, SliceEndpoint, SliceRecord, TableSettings,
};
use crate::model::{ClusterId, Health, Locality, NetworkId, ObjectName, ServiceKey, ServicePort};

pub(crate) fn network(name: &str) -> NetworkId {
    NetworkId::new(name).unwrap()
}

pub(crate) fn member(name: &str) -> ClusterId {
    ClusterId::new(name).unwrap()
}

pub(crate) fn settings() -> TableSettings {
    TableSettings::new(network("default"), "istio-system")
}

pub(crate) fn table() -> EndpointTable {
    EndpointTable::new(settings())
}

pub(crate) fn event(name: &str, change: RegistryChange) -> RegistryEvent {
    RegistryEvent {
        member: member(name),
        change,
    }
}

pub(crate) fn joined(name: &str, on: &str) -> RegistryEvent {
    event(
        name,
        RegistryChange::Joined {
            network: Some(network(on)),
        },
    )
}

/// Complete lists of all kinds.
pub(crate) fn listed(name: &str, records: impl IntoIterator<Item = Record>) -> RegistryEvent {
    let mut lists: BTreeMap<Kind, Vec<Record>> = Kind::ALL.into_iter().map(|kind| (kind, Vec::new())).collect();
    for record in records {
        lists.entry(record.kind()).or_default().push(record);
    }
    event(name, RegistryChange::Replace(lists))
}

pub(crate) fn upsert(name: &str, record: Record) -> RegistryEvent {
    event(name, RegistryChange::Upsert(record))
}

pub(crate) fn remove(name: &str, record: &Record) -> RegistryEvent {
    event(name, RegistryChange::Remove(record.kind(), record.name()))
}

pub(crate) fn port(number: u16, name: &str) -> ServicePort {
    ServicePort {
        number,
        name: name.into(),
        app_protocol: "".into(),
    }
}

pub(crate) fn service_record(name: &str, ports: Vec<ServicePort>) -> ServiceRecord {
    ServiceRecord {
        key: ServiceKey::new("shop", name),
        created: Some(1),
        headless: false,
        cluster_ips: Vec::new(),
        publish_not_ready: false,
        ports,
        selector: Vec::new(),
        targets: Vec::new(),
        gateway: None,
        exposure: None,
        terms: None,
    }
}

pub(crate) fn service(name: &str) -> Record {
    Record::Service(service_record(name, vec![port(80, "http")]))
}

pub(crate) fn gateway(name: &str, on: &str, addresses: &[&str]) -> Record {
    let mut service = service_record(name, vec![port(15443, "tls")]);
    service.gateway = Some(GatewayClaim {
        network: network(on),
        port: 15443,
    });
    service.exposure = Some(Box::new(Exposure {
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        ..Exposure::default()
    }));
    Record::Service(service)
}

pub(crate) fn backend(address: &str, pod: Option<&str>) -> SliceEndpoint {
    let address: std::net::IpAddr = address.parse().unwrap();
    SliceEndpoint {
        addresses: address.into(),
        health: Health::Ready,
        pod: pod.map(|pod| ObjectName::new("shop", pod).into()),
        node: None,
        zone: None,
        host: None,
    }
}

pub(crate) fn slice(name: &str, of: &str, port: &str, endpoints: Vec<SliceEndpoint>) -> Record {
    Record::EndpointSlice(SliceRecord {
        name: ObjectName::new("shop", name),
        service: ServiceKey::new("shop", of),
        ports: vec![(port.into(), 8080)],
        endpoints,
    })
}

pub(crate) fn pod_record(name: &str, address: &str) -> PodRecord {
    PodRecord {
        name: ObjectName::new("shop", name).into(),
        network: None,
        mtls: true,
        node: Some("node-1".into()),
        locality: None,
        addresses: Some(address.parse::<std::net::IpAddr>().unwrap().into()),
        ready: true,
        traits: Arc::default(),
    }
}

pub(crate) fn pod(name: &str, address: &str) -> Record {
    Record::Pod(pod_record(name, address))
}

pub(crate) fn node_record(name: &str, zone: &str) -> NodeRecord {
    NodeRecord {
        name: name.into(),
        locality: Locality::new("r", zone, ""),
        labels: Vec::new(),
        external: Vec::new(),
        internal: Vec::new(),
        ready: true,
    }
}

pub(crate) fn node(name: &str, zone: &str) -> Record {
    Record::Node(node_record(name, zone))
}

pub(crate) fn namespace(name: &str, on: Option<&str>) -> Record {
    Record::Namespace(NamespaceRecord {
        name: Arc::from(name),
        network: on.map(network),
        terms: None,
    })
}

/// A Service `web` with one slice over pods `web-1`, `web-2`… of these addresses.
pub(crate) fn web(addresses: &[&str]) -> Vec<Record> {
    let named = || {
        addresses
            .iter()
            .enumerate()
            .map(|(at, address)| (format!("web-{}", at + 1), *address))
    };
    let mut records = vec![service("web"), node("node-1", "z1")];
    records.push(slice(
        "web-a",
        "web",
        "http",
        named().map(|(name, ip)| backend(ip, Some(&name))).collect(),
    ));
    records.extend(named().map(|(name, ip)| pod(&name, ip)));
    records
}

/// Two services that want one virtual address: found by trying, for there are 2^28.
pub(crate) fn rivals() -> [ServiceKey; 2] {
    let mut seen: BTreeMap<std::net::Ipv4Addr, ServiceKey> = BTreeMap::new();
    let found = (0..).find_map(|number| {
        let key = ServiceKey::new("shop", &format!("s{number}"));
        let other = seen.insert(choice(&key, 0), key.clone())?;
        Some([other, key])
    });
    found.unwrap()
}
