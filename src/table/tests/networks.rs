//! Networks by the settings: ranges, members, gateways; host names; Nodes. And all of it changed while we run.

use std::collections::BTreeMap;

use super::super::testing::*;
use super::super::*;
use crate::model::{AddressFamilies, Cidr, GatewaySet, Health, NetworkGateway, ObjectName};

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().unwrap()
}

fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

fn cidr(range: &str, on: &str, of: Option<&str>) -> CidrRule {
    let (address, prefix) = range.split_once('/').unwrap();
    CidrRule {
        cidr: Cidr::new(ip(address), prefix.parse().unwrap()).unwrap(),
        network: network(on),
        member: of.map(member),
    }
}

fn with_cidrs(rules: impl IntoIterator<Item = CidrRule>) -> TableSettings {
    TableSettings {
        cidrs: rules.into_iter().collect(),
        ..settings()
    }
}

fn given(on: &str, of: Option<&str>, place: SettingsPlace) -> SettingsGateway {
    SettingsGateway {
        network: network(on),
        member: of.map(member),
        place,
        port: 15443,
    }
}

fn with_gateways(gateways: Vec<SettingsGateway>) -> TableSettings {
    TableSettings { gateways, ..settings() }
}

/// The endpoints of `web` as `address@network`.
fn placed(table: &EndpointTable) -> Vec<String> {
    let Some(service) = table.service(&ServiceKey::new("shop", "web")) else {
        return Vec::new();
    };
    let groups = service.ports[0].groups();
    let endpoints = groups.iter().flat_map(|(key, group)| {
        group.endpoints().iter().map(move |endpoint| {
            let address = endpoint.addresses.iter().next().unwrap();
            format!("{address}@{}", key.network)
        })
    });
    endpoints.collect()
}

fn usable(table: &EndpointTable) -> Vec<String> {
    let set = table.gateways();
    let usable = set.networks().flat_map(|network| set.of(network));
    usable.map(|gateway| format!("{}:{gateway}", gateway.network)).collect()
}

fn reasons(table: &EndpointTable) -> Vec<String> {
    let set = table.gateways();
    let reasons = set.unusable().iter();
    reasons
        .map(|unusable| format!("{}: {}", unusable.source.origin, unusable.reason))
        .collect()
}

fn viewer(of: Option<&str>, address: &str) -> Viewer {
    Viewer {
        member: of.map(member),
        addresses: vec![ip(address)],
        ..Viewer::default()
    }
}

#[test]
fn the_order_in_which_an_endpoint_is_placed() {
    let table = table();
    let rules = || {
        [
            cidr("10.1.0.0/16", "ranged", None),
            cidr("10.1.2.0/24", "narrow", Some("east")),
        ]
    };
    table.set_settings(with_cidrs(rules()));
    table.apply(event("east", RegistryChange::Joined { network: None }));
    let mut labelled = pod_record("web-1", "10.1.0.1");
    labelled.network = Some(network("own"));
    let mut records = web(&["10.1.0.1", "10.1.0.2", "10.1.2.3", "10.9.0.1"]);
    records.push(Record::Pod(labelled));
    table.apply(listed("east", records));
    let at = |home: &str| {
        let mut at: Vec<String> = ["10.1.0.1@own", "10.1.0.2@ranged", "10.1.2.3@narrow"]
            .map(str::to_owned)
            .into();
        at.push(format!("10.9.0.1@{home}"));
        at.sort_by_key(|text| text.split_once('@').unwrap().1.to_owned());
        at
    };
    assert_eq!(placed(&table), at("default"));
    // Settings beside the networks, then beside the member, then the label: each counts more than the one before.
    let mut more = with_cidrs(rules());
    more.members.insert(member("east"), network("said"));
    let changes = table.set_settings(more);
    assert_eq!(super::services(&changes), ["web.shop"]);
    assert_eq!(changes.locations, Locations::Changed);
    assert_eq!(placed(&table), at("said"));
    table.apply(joined("east", "set"));
    assert_eq!(placed(&table), at("set"));
    table.apply(upsert("east", namespace("istio-system", Some("labelled"))));
    assert_eq!(placed(&table), at("labelled"));

    // A viewer is placed alike.
    let of = |viewer: &Viewer| {
        let found = table.locate(viewer);
        format!("{} by {}", found.key.network, found.origin)
    };
    assert_eq!(of(&viewer(Some("east"), "10.1.0.1")), "own by pod");
    assert_eq!(of(&viewer(Some("east"), "10.1.2.3")), "narrow by cidr");
    assert_eq!(
        of(&viewer(Some("west"), "10.1.2.3")),
        "ranged by cidr",
        "west is not known"
    );
    assert_eq!(of(&viewer(None, "10.1.2.3")), "ranged by cidr");
    assert_eq!(of(&viewer(Some("east"), "10.9.0.1")), "labelled by member");
    assert_eq!(of(&viewer(None, "10.9.0.1")), "default by default");
    // The same settings again change nothing; none bring everything home.
    assert!(table.set_settings(with_cidrs(rules())).services.is_empty());
    assert!(table.set_settings(with_cidrs(rules())).is_empty());
    table.set_settings(settings());
    assert_eq!(placed(&table)[0], "10.1.0.2@labelled");
}

