//! From events to what streams see, and what it cost: encodes are counted.

use futures::FutureExt;

use super::*;
use crate::cache::{Lookup, Subscriber};
use crate::model::{Health, Viewer};
use crate::table::testing::*;
use crate::table::{Record, RegistryChange};

const EDS: ResourceType = ResourceType::ClusterLoadAssignment;
const CDS: ResourceType = ResourceType::Cluster;
const WEB: &str = "outbound|80||web.shop.svc.cluster.local";
const CART: &str = "outbound|80||cart.shop.svc.cluster.local";

struct Mesh {
    pusher: Pusher,
    cache: Arc<Cache>,
    metrics: PushMetrics,
}

impl Mesh {
    /// `web` in east (net1) and west (net2), each with a gateway; `cart` in east only.
    fn new() -> Self {
        let table = Arc::new(table());
        let metrics = PushMetrics::default();
        let builder = Builder::new(Arc::clone(&table), "cluster.local", metrics.clone());
        let cache = Cache::new(Arc::clone(&builder) as Arc<dyn crate::cache::Source>);
        let pusher = Pusher::new(table, builder, Arc::clone(&cache), metrics.clone());
        let mesh = Self { pusher, cache, metrics };
        let mut east = web(&["10.1.0.1", "10.1.0.2"]);
        east.extend([
            service("cart"),
            slice("cart-a", "cart", "http", vec![backend("10.1.0.9", None)]),
        ]);
        east.push(gateway("gw", "net1", &["192.0.2.1"]));
        let mut west = web(&["10.2.0.1"]);
        west.push(gateway("gw", "net2", &["192.0.2.2"]));
        for (name, on, records) in [("east", "net1", east), ("west", "net2", west)] {
            mesh.pusher.apply(joined(name, on));
            mesh.pusher.apply(listed(name, records));
        }
        mesh.step();
        mesh
    }

    fn stream(&self, on: &str, names: &[&str]) -> Arc<Subscriber> {
        let viewer = Viewer {
            network: Some(network(on)),
            ..Viewer::default()
        };
        let stream = self.cache.attach(viewer);
        let names: Vec<Arc<str>> = names.iter().map(|name| (*name).into()).collect();
        stream.subscribe(EDS, &names);
        stream
    }

    /// Pushes what is waiting, as the push task does; how many resources differ.
    fn step(&self) -> usize {
        self.pusher
            .inbox
            .take()
            .now_or_never()
            .map_or(0, |(changes, _)| self.pusher.push(&changes).1)
    }

    fn say(&self, name: &str, record: Record) -> usize {
        self.pusher.apply(upsert(name, record));
        self.step()
    }
}

/// The assignment's addresses, read from its bytes as an Envoy would.
fn addresses(stream: &Subscriber, name: &str) -> Vec<String> {
    use envoy_types::pb::envoy::config::core::v3::address::Address;
    use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
    use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
    use envoy_types::pb::google::protobuf::Any;
    use prost::Message;
    let resource = stream.get(EDS, name).expect("it is served");
    let any = Any::decode(resource.any.clone()).unwrap();
    let assignment = ClusterLoadAssignment::decode(&*any.value).unwrap();
    let endpoints = assignment.endpoints.into_iter().flat_map(|group| group.lb_endpoints);
    let shown = endpoints.map(|endpoint| {
        let Some(HostIdentifier::Endpoint(host)) = endpoint.host_identifier else {
            panic!("an endpoint")
        };
        let Some(Address::SocketAddress(socket)) = host.address.and_then(|address| address.address) else {
            panic!("a socket address")
        };
        format!(
            "{}*{}",
            socket.address,
            endpoint.load_balancing_weight.map_or(1, |weight| weight.value)
        )
    });
    shown.collect()
}

fn told(stream: &Subscriber) -> bool {
    stream.changed().now_or_never().is_some()
}

