//! Hosts outside of Kubernetes beside Services, in what sidecars are sent.

use super::*;
use crate::model::{HostName, ObjectName, Resolution};
use crate::table::{EntryHost, EntryPort, ExportTo, Location, ServiceEntryRecord};

fn entry(name: &str, number: u16, protocol: &str) -> ServiceEntryRecord {
    let mut spoken = port(number, protocol);
    spoken.app_protocol = protocol.into();
    ServiceEntryRecord {
        name: ObjectName::new("shop", name),
        created: Some(1),
        hosts: vec![EntryHost::Exact(HostName::new(&format!("{name}.example.com")).unwrap())],
        addresses: Vec::new(),
        ports: vec![EntryPort {
            port: spoken,
            target: None,
        }],
        location: Location::External,
        resolution: Resolution::Dns,
        endpoints: Vec::new(),
        selector: None,
        export: None,
    }
}

/// The content of a listener, in which names of hosts and clusters can be read.
fn listener(stream: &Subscriber, name: &str) -> String {
    String::from_utf8_lossy(&stream.get(LDS, name).unwrap().any).into_owned()
}

#[test]
fn a_host_that_is_not_shown_to_a_namespace_is_in_none_of_its_listeners() {
    let mesh = Mesh::new(Some(settings()));
    mesh.say("east", Record::ServiceEntry(Box::new(entry("open", 8443, "tls"))));
    let mut own = entry("own", 8443, "tls");
    own.export = Some(ExportTo([".".into()].into()));
    mesh.say("east", Record::ServiceEntry(Box::new(own)));
    let [shop, tools] = ["shop", "tools"].map(|namespace| mesh.proxy(Role::Sidecar, "east", namespace));
    let [of_shop, of_tools] = [&shop, &tools].map(|stream| listener(stream, "0.0.0.0_8443"));
    assert!(of_shop.contains("open.example.com") && of_tools.contains("open.example.com"));
    assert!(of_shop.contains("own.example.com") && !of_tools.contains("own.example.com"));
}

#[test]
fn a_host_takes_no_address_of_a_service() {
    let mesh = Mesh::new(Some(settings()));
    let stream = mesh.proxy(Role::Sidecar, "east", "shop");
    let db = listener(&stream, "10.96.0.5_5432");
    let mut thief = entry("a-thief", 5432, "tcp");
    thief.resolution = Resolution::None;
    thief.addresses = vec!["10.96.0.5".parse().unwrap()];
    mesh.say("east", Record::ServiceEntry(Box::new(thief)));
    assert_eq!(listener(&stream, "10.96.0.5_5432"), db);
}

#[test]
fn a_host_takes_no_name_of_a_service() {
    let mesh = Mesh::new(Some(settings()));
    let stream = mesh.proxy(Role::Sidecar, "east", "shop");
    // This one leads nowhere from here yet.
    mesh.say("west", at("cart", "10.97.0.1", vec![port(5432, "tcp")]));
    let ours = |name: &str| super::names::dns_of(&stream, name);
    let (db, cart) = (ours("db.shop"), ours("cart.shop"));
    assert!(
        db.contains("db.shop.global 10.96.0.5") && cart.is_empty(),
        "{db:?} {cart:?}"
    );
    let mut thief = entry("a-thief", 5432, "tcp");
    thief.resolution = Resolution::None;
    thief.addresses = vec!["192.0.2.66".parse().unwrap()];
    let names = [
        "db.shop.global",
        "db.shop.svc.clusterset.local",
        "cart.shop.global",
        "thief.example.com",
    ];
    thief.hosts = names.map(|name| EntryHost::Exact(HostName::new(name).unwrap())).into();
    mesh.say("east", Record::ServiceEntry(Box::new(thief)));
    assert_eq!((ours("db.shop"), ours("cart.shop")), (db, cart));
    assert_eq!(ours("thief"), set(&["thief.example.com 192.0.2.66"]));
}

#[test]
fn a_host_has_an_address_that_the_viewer_can_use() {
    let mesh = Mesh::new(Some(settings()));
    let mut told = entry("told", 5432, "tcp");
    told.addresses = vec!["198.51.100.1".parse().unwrap()];
    mesh.say("east", Record::ServiceEntry(Box::new(told)));
    let listeners = |address: &str| {
        let stream = mesh.cache.attach(Viewer {
            member: Some(member("east")),
            role: Role::Sidecar,
            namespace: "shop".into(),
            addresses: vec![address.parse().unwrap()],
            ..Viewer::default()
        });
        stream.subscribe_all(LDS);
        let mut own = names(&stream, LDS);
        own.retain(|name| name.ends_with("_5432"));
        (own, listener(&stream, "dns"))
    };
    let (four, dns) = listeners("10.1.0.9");
    assert!(four.contains("198.51.100.1_5432"), "{four:?}");
    assert!(dns.contains("told.example.com") && dns.contains("198.51.100.1") && !dns.contains("2001:2::"));
    let (six, dns) = listeners("fd00::9");
    let own: Vec<_> = six.iter().filter(|name| name.starts_with("2001:2::")).collect();
    let [own] = own[..] else { panic!("{six:?}") };
    assert!(dns.contains(own.trim_end_matches("_5432")), "{own}");
}