#[test]
fn a_pod_of_two_families_is_placed_by_whichever_is_in_a_range() {
    let table = table();
    table.set_settings(with_cidrs([cidr("fd00::/8", "six", None)]));
    table.apply(event("east", RegistryChange::Joined { network: None }));
    let mut records = web(&["10.1.0.1"]);
    records.push(slice("web-b", "web", "http", vec![backend("fd00::1", Some("web-1"))]));
    table.apply(listed("east", records));
    assert_eq!(placed(&table), ["10.1.0.1@six"]);
}

#[test]
fn gateways_of_the_settings_are_there_whatever_members_say() {
    let table = table();
    let address = |address: &str| SettingsPlace::Address(ip(address));
    let changes = table.set_settings(with_gateways(vec![
        given("net2", None, address("203.0.113.1")),
        given("net2", Some("east"), address("203.0.113.2")),
        given("net3", None, SettingsPlace::Host(host("gw.example.com"))),
        given("net4", None, SettingsPlace::Service(ObjectName::new("mesh", "gw"))),
    ]));
    assert_eq!(changes.networks, [network("net2")].into());
    assert_eq!(
        usable(&table),
        ["net2:203.0.113.1:15443", "net2:203.0.113.2:15443 (east)"]
    );
    assert_eq!(
        reasons(&table),
        [
            "settings: gw.example.com:15443: the host name gw.example.com leads to no address: it was not looked up yet",
            "settings: service mesh/gw: the settings name it, but there is no such Service"
        ]
    );
    // A Service can't take an address that the settings give to another network, however old it is.
    table.apply(joined("east", "net9"));
    table.apply(listed("east", [gateway("gw", "net9", &["203.0.113.1"])]));
    assert!(
        reasons(&table)
            .iter()
            .any(|reason| reason.contains("already a gateway of network net2"))
    );
    let changes = table.set_settings(settings());
    assert_eq!(changes.networks, [network("net2"), network("net9")].into());
    assert_eq!(usable(&table), ["net9:203.0.113.1:15443 (east)"]);
}

#[test]
fn a_service_that_the_settings_name_is_one_of_the_members_on_that_network() {
    let unlabelled = |address: &str| {
        let Record::Service(mut service) = gateway("gw", "x", &[address]) else {
            unreachable!()
        };
        service.gateway = None;
        Record::Service(service)
    };
    let table = table();
    for (name, on, address) in [("east", "net1", "192.0.2.1"), ("west", "net2", "192.0.2.2")] {
        table.apply(joined(name, on));
        table.apply(listed(name, [unlabelled(address)]));
    }
    let service = || SettingsPlace::Service(ObjectName::new("shop", "gw"));
    table.set_settings(with_gateways(vec![given("net2", None, service())]));
    assert_eq!(usable(&table), ["net2:192.0.2.2:15443 (west)"]);
    // A member that is named has it wherever it is at home.
    table.set_settings(with_gateways(vec![given("net2", Some("east"), service())]));
    assert_eq!(usable(&table), ["net2:192.0.2.1:15443 (east)"]);
    // Its pods and its label count as for any other.
    let mut down = backend("10.1.0.8", None);
    down.health = Health::NotReady;
    table.apply(upsert("east", slice("gw-a", "gw", "tls", vec![down])));
    assert_eq!(
        reasons(&table),
        ["settings: service shop/gw: none of its pods is ready"]
    );
    table.apply(upsert("east", gateway("gw", "net1", &["192.0.2.1"])));
    assert_eq!(reasons(&table)[0], "service shop/gw: none of its pods is ready");
    table.apply(remove("east", &unlabelled("192.0.2.1")));
    assert_eq!(
        reasons(&table),
        ["settings: service shop/gw: the settings name it, but there is no such Service"]
    );
}

