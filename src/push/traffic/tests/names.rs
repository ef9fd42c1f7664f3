//! Names that the local DNS does not know, virtual addresses, and pods of headless services.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::LbConfig;
use envoy_types::pb::envoy::config::listener::v3::{Listener, listener_filter};
use envoy_types::pb::envoy::data::dns::v3::dns_table::dns_endpoint::EndpointConfig;
use envoy_types::pb::envoy::extensions::filters::udp::dns_filter::v3::DnsFilterConfig;
use envoy_types::pb::envoy::extensions::filters::udp::dns_filter::v3::dns_filter_config::server_context_config::ConfigSource;

use super::*;
use crate::table::SliceEndpoint;

fn read<M: Message + Default>(resource: &Resource) -> M {
    let any = Any::decode(resource.any.clone()).unwrap();
    M::decode(&*any.value).unwrap()
}

/// The names that a sidecar answers for, with the first address of each.
fn dns(stream: &Subscriber) -> BTreeSet<String> {
    let listener: Listener = read(&stream.get(LDS, "dns").unwrap());
    let Some(listener_filter::ConfigType::TypedConfig(any)) = &listener.listener_filters[0].config_type else {
        panic!("it has a filter")
    };
    let filter = DnsFilterConfig::decode(&*any.value).unwrap();
    let Some(ConfigSource::InlineDnsTable(table)) = filter.server_config.unwrap().config_source else {
        panic!("it has a table")
    };
    let names = table.virtual_domains.into_iter().map(|domain| {
        assert_eq!(domain.answer_ttl.unwrap().seconds, 30);
        let Some(EndpointConfig::AddressList(list)) = domain.endpoint.unwrap().endpoint_config else {
            panic!("it has addresses")
        };
        assert_eq!(
            list.address[1],
            format!("::ffff:{}", list.address[0]),
            "{}",
            domain.name
        );
        format!("{} {}", domain.name, list.address[0])
    });
    names.collect()
}

/// Those of them that have this in their name.
pub(super) fn dns_of(stream: &Subscriber, part: &str) -> BTreeSet<String> {
    let mut names = dns(stream);
    names.retain(|name| name.contains(part));
    names
}

fn everywhere(name: &str, address: &str) -> BTreeSet<String> {
    set(&[
        &format!("{name}.shop.global {address}"),
        &format!("{name}.shop.svc.clusterset.local {address}"),
    ])
}

fn unknown_at_home(name: &str, address: &str) -> BTreeSet<String> {
    let mut names = everywhere(name, address);
    names.insert(format!("{name}.shop.svc.cluster.local {address}"));
    names
}

#[test]
fn a_service_that_a_member_lacks_has_a_name_and_an_address_there() {
    let mesh = Mesh::new(Some(settings()));
    let east = mesh.proxy(Role::Sidecar, "east", "shop");
    let west = mesh.proxy(Role::Sidecar, "west", "shop");
    let ports = vec![port(5432, "tcp"), port(80, "http")];
    mesh.say("west", at("cart", "10.97.0.1", ports));
    // Nothing answers for it yet, so it has no name there; who has its address may use it.
    assert_eq!(dns_of(&east, "cart"), set(&[]));
    assert_eq!(dns_of(&west, "cart"), everywhere("cart", "10.97.0.1"));
    mesh.say("west", slice("cart-a", "cart", "tcp", vec![backend("10.2.0.7", None)]));
    let address = virtual_ip(&mesh, "cart");
    assert_eq!(dns_of(&east, "cart"), unknown_at_home("cart", &address));
    assert_eq!(dns_of(&west, "cart"), everywhere("cart", "10.97.0.1"));
    // Connections to it find their way, by bytes and by name.
    let listener = format!("{address}_5432");
    assert!(names(&east, LDS).contains(&listener) && !names(&west, LDS).contains(&listener));
    for (stream, own) in [(&east, &*address), (&west, "10.97.0.1")] {
        stream.subscribe(RDS, &["80".into()]);
        let domains = domains(&stream.get(RDS, "80").unwrap());
        assert!(domains.is_superset(&set(&[own, "cart", "cart.shop.svc.clusterset.local"])));
    }
    // Gone with the last endpoint, and the same when one is back.
    mesh.say("west", slice("cart-a", "cart", "tcp", Vec::new()));
    assert_eq!(
        (dns_of(&east, "cart"), names(&east, LDS).contains(&listener)),
        (set(&[]), false)
    );
    mesh.say("west", slice("cart-a", "cart", "tcp", vec![backend("10.2.0.8", None)]));
    assert_eq!(dns_of(&east, "cart"), unknown_at_home("cart", &address));
}

