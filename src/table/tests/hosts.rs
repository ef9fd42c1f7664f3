//! Hosts outside of Kubernetes: what `ServiceEntry` objects make of them.

use super::workloads::{entry as workload_entry, labels, workload};
use super::*;
use crate::model::{HostName, Naming, Resolution};
use crate::table::testing::{event, network, node, pod_record};
use crate::table::{EntryHost, EntryPort, Location, PodTraits, ServiceEntryRecord};

const HOST: &str = "api.example.com";

fn host(name: &str) -> EntryHost {
    match name.strip_prefix("*.") {
        Some(below) => EntryHost::Below(HostName::new(below).unwrap()),
        None => EntryHost::Exact(HostName::new(name).unwrap()),
    }
}

fn record(name: &str, host_name: &str, addresses: &[&str]) -> ServiceEntryRecord {
    let mut https = port(443, "tls");
    https.app_protocol = "tls".into();
    ServiceEntryRecord {
        name: ObjectName::new("shop", name),
        created: Some(1),
        hosts: vec![host(host_name)],
        addresses: Vec::new(),
        ports: vec![EntryPort {
            port: https,
            target: Some(8443),
        }],
        location: Location::External,
        resolution: Resolution::Static,
        endpoints: addresses.iter().map(|address| workload(address, &[])).collect(),
        selector: None,
        export: None,
    }
}

fn said(record: ServiceEntryRecord) -> Record {
    Record::ServiceEntry(Box::new(record))
}

fn key(host: &str) -> ServiceKey {
    ServiceKey::outside(host)
}

/// The endpoints of a host's port 443, as `address:port@network`.
fn held(table: &EndpointTable, key: &ServiceKey) -> Vec<String> {
    let service = table.service(key);
    let port = service.as_ref().and_then(|service| service.port(443));
    let groups = port.into_iter().flat_map(|port| port.groups());
    let endpoints = groups.flat_map(|(key, group)| group.endpoints().iter().map(move |endpoint| (key, endpoint)));
    let shown = endpoints.map(|(key, endpoint)| {
        let address = endpoint.addresses.iter().next().unwrap();
        format!("{address}:{}@{}", endpoint.port, key.network)
    });
    shown.collect()
}

fn conflicts(table: &EndpointTable, key: &ServiceKey) -> String {
    let service = table.service(key).unwrap();
    Vec::from_iter(service.conflicts.iter().map(ToString::to_string)).join("\n")
}

fn two_members() -> EndpointTable {
    let table = table();
    for (name, on) in [("east", "net1"), ("west", "net2")] {
        table.apply(joined(name, on));
        table.apply(listed(name, []));
    }
    table
}

#[test]
fn what_is_outside_is_anywhere_and_what_is_inside_on_its_members_network() {
    let table = two_members();
    let changes = table.apply(upsert("east", said(record("api", HOST, &["203.0.113.7"]))));
    assert_eq!(changes.services.keys().collect::<Vec<_>>(), [&key(HOST)]);
    assert_eq!(changes.services[&key(HOST)].defined, [443].into());
    assert_eq!(held(&table, &key(HOST)), ["203.0.113.7:8443@*"]);
    let mut inside = record("api", HOST, &["10.0.0.7", "10.0.0.8"]);
    inside.location = Location::Internal;
    inside.endpoints[1].network = Some(network("dc"));
    inside.endpoints[1].ports = vec![("tls".into(), 9443)];
    table.apply(upsert("east", said(inside.clone())));
    assert_eq!(held(&table, &key(HOST)), ["10.0.0.8:9443@dc", "10.0.0.7:8443@net1"]);
    assert!(table.apply(upsert("east", said(inside))).is_empty(), "the same again");
    table.apply(event(
        "east",
        RegistryChange::Remove(Kind::ServiceEntry, ObjectName::new("shop", "api")),
    ));
    assert!(table.service(&key(HOST)).is_none());
}

#[test]
fn a_host_with_a_star_has_no_name_of_its_own() {
    let table = two_members();
    for (name, naming) in [(HOST, Naming::Own), ("*.example.com", Naming::Star)] {
        table.apply(upsert("east", said(record("api", name, &["203.0.113.7"]))));
        assert_eq!(table.service(&key(name)).unwrap().port(443).unwrap().naming(), naming);
    }
}