#[test]
fn a_host_name_is_looked_up_once_and_leads_wherever_it_is_used() {
    let table = table();
    let on_host = |name: &str, on: &str| {
        let Record::Service(mut service) = gateway(name, on, &[]) else {
            unreachable!()
        };
        service.exposure = Some(Box::new(Exposure {
            hosts: vec![host("gw.example.com")],
            ..Exposure::default()
        }));
        Record::Service(service)
    };
    for (name, on) in [("east", "net1"), ("west", "net1")] {
        table.apply(joined(name, on));
        table.apply(listed(name, [on_host("gw", on)]));
    }
    assert_eq!(*table.hosts(), [host("gw.example.com")].into());
    let before = table.hosts();
    table.apply(upsert("east", service("web")));
    assert!(Arc::ptr_eq(&before, &table.hosts()), "the same while nothing changes");

    let leads = |addresses: &[&str]| {
        let addresses = addresses.iter().map(|address| ip(address)).collect();
        BTreeMap::from([(host("gw.example.com"), Resolved::Addresses(addresses))])
    };
    let changes = table.set_hosts(leads(&["192.0.2.1", "2001:db8::1"]));
    assert_eq!(changes.networks, [network("net1")].into());
    assert_eq!(usable(&table).len(), 4, "each address for each of the members");
    assert!(table.set_hosts(leads(&["192.0.2.1", "2001:db8::1"])).is_empty());
    assert_eq!(table.set_hosts(leads(&["192.0.2.9"])).networks.len(), 1);
    assert_eq!(
        usable(&table),
        ["net1:192.0.2.9:15443 (east)", "net1:192.0.2.9:15443 (west)"]
    );
    let nothing = Resolved::Nothing("there is no such name".into());
    table.set_hosts(BTreeMap::from([(host("gw.example.com"), nothing)]));
    assert!(reasons(&table)[0].ends_with("gw.example.com leads to no address: there is no such name"));
    // While its pods are not ready it is still looked up, so that the last good answer is there when they are.
    let mut down = backend("10.1.0.8", None);
    down.health = Health::NotReady;
    table.apply(upsert("east", slice("gw-a", "gw", "tls", vec![down])));
    table.apply(remove("west", &on_host("gw", "net1")));
    assert_eq!(table.hosts().len(), 1);
    table.apply(remove("east", &on_host("gw", "net1")));
    assert!(table.hosts().is_empty());
    table.apply(remove("east", &slice("gw-a", "gw", "tls", Vec::new())));
    // What nobody wants is not kept.
    assert!(table.set_hosts(leads(&["192.0.2.1"])).is_empty());
    table.apply(upsert("east", on_host("gw", "net1")));
    assert_eq!(usable(&table), Vec::<String>::new());
}