#[test]
fn a_change_is_encoded_once_for_all_streams_of_a_view() {
    let mesh = Mesh::new();
    assert_eq!(mesh.metrics.encodes(EDS), 0, "nobody asked for anything");
    let home: Vec<_> = (0..20).map(|_| mesh.stream("net1", &[WEB])).collect();
    let abroad: Vec<_> = (0..20).map(|_| mesh.stream("net2", &[WEB])).collect();
    assert_eq!(mesh.metrics.encodes(EDS), 2, "one a view");
    assert_eq!(addresses(&home[0], WEB), ["10.1.0.1*1", "10.1.0.2*1", "192.0.2.2*1"]);
    assert_eq!(mesh.say("west", pod("web-2", "10.2.0.2")), 0, "no slice names it yet");
    assert_eq!(
        mesh.say(
            "west",
            slice("web-b", "web", "http", vec![backend("10.2.0.2", Some("web-2"))])
        ),
        2
    );
    assert_eq!(mesh.metrics.encodes(EDS), 4);
    assert!(home.iter().chain(&abroad).all(|stream| told(stream)));
}

#[test]
fn a_change_touches_only_what_it_names() {
    let mesh = Mesh::new();
    let (web, cart) = (mesh.stream("net1", &[WEB]), mesh.stream("net1", &[CART]));
    let before = mesh.metrics.encodes(EDS);
    // One more pod of a service that nobody asked for costs nothing.
    assert_eq!(mesh.say("east", service("other")), 0);
    assert_eq!(
        mesh.say(
            "east",
            slice("other-a", "other", "http", vec![backend("10.1.0.7", None)])
        ),
        0
    );
    assert_eq!(
        mesh.say("east", slice("cart-a", "cart", "http", vec![backend("10.1.0.8", None)])),
        1
    );
    assert_eq!(mesh.metrics.encodes(EDS), before + 1);
    assert!(told(&cart) && !told(&web));
    // The same word again is no change.
    assert_eq!(
        mesh.say("east", slice("cart-a", "cart", "http", vec![backend("10.1.0.8", None)])),
        0
    );
    assert_eq!(mesh.metrics.encodes(EDS), before + 1);
    // What does not show in any view is no change of it: here a pod that was not ready anyway.
    let mut down = backend("10.1.0.5", None);
    down.health = Health::NotReady;
    assert_eq!(mesh.say("east", slice("cart-b", "cart", "http", vec![down])), 0);
    assert_eq!(mesh.metrics.encodes(EDS), before + 1);
}

#[test]
fn a_gateway_touches_the_views_behind_whose_horizon_it_is() {
    let mesh = Mesh::new();
    let (home, abroad) = (mesh.stream("net1", &[WEB, CART]), mesh.stream("net2", &[WEB, CART]));
    let before = mesh.metrics.encodes(EDS);
    assert_eq!(mesh.say("west", gateway("gw", "net2", &["192.0.2.3"])), 1);
    assert_eq!(
        mesh.metrics.encodes(EDS),
        before + 1,
        "web as net1 sees it, and nothing else"
    );
    assert!(told(&home) && !told(&abroad));
    assert!(addresses(&home, WEB).contains(&"192.0.2.3*1".to_owned()));
    mesh.pusher.apply(remove("west", &gateway("gw", "net2", &[])));
    mesh.step();
    assert!(told(&home));
    assert_eq!(
        addresses(&home, WEB),
        ["10.1.0.1*1", "10.1.0.2*1"],
        "withheld, and never the pod's own address"
    );
}

#[test]
fn equal_content_in_two_views_is_encoded_and_kept_once() {
    let mesh = Mesh::new();
    let v4 = mesh.cache.attach(Viewer {
        network: Some(network("net1")),
        addresses: vec!["10.1.0.1".parse().unwrap()],
        ..Viewer::default()
    });
    v4.subscribe(EDS, &[WEB.into()]);
    let dual = mesh.stream("net1", &[WEB]);
    assert_eq!(mesh.cache.live_views().len(), 2);
    assert_eq!(mesh.metrics.encodes(EDS), 1);
    assert!(Arc::ptr_eq(&v4.get(EDS, WEB).unwrap(), &dual.get(EDS, WEB).unwrap()));
}

#[test]
fn clusters_come_and_go_with_ports_and_do_not_move_with_endpoints() {
    let mesh = Mesh::new();
    let stream = mesh.stream("net1", &[]);
    stream.subscribe_all(CDS);
    let clusters = || -> Vec<String> {
        stream
            .all(CDS)
            .iter()
            .map(|resource| resource.name.to_string())
            .collect()
    };
    // The gateways are services of the mesh as well.
    assert_eq!(clusters(), ["outbound|15443||gw.shop.svc.cluster.local", CART, WEB]);
    let before = mesh.metrics.encodes(CDS);
    assert_eq!(mesh.say("east", slice("cart-a", "cart", "http", vec![])), 0);
    assert_eq!(mesh.metrics.encodes(CDS), before);
    mesh.say(
        "east",
        Record::Service(service_record("cart", vec![port(80, "http"), port(81, "admin")])),
    );
    assert!(told(&stream));
    assert!(clusters().contains(&"outbound|81||cart.shop.svc.cluster.local".to_owned()));
    mesh.pusher.apply(remove("east", &service("cart")));
    mesh.step();
    assert!(told(&stream));
    assert_eq!(clusters(), ["outbound|15443||gw.shop.svc.cluster.local", WEB]);
}