#[test]
fn names_change_only_with_names() {
    let mesh = Mesh::new(Some(settings()));
    let here = mesh.proxy(Role::Sidecar, "east", "shop");
    let other = mesh.proxy(Role::Sidecar, "east", "other");
    let table = || here.get(LDS, "dns").unwrap();
    // Of all namespaces of a member there is one.
    assert!(Arc::ptr_eq(&table(), &other.get(LDS, "dns").unwrap()));
    let first = table();
    for record in [
        slice("web-b", "web", "http", vec![backend("10.1.0.77", None)]),
        at("db", "10.96.0.5", vec![port(5432, "tcp-db"), port(5433, "tcp-more")]),
        pod("web-1", "10.1.0.1"),
        // It has no address, and nothing answers for it.
        service("idle"),
    ] {
        mesh.say("east", record);
        assert!(Arc::ptr_eq(&table(), &first));
    }
    mesh.say("east", at("db", "10.96.0.6", vec![port(5432, "tcp-db")]));
    assert!(table().version != first.version && Arc::ptr_eq(&table(), &other.get(LDS, "dns").unwrap()));
    let off = Mesh::new(Some(TrafficSettings {
        dns: false,
        ..settings()
    }));
    assert!(!names(&off.proxy(Role::Sidecar, "east", "shop"), LDS).contains("dns"));
}

#[test]
fn a_name_that_dns_does_not_have_hurts_no_other() {
    let mesh = Mesh::new(Some(settings()));
    let east = mesh.proxy(Role::Sidecar, "east", "shop");
    let before = dns(&east);
    for name in ["a b", "x..y", &"n".repeat(64)] {
        mesh.say("west", at(name, "10.97.0.1", vec![port(80, "http")]));
        mesh.say(
            "west",
            slice(&format!("{name}-a"), name, "http", vec![backend("10.2.0.7", None)]),
        );
    }
    assert_eq!(dns(&east), before);
}

/// A pod with a host name of its own.
fn hosted(address: &str, pod: &str) -> SliceEndpoint {
    SliceEndpoint {
        host: Some(pod.into()),
        ..backend(address, Some(pod))
    }
}

fn headless(name: &str) -> Record {
    let mut record = service_record(name, vec![port(80, "http"), port(6379, "redis")]);
    record.headless = true;
    Record::Service(record)
}

fn both_ports(name: &str, of: &str, endpoints: Vec<SliceEndpoint>) -> Record {
    let Record::EndpointSlice(mut slice) = slice(name, of, "http", endpoints) else {
        unreachable!()
    };
    slice.ports.push(("redis".into(), 6379));
    Record::EndpointSlice(slice)
}

/// `kv` with a pod in each member.
fn with_kv() -> Mesh {
    let mesh = Mesh::new(Some(settings()));
    for (member, pod_name, address) in [("east", "kv-0", "10.1.0.7"), ("west", "kv-1", "10.2.0.8")] {
        mesh.say(member, headless("kv"));
        mesh.say(member, pod(pod_name, address));
        mesh.say(member, both_ports("kv-a", "kv", vec![hosted(address, pod_name)]));
    }
    mesh
}

#[test]
fn pods_at_home_are_reached_by_their_addresses() {
    let mesh = with_kv();
    let east = mesh.proxy(Role::Sidecar, "east", "shop");
    let listeners = names(&east, LDS);
    assert!(listeners.contains("10.1.0.7_6379") && !listeners.contains("10.2.0.8_6379"));
    let clusters = names(&east, CDS);
    let direct = [
        "direct|80||kv.shop.svc.cluster.local",
        "direct|6379||kv.shop.svc.cluster.local",
    ];
    assert!(clusters.is_superset(&set(&direct)), "{clusters:?}");
    let cluster: Cluster = read(&east.get(CDS, direct[0]).unwrap());
    let Some(LbConfig::OriginalDstLbConfig(config)) = cluster.lb_config else {
        panic!("the pods listen on another port")
    };
    assert_eq!(config.upstream_port_override.unwrap().value, 8080);
    let cluster: Cluster = read(&east.get(CDS, direct[1]).unwrap());
    assert!(cluster.lb_config.is_none() && cluster.transport_socket.is_some());

    // Pods come and go without a word about others. Without mutual TLS they are called as they are.
    let encodes = || [CDS, RDS].map(|kind| mesh.metrics.encodes(kind));
    let before = encodes();
    let more = vec![hosted("10.1.0.7", "kv-0"), backend("10.1.0.9", None)];
    mesh.say("east", both_ports("kv-a", "kv", more));
    assert!(names(&east, LDS).contains("10.1.0.9_6379"));
    assert_eq!(encodes(), before);
    mesh.say("east", both_ports("kv-a", "kv", vec![backend("10.1.0.9", None)]));
    assert!(!names(&east, LDS).contains("10.1.0.7_6379") && names(&east, LDS).contains("10.1.0.9_6379"));
    assert!(names(&east, CDS).is_disjoint(&set(&direct)));
}