#[test]
fn objects_of_one_namespace_add_up_and_the_oldest_counts_where_they_disagree() {
    let table = two_members();
    table.apply(upsert("west", said(record("api", HOST, &["203.0.113.8"]))));
    let mut other = record("api", HOST, &["203.0.113.7"]);
    other.created = Some(2);
    other.ports[0].port.app_protocol = "http".into();
    other.addresses = vec!["198.51.100.1".parse().unwrap()];
    table.apply(upsert("east", said(other)));
    assert_eq!(held(&table, &key(HOST)), ["203.0.113.7:8443@*", "203.0.113.8:8443@*"]);
    let service = table.service(&key(HOST)).unwrap();
    assert_eq!(&*service.port(443).unwrap().port.app_protocol, "tls");
    assert_eq!(service.entry.as_ref().unwrap().addresses.len(), 1);
    assert_eq!(service.defined_in, [member("west"), member("east")]);
    assert!(
        conflicts(&table, &key(HOST)).contains("port 443: tls and http (ServiceEntry shop/api) (west wins over east)")
    );
    // Another namespace has no say, whatever it says; nor has another resolution.
    let mut foreign = record("mine", HOST, &["203.0.113.66"]);
    foreign.name = ObjectName::new("other", "mine");
    foreign.created = Some(7);
    table.apply(upsert("east", said(foreign.clone())));
    let mut dns = record("dns", HOST, &[]);
    (dns.resolution, dns.created) = (Resolution::Dns, Some(8));
    table.apply(upsert("east", said(dns)));
    assert_eq!(held(&table, &key(HOST)).len(), 2);
    let told = conflicts(&table, &key(HOST));
    assert!(
        told.contains("ServiceEntry other/mine is passed over: shop/api has this host, and counts before it"),
        "{told}"
    );
    assert!(
        told.contains("ServiceEntry shop/dns is passed over: shop/api has another resolution"),
        "{told}"
    );
    // Until it is the oldest.
    foreign.created = Some(0);
    table.apply(upsert("east", said(foreign)));
    assert_eq!(held(&table, &key(HOST)), ["203.0.113.66:8443@*"]);
}

#[test]
fn a_host_of_kubernetes_is_its_service() {
    let table = two_members();
    table.apply(upsert(
        "east",
        Record::Service(service_record("web", vec![port(443, "https")])),
    ));
    table.apply(upsert(
        "east",
        said(record("more", "web.shop.svc.cluster.local", &["10.0.0.7"])),
    ));
    let mut foreign = record("foreign", "web.shop.svc.cluster.local", &["10.0.0.66"]);
    foreign.name = ObjectName::new("other", "foreign");
    table.apply(upsert("west", said(foreign)));
    let service = table.service(&web_key()).unwrap();
    assert!(service.entry.is_none());
    assert_eq!(held(&table, &web_key()), ["10.0.0.7:8443@*"]);
    let told = conflicts(&table, &web_key());
    assert!(
        told.contains("ServiceEntry other/foreign is passed over: it is in another namespace"),
        "{told}"
    );
    // Without the Service it is one by itself.
    table.apply(event(
        "east",
        RegistryChange::Remove(Kind::Service, ObjectName::new("shop", "web")),
    ));
    let service = table.service(&web_key()).unwrap();
    assert_eq!(service.entry.as_ref().unwrap().namespace, "shop".into());
    assert_eq!(held(&table, &web_key()), ["10.0.0.7:8443@*"]);
}

