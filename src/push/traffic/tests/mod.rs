//! From records to the listeners, routes and clusters of sidecars and gateways, and what a change of a service touches.

use std::collections::BTreeSet;
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::google::protobuf::Any;
use prost::Message;

mod hosts;
mod inbound;
mod many;

use crate::cache::{Cache, Lookup, Source, Subscriber};
use crate::model::{Role, ServiceKey, ServicePort, Viewer};
use crate::push::{Builder, PushMetrics, Pusher};
use crate::resources::{Application, CertificateSource, Outside, Resource, ResourceType, TrafficSettings};
use crate::table::testing::*;
use crate::table::{Distribution, EventSink, NamespaceRecord, Record, TermsRecord};

const CDS: ResourceType = ResourceType::Cluster;
const EDS: ResourceType = ResourceType::ClusterLoadAssignment;
const LDS: ResourceType = ResourceType::Listener;
const RDS: ResourceType = ResourceType::RouteConfiguration;
const SNI: &str = "outbound_.80_._.web.shop.svc.cluster.local";

fn settings() -> TrafficSettings {
    TrafficSettings {
        domain: "cluster.local".into(),
        trust_domains: vec!["cluster.local".into()],
        certificates: Some(CertificateSource::Ads),
        outside: Outside::Passthrough,
        application: Application::PodIp,
        requests_per_connection: 1,
        connection_age: std::time::Duration::from_secs(10),
        dns: true,
        access_log: None,
        outlier: crate::resources::Outlier {
            failure_percentage: 90,
            minimum_requests: 5,
            consecutive: 20,
            interval: std::time::Duration::from_secs(2),
            ejection: std::time::Duration::from_secs(15),
        },
    }
}

struct Mesh {
    pusher: Pusher,
    cache: Arc<Cache>,
    metrics: PushMetrics,
}

impl Mesh {
    /// `web` in east (net1) and west (net2), and at one address in both another service that speaks bytes.
    fn new(traffic: Option<TrafficSettings>) -> Self {
        let table = Arc::new(table());
        let metrics = PushMetrics::default();
        let builder = Builder::with_traffic(Arc::clone(&table), "cluster.local", traffic, metrics.clone());
        let cache = Cache::new(Arc::clone(&builder) as Arc<dyn Source>);
        let pusher = Pusher::new(table, builder, Arc::clone(&cache), metrics.clone());
        let mesh = Self { pusher, cache, metrics };
        let mut east = web(&["10.1.0.1"]);
        east.push(at("db", "10.96.0.5", vec![port(5432, "tcp-db")]));
        let mut west = web(&["10.2.0.1"]);
        west.push(at("cache", "10.96.0.5", vec![port(6379, "redis")]));
        for (name, on, records) in [("east", "net1", east), ("west", "net2", west)] {
            mesh.pusher.apply(joined(name, on));
            mesh.pusher.apply(listed(name, records));
        }
        mesh.step();
        mesh
    }

    fn step(&self) -> usize {
        use futures::FutureExt;
        let taken = self.pusher.inbox.take().now_or_never();
        taken.map_or(0, |(changes, _)| self.pusher.push(&changes).1)
    }

    fn say(&self, name: &str, record: Record) -> usize {
        self.pusher.apply(upsert(name, record));
        self.step()
    }

    fn proxy(&self, role: Role, of: &str, namespace: &str) -> Arc<Subscriber> {
        let stream = self.cache.attach(Viewer {
            member: Some(member(of)),
            role,
            namespace: namespace.into(),
            ..Viewer::default()
        });
        stream.subscribe_all(CDS);
        stream.subscribe_all(LDS);
        stream
    }
}

fn at(name: &str, ip: &str, ports: Vec<ServicePort>) -> Record {
    let mut record = service_record(name, ports);
    record.cluster_ips = vec![ip.parse().unwrap()];
    Record::Service(record)
}

