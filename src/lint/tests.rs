//! Small meshes with one thing wrong in each.

use super::*;
use crate::model::{Health, HostName, Locality, MemberWeight, ObjectName, Resolution, ServiceKey, ZoneWeight};
use crate::table::testing::*;
use crate::table::{
    EntryHost, EntryPort, Location, Record, ServiceEntryRecord, SliceEndpoint, TableSettings, Workload, WorkloadAddress,
};

const DOMAIN: &str = "cluster.local";

/// A mesh of two networks in which nothing is wrong.
fn mesh() -> EndpointTable {
    let table = table();
    for (name, on, address, way) in [
        ("east", "net1", "10.1.0.1", "192.0.2.1"),
        ("west", "net2", "10.2.0.1", "192.0.2.2"),
    ] {
        table.apply(joined(name, on));
        let mut records = web(&[address]);
        records.push(gateway("eastwest", on, &[way]));
        table.apply(listed(name, records));
    }
    table
}

/// What is found, each as one line.
fn found(table: &EndpointTable) -> Vec<String> {
    lint(table, DOMAIN, Lookups::Made)
        .into_iter()
        .map(|finding| {
            let Finding {
                severity,
                member,
                object,
                field,
                problem,
                remedy,
            } = finding;
            assert!(!remedy.is_empty(), "{object}: {problem}");
            format!("{severity} {member} {object} [{field}] {problem}")
        })
        .collect()
}

/// The only thing that is found.
fn only(table: &EndpointTable, begins: &str, says: &str) {
    let found = found(table);
    let [one] = &found[..] else {
        panic!("one finding: {found:#?}")
    };
    assert!(one.starts_with(begins) && one.contains(says), "{one}");
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(found(&mesh()), Vec::<String>::new());
}

#[test]
fn a_zone_of_the_settings_where_nothing_runs_is_named_with_those_there_are() {
    let table = mesh();
    table.apply(upsert("east", node("node-1", "z1")));
    let zones = |names: &[(&str, &str)]| {
        let said = names.iter().map(|(region, zone)| ZoneWeight {
            zone: Locality::new(region, zone, ""),
            weight: MemberWeight::DRAINED,
        });
        table.set_settings(TableSettings {
            zones: said.collect(),
            ..settings()
        });
    };
    let place = table.service(&ServiceKey::new("shop", "web")).unwrap();
    let (_, group) = place.groups().next().unwrap();
    let region = group.endpoints()[0].locality.region().to_owned();
    zones(&[(&region, "z1")]);
    assert_eq!(found(&table), Vec::<String>::new());
    zones(&[(&region, "z1"), (&region, "z2")]);
    only(
        &table,
        "warning  settings [zones.",
        "/z2] no endpoint counts by its weight of 0",
    );
}

#[test]
fn a_port_that_no_slice_has_is_named_with_those_they_have() {
    let table = mesh();
    table.apply(upsert(
        "east",
        Record::Service(service_record("web", vec![port(80, "http"), port(81, "http-admin")])),
    ));
    table.apply(upsert(
        "west",
        Record::Service(service_record("web", vec![port(80, "http"), port(81, "http")])),
    ));
    only(
        &table,
        "error east Service shop/web [spec.ports[port 81].name]",
        "port 81 is called \"http-admin\", and its EndpointSlices have only \"http\"",
    );
}

#[test]
fn a_port_by_two_protocols_is_an_error_and_other_differences_warnings() {
    let table = mesh();
    let mut other = service_record("web", vec![port(80, "http")]);
    other.ports[0].app_protocol = "tcp".into();
    other.created = Some(2);
    table.apply(upsert("west", Record::Service(other.clone())));
    only(
        &table,
        "error west Service shop/web [spec.ports[port 80]]",
        "port 80 is TCP here and HTTP in east",
    );
    other.ports[0].app_protocol = "http2".into();
    other.headless = true;
    table.apply(upsert("west", Record::Service(other)));
    let found = found(&table);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found
            .iter()
            .all(|line| line.starts_with("warning west Service shop/web")),
        "{found:#?}"
    );
    assert!(found.iter().any(|line| line.contains("[spec.clusterIP]")), "{found:#?}");
}

#[test]
fn services_that_answer_nobody_and_slices_without_a_service() {
    let table = mesh();
    table.apply(upsert("east", service("idle")));
    only(&table, "warning east Service shop/idle", "no endpoints in any member");
    let waiting = SliceEndpoint {
        health: Health::NotReady,
        ..backend("10.1.0.9", Some("web-1"))
    };
    table.apply(upsert("west", slice("idle-a", "idle", "http", vec![waiting])));
    only(&table, "warning east Service shop/idle", "none of its 1 endpoints");
    table.apply(remove("east", &service("idle")));
    only(&table, "error west Service shop/idle", "no member has the Service");
}

#[test]
fn pods_that_other_networks_never_get_are_named() {
    let table = mesh();
    let mut plain = pod_record("web-1", "10.1.0.1");
    plain.mtls = false;
    table.apply(upsert("east", Record::Pod(plain)));
    only(
        &table,
        "warning east Service shop/web [label security.istio.io/tlsMode]",
        "(shop/web-1)",
    );
    // Where there is one network nobody needs a gateway.
    let table = self::table();
    table.apply(joined("east", "net1"));
    table.apply(listed(
        "east",
        vec![
            service("db"),
            slice("db-a", "db", "http", vec![backend("10.9.0.1", None)]),
        ],
    ));
    assert_eq!(found(&table), Vec::<String>::new());
    table.apply(joined("west", "net2"));
    table.apply(listed("west", []));
    let found = found(&table);
    assert!(
        found[0].starts_with("error  network net1 [] it has no usable gateway"),
        "{found:#?}"
    );
    assert!(
        found[1].contains("endpoints that are no pods speak no mutual TLS (10.9.0.1)"),
        "{found:#?}"
    );
    assert_eq!(found.len(), 2);
}