#[test]
fn what_a_service_was_for_a_moment_between_two_steps_does_not_stay_in_a_view() {
    const ADMIN: &str = "outbound|81||cart.shop.svc.cluster.local";
    let mesh = Mesh::new();
    let two = service_record("cart", vec![port(80, "http"), port(81, "admin")]);
    mesh.pusher.apply(upsert("east", Record::Service(two)));
    let stream = mesh.stream("net1", &[]);
    stream.subscribe_all(CDS);
    let is_there = || stream.all(CDS).iter().any(|resource| &*resource.name == ADMIN);
    assert!(is_there());
    mesh.pusher.apply(upsert("east", service("cart")));
    mesh.step();
    assert!(told(&stream) && !is_there());
}

#[test]
fn a_member_that_leaves_takes_its_own_endpoints_and_no_others() {
    let mesh = Mesh::new();
    let stream = mesh.stream("net1", &[WEB]);
    mesh.pusher.apply(event("west", RegistryChange::Left));
    mesh.step();
    assert_eq!(addresses(&stream, WEB), ["10.1.0.1*1", "10.1.0.2*1"]);
}

#[test]
fn versions_are_equal_on_every_replica() {
    let (one, other) = (Mesh::new(), Mesh::new());
    // The other heard the same in more steps.
    other.say("east", slice("web-a", "web", "http", vec![]));
    let slice_of = |mesh: &Mesh| {
        let both = vec![backend("10.1.0.1", Some("web-1")), backend("10.1.0.2", Some("web-2"))];
        mesh.say("east", slice("web-a", "web", "http", both))
    };
    slice_of(&one);
    slice_of(&other);
    let version = |mesh: &Mesh| mesh.stream("net1", &[WEB]).get(EDS, WEB).unwrap().version;
    assert_eq!(version(&one), version(&other));
}

#[tokio::test(start_paused = true)]
async fn the_push_task_tells_whoever_watches() {
    let mesh = Arc::new(Mesh::new());
    let _stream = mesh.stream("net1", &[WEB]);
    let mut watch = mesh.pusher.watch();
    let task = tokio::spawn({
        let mesh = Arc::clone(&mesh);
        async move { mesh.pusher.run().await }
    });
    mesh.pusher.apply(upsert("east", slice("web-a", "web", "http", vec![])));
    let record = tokio::time::timeout(Duration::from_secs(5), watch.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.services, [ServiceKey::new("shop", "web")]);
    assert_eq!((record.views, record.resources_changed), (1, 1));
    task.abort();
}

#[test]
fn what_grpc_clients_ask_for_comes_and_goes_with_its_port() {
    const LDS: ResourceType = ResourceType::Listener;
    const RDS: ResourceType = ResourceType::RouteConfiguration;
    let mesh = Mesh::new();
    let stream = mesh.stream("net1", &[]);
    let spellings = ["cart.shop.svc.cluster.local:80", "cart.shop.svc:80", "cart.shop:80"];
    let names: Vec<Arc<str>> = spellings.iter().map(|name| (*name).into()).collect();
    stream.subscribe(LDS, &names);
    stream.subscribe(RDS, &[CART.into()]);
    let held = |stream: &Subscriber| {
        let listeners = spellings.iter().filter(|name| stream.get(LDS, name).is_some()).count();
        (listeners, stream.get(RDS, CART).is_some())
    };
    assert_eq!(held(&stream), (3, true));
    let listener = stream.get(LDS, "cart.shop:80").unwrap();
    assert_eq!(
        &*listener.name, "cart.shop:80",
        "a client looks for the name it asked for"
    );

    // Endpoints change nothing about it, ports do.
    mesh.say("east", slice("cart-a", "cart", "http", vec![]));
    assert!(!told(&stream));
    mesh.say("east", Record::Service(service_record("cart", vec![port(81, "http")])));
    assert!(told(&stream));
    assert_eq!(held(&stream), (0, false));
    mesh.say("east", service("cart"));
    assert_eq!(held(&stream), (3, true));

    // A sidecar that asks for all listeners gets none of these.
    let sidecar = mesh.stream("net1", &[]);
    sidecar.subscribe_all(LDS);
    assert_eq!(sidecar.all(LDS), []);
}