#[test]
fn pods_elsewhere_are_services_of_their_own() {
    let mesh = with_kv();
    let east = mesh.proxy(Role::Sidecar, "east", "shop");
    let gateways = ["east", "west"].map(|member| mesh.proxy(Role::Gateway, member, "istio-system"));
    let address = virtual_ip(&mesh, "kv-1.kv");
    // The own pod is known to the local DNS by its name in the domain, the other is known to nobody.
    assert_eq!(dns_of(&east, "kv-0"), everywhere("kv-0.kv", "10.1.0.7"));
    assert_eq!(dns_of(&east, "kv-1"), unknown_at_home("kv-1.kv", &address));
    let mut whole = dns_of(&east, "kv.shop");
    whole.retain(|name| name.starts_with("kv."));
    assert_eq!(whole, everywhere("kv", &virtual_ip(&mesh, "kv")));
    // Each has a way: through its gateway, which knows its own pods only.
    let cluster = |pod: &str| format!("outbound|80||{pod}.kv.shop.svc.cluster.local");
    assert!(names(&east, CDS).contains(&cluster("kv-1")) && !names(&east, CDS).contains(&cluster("kv-0")));
    assert!(names(&east, LDS).contains(&format!("{address}_6379")));
    east.subscribe(RDS, &["80".into()]);
    let hosts = domains(&east.get(RDS, "80").unwrap());
    assert!(hosts.is_superset(&set(&["kv-1.kv", "kv-0.kv", "kv-1.kv.shop.global", &address])));
    for (gateway, own, other) in [(&gateways[0], "kv-0", "kv-1"), (&gateways[1], "kv-1", "kv-0")] {
        let sni = |pod: &str| format!("outbound_.80_._.{pod}.kv.shop.svc.cluster.local");
        let clusters = names(gateway, CDS);
        assert!(
            clusters.contains(&sni(own)) && !clusters.contains(&sni(other)),
            "{clusters:?}"
        );
    }
    // Nobody else has use for them.
    let mut plain = mesh.proxy(Role::Endpoints, "east", "shop");
    assert!(!names(&plain, CDS).contains(&cluster("kv-1")));

    // It moves over to the own network, then it goes.
    mesh.say("west", both_ports("kv-a", "kv", Vec::new()));
    let moved = vec![hosted("10.1.0.7", "kv-0"), hosted("10.1.0.8", "kv-1")];
    mesh.say("east", both_ports("kv-a", "kv", moved));
    assert_eq!(dns_of(&east, "kv-1"), everywhere("kv-1.kv", "10.1.0.8"));
    assert!(!names(&east, CDS).contains(&cluster("kv-1")));
    assert!(!names(&east, LDS).contains(&format!("{address}_6379")));
    mesh.say("east", both_ports("kv-a", "kv", Vec::new()));
    assert_eq!(dns_of(&east, "kv"), set(&[]));
    plain = mesh.proxy(Role::Sidecar, "east", "shop");
    assert_eq!(
        (names(&plain, CDS), names(&plain, LDS)),
        (names(&east, CDS), names(&east, LDS))
    );
    // A view that followed has what a new one finds.
    assert_eq!(dns(&plain), dns(&east));
}

#[test]
fn a_headless_service_without_pods_at_home_has_its_virtual_address() {
    let mesh = with_kv();
    let east = mesh.proxy(Role::Sidecar, "east", "shop");
    let address = virtual_ip(&mesh, "kv");
    let whole = |stream: &Subscriber| {
        let mut names = dns_of(stream, "kv.shop");
        names.retain(|name| name.starts_with("kv."));
        names
    };
    assert_eq!(whole(&east), everywhere("kv", &address));
    mesh.say("east", both_ports("kv-a", "kv", Vec::new()));
    assert_eq!(whole(&east), unknown_at_home("kv", &address));
    assert!(names(&east, LDS).contains(&format!("{address}_6379")));
}

/// A Service with IPv4 alone, to a pod that has none.
#[test]
fn a_service_without_an_address_of_the_viewers_family_has_its_virtual_one() {
    let mesh = Mesh::new(Some(settings()));
    mesh.say("east", at("cart", "10.97.0.1", vec![port(5432, "tcp")]));
    mesh.say("east", slice("cart-a", "cart", "tcp", vec![backend("10.1.0.7", None)]));
    let service = mesh.pusher.table.service(&ServiceKey::new("shop", "cart")).unwrap();
    let six = service.virtual_ip_v6().unwrap();
    let viewer = |address: &str| Viewer {
        member: Some(member("east")),
        role: Role::Sidecar,
        namespace: "shop".into(),
        addresses: vec![address.parse().unwrap()],
        ..Viewer::default()
    };
    for (own, listener, name) in [
        ("fd00::9", format!("{six}_5432"), Some(six.to_string())),
        // Its own DNS has the name, so none is given.
        ("10.1.0.9", "10.97.0.1_5432".to_owned(), None),
    ] {
        let stream = mesh.cache.attach(viewer(own));
        stream.subscribe_all(LDS);
        let listeners = names(&stream, LDS);
        assert!(listeners.contains(&listener), "{own}: {listeners:?}");
        let listener: Listener = read(&stream.get(LDS, "dns").unwrap());
        let any = listener.listener_filters[0].config_type.clone();
        let Some(listener_filter::ConfigType::TypedConfig(any)) = any else {
            panic!("it has a filter")
        };
        let text = String::from_utf8_lossy(&any.value).into_owned();
        assert_eq!(text.contains("cart.shop.svc.cluster.local"), name.is_some(), "{own}");
        assert!(name.is_none_or(|name| text.contains(&name)), "{own}");
    }
}