#[test]
fn a_gateway_on_nodes_follows_the_nodes() {
    let on_nodes = |selector: Option<&[(&str, &str)]>, local| {
        let Record::Service(mut service) = gateway("gw", "net1", &[]) else {
            unreachable!()
        };
        let labels = |labels: &[(&str, &str)]| {
            labels
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()))
                .collect()
        };
        service.exposure = Some(Box::new(Exposure {
            nodes: Some(NodeExposure {
                selector: selector.map(labels),
                ports: vec![(15443, 30443)],
                local,
            }),
            ..Exposure::default()
        }));
        Record::Service(service)
    };
    let edge = |name: &str, external: &[&str], internal: &[&str]| {
        let mut node = node_record(name, "z1");
        node.labels = vec![("role".into(), "edge".into())];
        node.external = external.iter().map(|address| ip(address)).collect();
        node.internal = internal.iter().map(|address| ip(address)).collect();
        node
    };
    let table = table();
    table.apply(joined("east", "net1"));
    table.apply(listed("east", [on_nodes(None, false)]));
    assert!(reasons(&table)[0].contains("needs the annotation traffic.istio.io/nodeSelector"));
    let changes = table.apply(upsert("east", on_nodes(Some(&[("role", "edge")]), false)));
    assert!(changes.networks.is_empty());
    assert!(reasons(&table)[0].contains("no Node that its annotation"));

    let changes = table.apply(upsert(
        "east",
        Record::Node(edge("n1", &["203.0.113.1"], &["10.0.0.1"])),
    ));
    assert_eq!(changes.networks, [network("net1")].into());
    table.apply(upsert("east", Record::Node(edge("n2", &[], &["10.0.0.2", "fd00::2"]))));
    table.apply(upsert("east", Record::Node(node_record("n3", "z1"))));
    let two = [
        "net1:10.0.0.2:30443 (east)",
        "net1:203.0.113.1:30443 (east)",
        "net1:[fd00::2]:30443 (east)",
    ];
    assert_eq!(usable(&table), two);
    // An address that changes, a Node that is not ready, one that goes.
    table.apply(upsert("east", Record::Node(edge("n1", &["203.0.113.9"], &[]))));
    assert_eq!(usable(&table)[1], "net1:203.0.113.9:30443 (east)");
    let mut down = edge("n2", &[], &["10.0.0.2"]);
    down.ready = false;
    table.apply(upsert("east", Record::Node(down)));
    assert_eq!(usable(&table), ["net1:203.0.113.9:30443 (east)"]);
    table.apply(remove("east", &Record::Node(node_record("n1", "z1"))));
    assert_eq!(usable(&table), Vec::<String>::new());

    // Where only Nodes with its pods answer, only those count.
    table.apply(upsert("east", Record::Node(edge("n1", &["203.0.113.1"], &[]))));
    table.apply(upsert("east", Record::Node(edge("n2", &["203.0.113.2"], &[]))));
    table.apply(upsert("east", on_nodes(Some(&[]), true)));
    assert!(reasons(&table)[0].contains("no Node"), "{:?}", reasons(&table));
    let mut pod = backend("10.1.0.8", None);
    pod.node = Some("n2".into());
    table.apply(upsert("east", slice("gw-a", "gw", "tls", vec![pod])));
    assert_eq!(usable(&table), ["net1:203.0.113.2:30443 (east)"]);
    let way = table.gateways();
    let way = way.ways(&way.of(&network("net1"))[0]);
    assert_eq!(way[0].node.as_deref(), Some("n2"));
}

#[test]
fn a_viewer_of_one_family_gets_gateways_of_it() {
    let gateway = |address: &str| NetworkGateway {
        network: network("net1"),
        member: None,
        address: ip(address),
        port: 15443,
    };
    let set = GatewaySet::new([gateway("192.0.2.1"), gateway("2001:db8::1")], Vec::new());
    let towards = |families| set.towards(&network("net1"), &member("east"), families).len();
    assert_eq!(towards(AddressFamilies::V4), 1);
    assert_eq!(towards(AddressFamilies::V6), 1);
    assert_eq!(towards(AddressFamilies::Dual), 2);
}

proptest::proptest! {
    /// Whatever is said in whatever order, what readers see is what the last words say.
    #[test]
    fn the_order_of_words_never_matters(order in proptest::collection::vec(0usize..6, 0..20)) {
        let gateways = || vec![
            given("net1", None, SettingsPlace::Address(ip("203.0.113.1"))),
            given("net2", None, SettingsPlace::Host(host("gw.example.com"))),
            given("net3", Some("east"), SettingsPlace::Service(ObjectName::new("shop", "web"))),
        ];
        let last = || TableSettings {
            gateways: gateways(),
            ..with_cidrs([cidr("10.1.0.0/16", "ranged", None)])
        };
        let say = |table: &EndpointTable, word: usize| {
            match word {
                0 => table.set_settings(last()),
                1 => table.apply(joined("east", "net1")),
                2 => table.apply(listed("east", web(&["10.1.0.1", "10.2.0.1"]))),
                3 => table.set_hosts(BTreeMap::from([(host("gw.example.com"), Resolved::Addresses(vec![ip("192.0.2.1")]))])),
                4 => table.set_settings(settings()),
                _ => table.apply(event("east", RegistryChange::Left)),
            };
        };
        let end = |table: &EndpointTable| {
            for word in 0..4 {
                say(table, word);
            }
            (table.services(), table.gateways(), table.hosts(), table.members())
        };
        let straight = table();
        let crooked = table();
        for word in order {
            say(&crooked, word);
        }
        proptest::prop_assert_eq!(end(&straight), end(&crooked));
    }
}