#[test]
fn what_is_withheld_can_be_counted() {
    let mesh = Mesh::new();
    let _home = mesh.stream("net1", &[WEB, CART]);
    let _abroad = mesh.stream("net2", &[WEB, CART]);
    mesh.pusher.apply(remove("west", &gateway("gw", "net2", &[])));
    mesh.step();
    let mut registry = prometheus_client::registry::Registry::default();
    let Pusher {
        table, builder, cache, ..
    } = &mesh.pusher;
    let collector = WithheldCollector::new(Arc::clone(table), Arc::clone(builder), Arc::clone(cache));
    registry.register_collector(Box::new(collector));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(
        text.contains(r#"withheld_endpoints{network="net1",reason="no_gateway"} 1"#),
        "{text}"
    );
    assert!(
        text.contains(r#"withheld_endpoints{network="net2",reason="plaintext"} 1"#),
        "{text}"
    );
}

#[test]
fn viewers_that_differ_in_what_does_not_count_share_one_content_and_others_have_their_own() {
    use crate::model::Locality;
    use crate::table::{Distribution, TermsRecord};
    let mesh = Mesh::new();
    let at_zone = |zone: u8| {
        let stream = mesh.cache.attach(Viewer {
            network: Some(network("net1")),
            member: Some(member("east")),
            namespace: format!("ns-{zone}").as_str().into(),
            locality: Locality::new("r", &format!("z{zone}"), ""),
            ..Viewer::default()
        });
        stream.subscribe(EDS, &[WEB.into(), CART.into()]);
        stream
    };
    let streams: Vec<_> = (0..10).map(at_zone).collect();
    assert_eq!(mesh.cache.live_views().len(), 1);
    assert_eq!(mesh.metrics.encodes(EDS), 2, "ten zones, and nobody asks for any");
    let same = |name: &str| {
        streams
            .iter()
            .all(|stream| Arc::ptr_eq(&stream.get(EDS, name).unwrap(), &streams[0].get(EDS, name).unwrap()))
    };
    assert!(same(WEB) && same(CART));

    // One of them asks: its endpoints of net1 are in z1, those of net2 too. Only z1 has a gateway beside pods.
    let mut near = service_record("web", vec![port(80, "http")]);
    near.terms = TermsRecord {
        distribution: Some(Distribution::SameZone),
        ..TermsRecord::default()
    }
    .boxed();
    mesh.say("east", Record::Service(near.clone()));
    assert!(streams.iter().all(|stream| told(stream)));
    // Everybody has its own network first, and all but those in z1 are as far from all of it.
    assert_eq!(
        mesh.metrics.encodes(EDS),
        3,
        "equal content is encoded once all the same"
    );
    assert!(same(CART));
    let before = mesh.metrics.encodes(EDS);
    mesh.say("east", Record::Node(node_record("node-2", "z2")));
    let mut record = pod_record("web-2", "10.1.0.2");
    record.node = Some("node-2".into());
    mesh.say("east", Record::Pod(record));
    assert_eq!(mesh.metrics.encodes(EDS), before + 3, "z1, z2, and all others together");
    assert_eq!(addresses(&streams[2], WEB)[0], "10.1.0.2*1");
    assert_eq!(addresses(&streams[1], WEB)[0], "10.1.0.1*1");
    assert_eq!(addresses(&streams[2], WEB).len(), 3, "all of them, some later");

    // A newcomer at a vantage that nobody had; and somebody who moves.
    for stream in &streams {
        told(stream);
    }
    let before = mesh.metrics.encodes(EDS);
    let newcomer = at_zone(11);
    assert_eq!(addresses(&newcomer, WEB), addresses(&streams[5], WEB));
    assert_eq!(mesh.metrics.encodes(EDS), before);
    // It asks for nothing again.
    near.terms = None;
    mesh.say("east", Record::Service(near));
    assert!(same(WEB) && same(CART));
}