#[test]
fn a_network_without_a_usable_gateway_says_why() {
    let table = mesh();
    table.apply(upsert("west", gateway("eastwest", "net2", &[])));
    let found = found(&table);
    assert!(found[0].starts_with("error  network net2"), "{found:#?}");
    assert!(
        found[1].starts_with("error west Service shop/eastwest") && found[1].contains("no address"),
        "{found:#?}"
    );
    assert_eq!(found.len(), 2);
}

#[test]
fn names_that_fit_nowhere_are_found() {
    let table = mesh();
    let long = "d".repeat(230);
    let found = lint(&table, &long, Lookups::Made);
    assert!(
        found.iter().all(|finding| finding.field == "metadata.name"),
        "{found:#?}"
    );
    assert!(
        ServiceKey::new("shop", "web").host(&long).len() < 253,
        "it is the port that makes it too long"
    );
    assert!(!found.is_empty());
}

/// A `ServiceEntry` for one host with one endpoint on port 443.
fn entry(name: ObjectName, created: i64, host: &str, protocol: &str) -> Record {
    let mut https = port(443, "a");
    https.app_protocol = protocol.into();
    let endpoint = Workload {
        address: WorkloadAddress::Ip("198.51.100.1".parse().unwrap()),
        ports: Vec::new(),
        labels: Vec::new(),
        network: None,
        locality: None,
        weight: 1,
        account: None,
        mtls: false,
    };
    Record::ServiceEntry(Box::new(ServiceEntryRecord {
        name,
        created: Some(created),
        hosts: vec![EntryHost::Exact(HostName::new(host).unwrap())],
        addresses: Vec::new(),
        ports: vec![EntryPort {
            port: https,
            target: None,
        }],
        location: Location::External,
        resolution: Resolution::Static,
        endpoints: vec![endpoint],
        selector: None,
        export: None,
    }))
}

#[test]
fn hosts_outside_are_fine_and_two_objects_for_one_are_held_against_each_other() {
    let table = mesh();
    let name = |namespace: &str, name: &str| ObjectName::new(namespace, name);
    table.apply(upsert("east", entry(name("shop", "a"), 1, "api.example.com", "tls")));
    assert_eq!(found(&table), Vec::<String>::new(), "what is outside needs no gateway");
    table.apply(upsert("west", entry(name("shop", "b"), 2, "api.example.com", "http")));
    only(
        &table,
        "error west ServiceEntry shop/b [spec.ports]",
        "port 443: tls and http",
    );
    table.apply(upsert("west", entry(name("bank", "c"), 3, "api.example.com", "tls")));
    table.apply(remove("west", &entry(name("shop", "b"), 2, "api.example.com", "http")));
    only(
        &table,
        "error west ServiceEntry bank/c [spec.hosts]",
        "shop/a has this host",
    );
    table.apply(remove("west", &entry(name("bank", "c"), 3, "api.example.com", "tls")));
    table.apply(upsert(
        "west",
        entry(name("bank", "d"), 1, "web.bakery.svc.cluster.local", "tls"),
    ));
    only(
        &table,
        "error west ServiceEntry bank/d [spec.hosts]",
        "a Service of another namespace",
    );
}

#[test]
fn a_host_that_looks_like_a_service_and_is_none_is_named() {
    let table = mesh();
    let said = |host: &str| {
        table.apply(upsert("east", entry(ObjectName::new("shop", "a"), 1, host, "tls")));
        found(&table)
    };
    let begins = "warning east ServiceEntry shop/a [spec.hosts] ";
    for (host, says) in [
        ("wbe.shop.svc.cluster.local", "the name of a Service that no member has"),
        ("wbe.shop", "looks like a short name of a Service, which no member has"),
        ("wbe.nowhere.svc", "looks like a short name"),
        ("wbe.shop.global", "looks like a short name"),
        ("web.shop", "is a short name of the Service web.shop"),
    ] {
        let found = said(host);
        let [one] = &found[..] else {
            panic!("{host}: {found:#?}");
        };
        assert!(one.starts_with(begins) && one.contains(says), "{host}: {one}");
    }
    // A Service that is there is added to; what is not like a name of Kubernetes is nobody's business.
    for host in [
        "web.shop.svc.cluster.local",
        "example.com",
        "shop.example.com",
        "web.shop.svc.other",
    ] {
        assert_eq!(said(host), Vec::<String>::new(), "{host}");
    }
}

#[test]
fn a_host_with_a_star_and_endpoints_in_the_mesh_is_for_its_own_network() {
    let table = mesh();
    let Record::ServiceEntry(mut below) = entry(ObjectName::new("shop", "a"), 1, "example.com", "tls") else {
        panic!("it is one");
    };
    below.hosts = vec![EntryHost::Below(HostName::new("example.com").unwrap())];
    table.apply(upsert("east", Record::ServiceEntry(below.clone())));
    assert_eq!(
        found(&table),
        Vec::<String>::new(),
        "what is outside is behind no gateway"
    );
    below.location = Location::Internal;
    below.endpoints[0].mtls = true;
    table.apply(upsert("east", Record::ServiceEntry(below)));
    only(
        &table,
        "warning east ServiceEntry shop/a [spec.hosts]",
        "no gateway leads to *.example.com",
    );
}