#[test]
fn what_is_looked_up_near_comes_first_where_the_mesh_prefers_that() {
    use crate::model::{Locality, Preference, Shared};
    use crate::table::{TableSettings, Workload, WorkloadAddress};
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    let mesh = Mesh::new(Some(settings()));
    let mut named = entry("named", 443, "tls");
    let endpoint = |name: &str, region: &str| Workload {
        address: WorkloadAddress::Host(HostName::new(name).unwrap()),
        ports: Vec::new(),
        network: None,
        locality: Some(Locality::new(region, "", "")),
        weight: 1,
        labels: Vec::new(),
        account: None,
        mtls: false,
    };
    named.endpoints = vec![endpoint("a.example.org", "r1"), endpoint("b.example.org", "r2")];
    mesh.say("east", Record::ServiceEntry(Box::new(named)));
    let stream = |region: &str| {
        let stream = mesh.cache.attach(Viewer {
            member: Some(member("east")),
            role: Role::Sidecar,
            namespace: "shop".into(),
            locality: Locality::new(region, "", ""),
            ..Viewer::default()
        });
        stream.subscribe_all(CDS);
        stream
    };
    let streams = ["r1", "r2", ""].map(stream);
    let priorities = || {
        streams.each_ref().map(|stream| {
            let any = Any::decode(stream.get(CDS, "outbound|443||named.example.com").unwrap().any.clone()).unwrap();
            let cluster = Cluster::decode(&*any.value).unwrap();
            let groups = cluster.load_assignment.unwrap().endpoints;
            let of = groups
                .iter()
                .map(|group| (group.locality.as_ref().unwrap().region.clone(), group.priority));
            let of: std::collections::BTreeMap<_, _> = of.collect();
            ([of["r1"], of["r2"]], cluster.outlier_detection.is_some())
        })
    };
    let alike = ([0, 0], false);
    assert_eq!(priorities(), [alike; 3]);
    let prefer = |preference| {
        mesh.pusher.set_settings(TableSettings {
            preference,
            ..crate::table::testing::settings()
        });
        mesh.step();
    };
    prefer(Preference::by(vec![Shared::Region], [].into()));
    assert_eq!(priorities(), [([0, 1], true), ([1, 0], true), alike]);
    prefer(Preference::default());
    assert_eq!(priorities(), [alike; 3]);
}

#[test]
fn a_host_with_a_star_is_no_name_at_a_gateway() {
    use crate::table::{Workload, WorkloadAddress};
    let mesh = Mesh::new(Some(settings()));
    let gateway = mesh.proxy(Role::Gateway, "east", "istio-system");
    let (before, clusters) = (listener(&gateway, "eastwest"), names(&gateway, CDS));
    // Wherever connections were going, or to somebody else's: nothing of it is behind a gateway.
    let mut below = entry("below", 443, "tls");
    below.hosts = vec![EntryHost::Below(HostName::new("example.com").unwrap())];
    below.resolution = Resolution::None;
    mesh.say("east", Record::ServiceEntry(Box::new(below.clone())));
    assert_eq!(
        (listener(&gateway, "eastwest"), names(&gateway, CDS)),
        (before.clone(), clusters.clone())
    );
    // With endpoints inside, which a host with a name of its own shows: still nothing is called so.
    below.resolution = Resolution::Static;
    below.location = Location::Internal;
    below.endpoints = vec![Workload {
        address: WorkloadAddress::Ip("10.1.0.50".parse().unwrap()),
        ports: Vec::new(),
        labels: Vec::new(),
        network: None,
        locality: None,
        weight: 1,
        account: None,
        mtls: true,
    }];
    mesh.say("east", Record::ServiceEntry(Box::new(below.clone())));
    assert_eq!(
        (listener(&gateway, "eastwest"), names(&gateway, CDS)),
        (before, clusters)
    );
    below
        .hosts
        .push(EntryHost::Exact(HostName::new("api.example.com").unwrap()));
    mesh.say("east", Record::ServiceEntry(Box::new(below)));
    let now = listener(&gateway, "eastwest");
    assert!(now.contains("outbound_.443_._.api.example.com"), "{now}");
    assert!(!now.contains("_.*."), "{now}");
}