fn names(stream: &Subscriber, kind: ResourceType) -> BTreeSet<String> {
    let all = stream.all(kind);
    all.iter().map(|resource| resource.name.to_string()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn domains(routes: &Resource) -> BTreeSet<String> {
    let any = Any::decode(routes.any.clone()).unwrap();
    let routes = RouteConfiguration::decode(&*any.value).unwrap();
    let all = routes.virtual_hosts.into_iter().flat_map(|host| host.domains);
    all.collect()
}

mod names;

/// Its address for all that have none of their own.
fn virtual_ip(mesh: &Mesh, service: &str) -> String {
    let service = mesh.pusher.table.service(&ServiceKey::new("shop", service)).unwrap();
    service.virtual_ip.unwrap().to_string()
}

#[test]
fn listeners_follow_ports_and_the_addresses_of_the_members() {
    let mesh = Mesh::new(Some(settings()));
    let east = mesh.proxy(Role::Sidecar, "east", "shop");
    let west = mesh.proxy(Role::Sidecar, "west", "shop");
    let always = ["0.0.0.0_80", "dns", "virtualInbound", "virtualOutbound"];
    assert_eq!(names(&east, LDS), set(&[&always[..], &["10.96.0.5_5432"]].concat()));
    assert_eq!(names(&west, LDS), set(&[&always[..], &["10.96.0.5_6379"]].concat()));

    // A port whose protocol nobody declared is reached by name and by address.
    mesh.say("east", at("any", "10.96.0.6", vec![port(81, "")]));
    assert!(names(&east, LDS).is_superset(&set(&["0.0.0.0_81", "10.96.0.6_81"])));
    assert!(!names(&west, LDS).contains("10.96.0.6_81"));
    // It turns out to be bytes; then it goes.
    mesh.say("east", at("any", "10.96.0.6", vec![port(81, "tcp")]));
    assert!(!names(&east, LDS).contains("0.0.0.0_81") && names(&east, LDS).contains("10.96.0.6_81"));
    let gone = at("any", "10.96.0.6", Vec::new());
    mesh.pusher.apply(remove("east", &gone));
    mesh.step();
    assert_eq!(names(&east, LDS), set(&[&always[..], &["10.96.0.5_5432"]].concat()));
}

#[test]
fn an_address_that_a_service_had_for_a_moment_leaves_no_listener() {
    let mesh = Mesh::new(Some(settings()));
    mesh.pusher
        .apply(upsert("east", at("db", "10.96.0.7", vec![port(5432, "tcp-db")])));
    let east = mesh.proxy(Role::Sidecar, "east", "shop");
    assert!(names(&east, LDS).contains("10.96.0.7_5432"));
    mesh.pusher
        .apply(upsert("east", at("db", "10.96.0.5", vec![port(5432, "tcp-db")])));
    mesh.step();
    let listeners = names(&east, LDS);
    assert!(!listeners.contains("10.96.0.7_5432") && listeners.contains("10.96.0.5_5432"));
}

#[test]
fn routes_have_one_name() {
    let mesh = Mesh::new(Some(settings()));
    let east = mesh.proxy(Role::Sidecar, "east", "shop");
    for wrong in ["080", "+80", "0", "80 ", "65536"] {
        east.subscribe(RDS, &[wrong.into()]);
        assert!(east.get(RDS, wrong).is_none(), "{wrong}");
    }
    east.subscribe(RDS, &["80".into()]);
    assert!(east.get(RDS, "80").is_some());
}

#[test]
fn endpoints_that_change_touch_no_listener_and_no_route() {
    let mesh = Mesh::new(Some(settings()));
    let east = mesh.proxy(Role::Sidecar, "east", "shop");
    east.subscribe(RDS, &["80".into()]);
    east.subscribe(EDS, &["outbound|80||web.shop.svc.cluster.local".into()]);
    let encodes = || [CDS, EDS, LDS, RDS].map(|kind| mesh.metrics.encodes(kind));
    let before = encodes();
    mesh.say("east", pod("web-9", "10.1.0.9"));
    let two = vec![backend("10.1.0.1", Some("web-1")), backend("10.1.0.9", Some("web-9"))];
    assert_eq!(mesh.say("east", slice("web-a", "web", "http", two)), 1);
    let after = encodes();
    assert_eq!([after[0], after[2], after[3]], [before[0], before[2], before[3]]);
    assert_eq!(after[1], before[1] + 1);

    // A new service on the same port: its cluster and these routes; the listener knows only that there are any.
    let before = encodes();
    mesh.say("east", service("new"));
    let after = encodes();
    assert_eq!(
        [after[0], after[2], after[3]],
        [before[0] + 1, before[2], before[3] + 1]
    );
}

/// A region that dies may be as many priorities as there are steps within it, and each try goes to the next.
#[test]
fn a_request_is_tried_once_for_each_step_from_near_to_far() {
    let mesh = Mesh::new(Some(settings()));
    let east = mesh.proxy(Role::Sidecar, "east", "shop");
    east.subscribe(RDS, &["80".into()]);
    let retries = || {
        let any = Any::decode(east.get(RDS, "80").unwrap().any.clone()).unwrap();
        let routes = RouteConfiguration::decode(&*any.value).unwrap();
        let text = format!("{:?}", routes.virtual_hosts[0].routes);
        [2, 3, 4].map(|count| text.contains(&format!("num_retries: Some(UInt32Value {{ value: {count} }})")))
    };
    assert_eq!(retries(), [true, false, false]);
    let encodes = || [CDS, LDS].map(|kind| mesh.metrics.encodes(kind));
    let before = encodes();
    let shop = |distribution| {
        Record::Namespace(NamespaceRecord {
            name: "shop".into(),
            network: None,
            terms: TermsRecord {
                distribution: Some(distribution),
                ..TermsRecord::default()
            }
            .boxed(),
        })
    };
    mesh.say("east", shop(Distribution::SameZone));
    assert_eq!(retries(), [false, true, false]);
    mesh.say("east", shop(Distribution::SameNode));
    assert_eq!(retries(), [false, false, true]);
    mesh.say("east", shop(Distribution::Any));
    assert_eq!(retries(), [true, false, false]);
    assert_eq!(encodes(), before, "no listener and no cluster is another one");
}

#[test]
fn routes_have_every_name_and_bare_ones_are_of_the_own_namespace() {
    let mesh = Mesh::new(Some(settings()));
    mesh.say("east", at("web", "10.96.0.7", vec![port(80, "http")]));
    let here = mesh.proxy(Role::Sidecar, "east", "shop");
    let elsewhere = mesh.proxy(Role::Sidecar, "west", "other");
    let routes = |stream: &Subscriber| {
        stream.subscribe(RDS, &["80".into()]);
        domains(&stream.get(RDS, "80").unwrap())
    };
    let everywhere = [
        "*",
        "web.shop",
        "web.shop.global",
        "web.shop.svc",
        "web.shop.svc.cluster.local",
        "web.shop.svc.clusterset.local",
    ];
    // Who has no address of its own for it uses that of the whole mesh.
    let virtual_ip = virtual_ip(&mesh, "web");
    assert_eq!(routes(&elsewhere), set(&[&everywhere[..], &[&virtual_ip]].concat()));
    assert_eq!(routes(&here), set(&[&everywhere[..], &["10.96.0.7", "web"]].concat()));
    // Clusters and endpoints don't depend on the site, only listeners and routes do.
    let keys: Vec<_> = mesh
        .cache
        .live_views()
        .iter()
        .map(|view| view.key().to_string())
        .collect();
    assert_eq!(
        keys,
        [
            "net1/any/sidecar",
            "net1/any/sidecar inbound PERMISSIVE",
            "net1/any/sidecar@east/shop",
            "net2/any/sidecar",
            "net2/any/sidecar inbound PERMISSIVE",
            "net2/any/sidecar@west/other"
        ]
    );
}

#[test]
fn a_gateway_has_clusters_of_its_own_network_only() {
    let mesh = Mesh::new(Some(settings()));
    let gateway = mesh.proxy(Role::Gateway, "east", "istio-system");
    assert_eq!(names(&gateway, LDS), set(&["eastwest"]));
    // `db` has no endpoints here.
    assert_eq!(names(&gateway, CDS), set(&["BlackHoleCluster", SNI]));
    // What is in the other network only is none of its business.
    mesh.say("west", service("cart"));
    mesh.say("west", slice("cart-a", "cart", "http", vec![backend("10.2.0.5", None)]));
    assert_eq!(names(&gateway, CDS), set(&["BlackHoleCluster", SNI]));
    // Endpoints come and go, and the cluster with them.
    mesh.say("east", service("cart"));
    mesh.say("east", slice("cart-b", "cart", "http", vec![backend("10.1.0.5", None)]));
    let cart = "outbound_.80_._.cart.shop.svc.cluster.local";
    assert_eq!(names(&gateway, CDS), set(&["BlackHoleCluster", cart, SNI]));
    mesh.say("east", slice("cart-b", "cart", "http", Vec::new()));
    assert_eq!(names(&gateway, CDS), set(&["BlackHoleCluster", SNI]));
}

#[test]
fn a_gateway_is_given_no_name_of_a_sidecar_and_the_other_way_round() {
    let mesh = Mesh::new(Some(settings()));
    let gateway = mesh.proxy(Role::Gateway, "east", "istio-system");
    let sidecar = mesh.proxy(Role::Sidecar, "east", "shop");
    let plain = "outbound|80||web.shop.svc.cluster.local";
    for kind in [CDS, EDS] {
        gateway.subscribe(kind, &[plain.into()]);
        sidecar.subscribe(kind, &[SNI.into()]);
        assert_eq!(gateway.get(kind, plain), None);
        assert_eq!(sidecar.get(kind, SNI), None);
    }
    gateway.subscribe(LDS, &["virtualInbound".into(), "web.shop:80".into()]);
    assert_eq!(gateway.get(LDS, "virtualInbound"), None);
    // No cluster of it waits for routes.
    gateway.subscribe(RDS, &["80".into()]);
    assert_eq!(gateway.get(RDS, "80"), None);
    assert_eq!(gateway.get(LDS, "web.shop:80"), None);
}

#[test]
fn without_the_setting_every_proxy_gets_clusters_only() {
    let mesh = Mesh::new(None);
    for role in [Role::Sidecar, Role::Gateway] {
        let proxy = mesh.proxy(role, "east", "shop");
        assert_eq!(names(&proxy, LDS), set(&[]));
        assert_eq!(names(&proxy, CDS).len(), 3);
        assert_eq!(proxy.standpoint().key.role, Role::Endpoints);
    }
}

#[test]
fn what_is_not_for_a_viewer_has_no_cluster_route_or_listener_there_and_no_way_through_a_gateway() {
    use crate::model::ServiceKey;
    use crate::table::{ClusterLocal, ExportTo, TableSettings, TermsRecord};
    let mesh = Mesh::new(Some(settings()));
    let [east, tools, west] = [("east", "shop"), ("east", "tools"), ("west", "shop")]
        .map(|(of, namespace)| mesh.proxy(Role::Sidecar, of, namespace));
    let gateway = mesh.proxy(Role::Gateway, "east", "istio-system");
    let (db, web) = (
        "outbound|5432||db.shop.svc.cluster.local",
        "outbound|80||web.shop.svc.cluster.local",
    );
    let has = |stream: &Subscriber| {
        stream.subscribe(RDS, &["80".into()]);
        let routed = domains(&stream.get(RDS, "80").unwrap()).contains("web.shop");
        let clusters = names(stream, CDS);
        (clusters.contains(db), clusters.contains(web), routed)
    };
    for stream in [&east, &tools, &west] {
        assert_eq!(has(stream), (true, true, true));
    }
    // `db` stays in its member; `web` of east is for its own namespace, that of west for all.
    mesh.pusher.set_settings(TableSettings {
        cluster_local: vec![ClusterLocal::Service(ServiceKey::new("shop", "db"))],
        ..crate::table::testing::settings()
    });
    let mut record = service_record("web", vec![port(80, "http")]);
    record.terms = TermsRecord {
        export: Some(ExportTo([".".into()].into())),
        ..TermsRecord::default()
    }
    .boxed();
    mesh.say("east", Record::Service(record.clone()));
    assert_eq!(has(&east), (true, true, true));
    assert_eq!(has(&west), (false, true, true));
    assert!(names(&east, LDS).contains("10.96.0.5_5432"));
    assert!(names(&gateway, CDS).contains(SNI), "others of the namespace may come");
    // West has none any more: nothing is left for other namespaces.
    mesh.pusher.apply(remove("west", &service("web")));
    mesh.step();
    assert_eq!(has(&tools), (true, false, false));
    assert_eq!(has(&east), (true, true, true));
    // To nobody: the gateway doesn't lead there either.
    record.terms = TermsRecord {
        export: Some(ExportTo(BTreeSet::new())),
        ..TermsRecord::default()
    }
    .boxed();
    mesh.say("east", Record::Service(record));
    assert_eq!(has(&east), (true, false, false));
    assert!(!names(&gateway, CDS).contains(SNI));
}

#[test]
fn whoever_comes_later_has_what_nobody_before_was_to_see() {
    use crate::table::{ExportTo, TermsRecord};
    let mesh = Mesh::new(Some(settings()));
    let mut record = service_record("own", vec![port(80, "http")]);
    record.terms = TermsRecord {
        export: Some(ExportTo([".".into()].into())),
        ..TermsRecord::default()
    }
    .boxed();
    mesh.say("east", Record::Service(record));
    let own = "outbound|80||own.shop.svc.cluster.local";
    let tools = mesh.proxy(Role::Sidecar, "east", "tools");
    assert!(!names(&tools, CDS).contains(own));
    let shop = mesh.proxy(Role::Sidecar, "east", "shop");
    assert!(names(&shop, CDS).contains(own) && !names(&tools, CDS).contains(own));
}
