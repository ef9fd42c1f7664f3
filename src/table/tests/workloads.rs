//! Workloads outside of Kubernetes as endpoints of Services that select them.

use super::*;
use crate::table::testing::{event, network};
use crate::table::{Labels, TargetPort, Workload, WorkloadAddress, WorkloadEntryRecord};

pub(super) fn labels(labels: &[(&str, &str)]) -> Labels {
    labels
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect()
}

pub(super) fn workload(address: &str, with: &[(&str, &str)]) -> Workload {
    Workload {
        address: WorkloadAddress::Ip(address.parse().unwrap()),
        ports: Vec::new(),
        labels: labels(with),
        network: None,
        locality: None,
        weight: 1,
        account: None,
        mtls: true,
    }
}

pub(super) fn entry(name: &str, workload: Workload) -> Record {
    Record::WorkloadEntry(Box::new(WorkloadEntryRecord {
        name: ObjectName::new("shop", name),
        workload,
    }))
}

fn selecting(targets: Vec<(u16, TargetPort)>) -> Record {
    let mut service = service_record("web", vec![port(80, "http"), port(81, "admin")]);
    service.selector = labels(&[("app", "web")]);
    service.targets = targets;
    Record::Service(service)
}

/// The endpoints of a port, as `address:port*weight@network pod`.
fn held(table: &EndpointTable, number: u16) -> Vec<String> {
    let service = table.service(&ServiceKey::new("shop", "web"));
    let port = service.as_ref().and_then(|service| service.port(number));
    let groups = port.into_iter().flat_map(|port| port.groups().values());
    let endpoints = groups.flat_map(|group| group.endpoints());
    let shown = endpoints.map(|endpoint| {
        let address = endpoint.addresses.iter().next().unwrap();
        let pod = endpoint
            .pod
            .as_ref()
            .map(|pod| pod.name().to_owned())
            .unwrap_or_default();
        format!(
            "{address}:{}*{}@{} {pod}",
            endpoint.port, endpoint.weight, endpoint.network
        )
    });
    shown.collect()
}

#[test]
fn a_service_has_the_workloads_that_its_selector_chooses_beside_its_pods() {
    let table = table();
    let targets = vec![(80, TargetPort::Number(8080)), (81, TargetPort::Name("adm".into()))];
    let mut records = web(&["10.0.0.1"]);
    records[0] = selecting(targets);
    let mut vm = workload("10.0.9.1", &[("app", "web"), ("version", "2")]);
    (vm.weight, vm.network) = (5, Some(network("dc")));
    vm.ports = vec![("adm".into(), 9000)];
    records.push(entry("vm-1", vm.clone()));
    records.push(entry("other", workload("10.0.9.2", &[("app", "db")])));
    table.apply(joined("east", "net1"));
    table.apply(listed("east", records));
    assert_eq!(
        held(&table, 80),
        ["10.0.9.1:8080*5@dc vm-1", "10.0.0.1:8080*1@net1 web-1"]
    );
    assert_eq!(
        held(&table, 81),
        ["10.0.9.1:9000*5@dc vm-1"],
        "by the name of the target"
    );
    // By the name of the service port before all.
    vm.ports.push(("http".into(), 7000));
    vm.ports.sort();
    vm.network = None;
    let changes = table.apply(upsert("east", entry("vm-1", vm.clone())));
    assert_eq!(
        changes.services.keys().collect::<Vec<_>>(),
        [&ServiceKey::new("shop", "web")]
    );
    assert_eq!(
        held(&table, 80),
        ["10.0.0.1:8080*1@net1 web-1", "10.0.9.1:7000*5@net1 vm-1"]
    );
    // Another label takes it out, as its end does.
    vm.labels = labels(&[("app", "db")]);
    let without = entry("vm-1", vm);
    table.apply(upsert("east", without.clone()));
    assert_eq!(held(&table, 80), ["10.0.0.1:8080*1@net1 web-1"]);
    table.apply(upsert("east", entry("vm-2", workload("10.0.9.3", &[("app", "web")]))));
    assert_eq!(held(&table, 81), ["10.0.9.3:81*1@net1 vm-2"]);
    table.apply(event(
        "east",
        RegistryChange::Remove(Kind::WorkloadEntry, ObjectName::new("shop", "vm-2")),
    ));
    assert_eq!(held(&table, 81), [""; 0]);
    assert!(table.apply(remove("east", &without)).is_empty(), "nobody selected it");
}

#[test]
fn a_service_without_a_selector_or_in_another_namespace_or_member_has_none() {
    let table = table();
    table.apply(joined("east", "net1"));
    table.apply(joined("west", "net1"));
    let vm = entry("vm", workload("10.0.9.1", &[("app", "web")]));
    table.apply(listed("east", [service("web"), vm]));
    table.apply(listed("west", [selecting(Vec::new())]));
    assert_eq!(held(&table, 80), [""; 0]);
    // A Service that begins to select.
    table.apply(upsert("east", selecting(Vec::new())));
    assert_eq!(held(&table, 80), ["10.0.9.1:80*1@net1 vm"]);
}

#[test]
fn a_proxy_beside_a_workload_stands_on_its_network() {
    let table = table();
    table.apply(joined("east", "net1"));
    let mut vm = workload("10.0.9.1", &[]);
    vm.network = Some(network("dc"));
    table.apply(listed("east", []));
    let viewer = Viewer {
        member: Some(member("east")),
        addresses: vec!["10.0.9.1".parse().unwrap()],
        ..Viewer::default()
    };
    assert_eq!(table.locate(&viewer).key.network, network("net1"));
    let changes = table.apply(upsert("east", entry("vm", vm)));
    assert_eq!(changes.locations, Locations::Changed);
    assert_eq!(table.locate(&viewer).key.network, network("dc"));
}