#[test]
fn a_selector_chooses_workloads_and_pods_as_they_come_and_change() {
    let table = two_members();
    let mut selecting = record("api", HOST, &[]);
    selecting.selector = Some(labels(&[("app", "api")]));
    selecting.location = Location::Internal;
    table.apply(upsert("east", said(selecting)));
    table.apply(upsert("east", node("node-1", "z1")));
    table.apply(upsert(
        "east",
        workload_entry("vm", workload("10.0.9.1", &[("app", "api")])),
    ));
    assert_eq!(held(&table, &key(HOST)), ["10.0.9.1:8443@net1"]);
    let mut pod = pod_record("api-1", "10.0.0.1");
    table.apply(upsert("east", Record::Pod(pod.clone())));
    assert_eq!(held(&table, &key(HOST)).len(), 1, "it has no such label");
    pod.traits = Arc::new(PodTraits {
        labels: labels(&[("app", "api")]),
        account: "api".into(),
        ..PodTraits::default()
    });
    table.apply(upsert("east", Record::Pod(pod.clone())));
    assert_eq!(held(&table, &key(HOST)), ["10.0.0.1:8443@net1", "10.0.9.1:8443@net1"]);
    let zone = |table: &EndpointTable| {
        let service = table.service(&key(HOST)).unwrap();
        let groups = service.port(443).unwrap().groups().values();
        let endpoints = groups.flat_map(|group| group.endpoints().to_vec());
        let mut pods = endpoints.filter(|endpoint| endpoint.pod.as_ref().is_some_and(|pod| pod.name() == "api-1"));
        let pod = pods.next().unwrap();
        (pod.health, pod.locality.zone().to_owned())
    };
    assert_eq!(zone(&table), (Health::Ready, "z1".to_owned()));
    pod.ready = false;
    table.apply(upsert("east", Record::Pod(pod.clone())));
    table.apply(upsert("east", node("node-1", "z2")));
    assert_eq!(zone(&table), (Health::NotReady, "z2".to_owned()));
    table.apply(remove("east", &Record::Pod(pod)));
    assert_eq!(held(&table, &key(HOST)), ["10.0.9.1:8443@net1"]);
}

#[test]
fn what_proxies_look_up_is_the_host_or_its_endpoints() {
    let table = two_members();
    let mut dns = record("api", HOST, &[]);
    (dns.resolution, dns.hosts) = (Resolution::Dns, vec![host(HOST), host("*.example.org")]);
    table.apply(upsert("east", said(dns.clone())));
    let targets = |table: &EndpointTable, host: &str| -> Vec<String> {
        let service = table.service(&key(host)).unwrap();
        let targets = service.entry.as_ref().unwrap().lookups[&443].iter();
        targets
            .map(|target| format!("{}:{}*{}", target.name, target.port, target.weight))
            .collect()
    };
    assert_eq!(targets(&table, HOST), ["api.example.com:8443*1"]);
    dns.endpoints = vec![workload("192.0.2.1", &[])];
    dns.endpoints[0].weight = 4;
    let changes = table.apply(upsert("east", said(dns.clone())));
    assert_eq!(changes.services.len(), 2);
    assert_eq!(targets(&table, "*.example.org"), ["192.0.2.1:8443*4"]);
    // The same from two members is one; a member that is drained has nothing to look up.
    table.apply(upsert("west", said(dns)));
    assert_eq!(targets(&table, HOST), ["192.0.2.1:8443*4"]);
    for name in ["east", "west"] {
        let standing = MemberStanding {
            weight: MemberWeight::DRAINED,
            rank: Rank::Normal,
        };
        table.apply(event(name, RegistryChange::Stands(standing)));
    }
    assert_eq!(targets(&table, HOST), [""; 0]);
}

#[test]
fn what_looks_like_something_of_kubernetes_and_is_no_service_is_no_host() {
    let table = two_members();
    for host_name in [
        "db-0.db.shop.svc.cluster.local",
        "x.svc.cluster.local",
        "a.b.c.shop.svc.cluster.local",
        "*.shop.svc.cluster.local",
    ] {
        let changes = table.apply(upsert("east", said(record("odd", host_name, &["203.0.113.7"]))));
        assert!(
            changes.is_empty() && table.services().is_empty(),
            "{host_name}: {changes:?}"
        );
    }
}

/// Whether it has a virtual address, to which its name leads, depends on that.
#[test]
fn the_names_of_hosts_follow_what_their_ports_speak() {
    let table = two_members();
    let mut dns = record("api", HOST, &[]);
    dns.resolution = Resolution::Dns;
    table.apply(upsert("east", said(dns.clone())));
    let before = table.naming();
    dns.ports[0].port.app_protocol = "tcp".into();
    table.apply(upsert("east", said(dns)));
    assert!(table.naming() > before);
}
