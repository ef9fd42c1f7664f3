//! What each kind becomes, and what each mistake costs.

mod exposure;
mod optional;
mod terms;

use serde_json::{Value, json};

use super::*;
use crate::model::{Health, HostName, Locality, NetworkId};
use crate::table::{NodeRecord, PodRecord, ServiceRecord, SliceRecord};

/// Reads an object whole, and as it is read from an API server: both must come to the same.
fn convert(kind: Kind, object: &Value) -> Converted {
    use serde::de::DeserializeSeed;

    let text = object.to_string();
    let kept = wanted(kind).deserialize(&mut serde_json::Deserializer::from_str(&text));
    let converted = super::convert(kind, object);
    assert_eq!(super::convert(kind, &kept.unwrap()), converted, "{object}");
    converted
}

fn read(kind: Kind, object: &Value) -> (Record, Vec<String>) {
    let converted = convert(kind, object);
    let problems = told(&converted);
    let record = converted.record.unwrap_or_else(|| panic!("no record: {problems:?}"));
    assert_eq!(Some(record.name()), converted.name);
    assert_eq!(record.kind(), kind);
    (record, problems)
}

fn told(converted: &Converted) -> Vec<String> {
    converted.problems.iter().map(ToString::to_string).collect()
}

fn pod(object: &Value) -> (PodRecord, Vec<String>) {
    match read(Kind::Pod, object) {
        (Record::Pod(pod), problems) => (pod, problems),
        other => panic!("{other:?}"),
    }
}

fn service(object: &Value) -> (ServiceRecord, Vec<String>) {
    match read(Kind::Service, object) {
        (Record::Service(service), problems) => (service, problems),
        other => panic!("{other:?}"),
    }
}

fn slice(object: &Value) -> (SliceRecord, Vec<String>) {
    match read(Kind::EndpointSlice, object) {
        (Record::EndpointSlice(slice), problems) => (slice, problems),
        other => panic!("{other:?}"),
    }
}

fn node(object: &Value) -> NodeRecord {
    match read(Kind::Node, object) {
        (Record::Node(node), problems) if problems.is_empty() => node,
        other => panic!("{other:?}"),
    }
}

/// Puts `value` at `pointer`, making objects on the way.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let mut at = &mut object;
    for key in pointer.split('|') {
        at = match key.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[key],
        };
    }
    *at = value;
    object
}

fn a_pod() -> Value {
    json!({
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"security.istio.io/tlsMode": "istio"}},
        "spec": {"nodeName": "n1"},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
    })
}

fn a_service() -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"clusterIP": "10.1.0.1", "ports": [
            {"name": "http", "port": 80, "appProtocol": "http", "targetPort": "any"},
            {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "tls", "port": 443, "protocol": "TCP"}]},
    })
}

fn a_gateway() -> Value {
    let labelled = with(a_service(), "metadata|labels|topology.istio.io/network", json!("west"));
    with(
        labelled,
        "status|loadBalancer|ingress",
        json!([{"ip": "192.0.2.2"}, {"hostname": "gw.example"}, {"ip": "192.0.2.1"}]),
    )
}

fn a_slice() -> Value {
    json!({
        "metadata": {"name": "web-x", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "all"}],
        "endpoints": [
            {"addresses": ["10.0.0.1"], "nodeName": "n1", "zone": "a", "targetRef": {"kind": "Pod", "name": "web-1", "namespace": "shop"}},
            {"addresses": ["10.0.0.2"]}],
    })
}

#[test]
fn kinds_are_told_by_version_and_kind() {
    let kind = |version: &str, kind: &str| kind_of(&json!({"apiVersion": version, "kind": kind}));
    assert_eq!(kind("v1", "Pod"), Some(Kind::Pod));
    assert_eq!(kind("discovery.k8s.io/v1", "EndpointSlice"), Some(Kind::EndpointSlice));
    assert_eq!(kind("discovery.k8s.io/v1beta1", "EndpointSlice"), None);
    assert_eq!(kind("serving.knative.dev/v1", "Service"), None);
    assert_eq!(kind_of(&json!("text")), None);
}

#[test]
fn an_object_without_a_usable_name_is_reported_and_passed_over() {
    for (kind, metadata, expected) in [
        (
            Kind::Pod,
            json!({"namespace": "shop"}),
            "a Pod in namespace shop: it has no name",
        ),
        (Kind::Node, json!({"name": ""}), "a Node: it has no name"),
        (Kind::Node, json!(["n"]), "a Node: it has no name"),
        (
            Kind::Service,
            json!({"name": "a.b"}),
            "Service \"default/a.b\": its name is none",
        ),
        (
            Kind::Service,
            json!({"name": "a", "namespace": "x|y"}),
            "its name is none",
        ),
        (Kind::Pod, json!({"name": "A_b"}), "its name is none"),
    ] {
        let converted = convert(kind, &json!({"metadata": metadata}));
        assert_eq!((&converted.name, &converted.record), (&None, &None));
        assert!(told(&converted)[0].contains(expected), "{:?}", told(&converted));
    }
}

#[test]
fn a_pod_says_where_it_is_and_how_to_reach_it() {
    let (record, problems) = pod(&a_pod());
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(record.node.as_deref(), Some("n1"));
    assert!(record.mtls);
    assert_eq!((record.network, record.locality), (None, None));
    let addresses = record.addresses.unwrap();
    let addresses = addresses.iter().map(|address| address.to_string());
    assert_eq!(addresses.collect::<Vec<_>>(), ["10.0.0.1", "fd00::1"]);

    for (label, text) in [("topology.istio.io/locality", "eu.a.1"), ("istio-locality", "eu/a/1")] {
        let (record, _) = pod(&with(a_pod(), &format!("metadata|labels|{label}"), json!(text)));
        assert_eq!(record.locality, Some(Locality::new("eu", "a", "1")));
    }
}

#[test]
fn a_pod_that_is_over_is_passed_over_silently() {
    for phase in ["Succeeded", "Failed"] {
        let converted = convert(Kind::Pod, &with(a_pod(), "status|phase", json!(phase)));
        assert_eq!(converted.record, None);
        assert!(converted.problems.is_empty());
        assert!(converted.name.is_some(), "an earlier record of it must go");
    }
}

#[test]
fn a_pod_whose_network_is_not_valid_counts_as_unknown() {
    for network in [json!(""), json!("a b"), json!({"x": 1}), json!("-")] {
        let object = with(a_pod(), "metadata|labels|topology.istio.io/network", network);
        let converted = convert(Kind::Pod, &object);
        assert_eq!(converted.record, None);
        let told = told(&converted);
        assert!(
            told[0].starts_with("Pod shop/web-1: label topology.istio.io/network"),
            "{told:?}"
        );
    }
    // A manifest whose author forgot the quotes says what it says.
    let number = with(a_pod(), "metadata|labels|topology.istio.io/network", json!(7));
    assert_eq!(pod(&number).0.network, Some(NetworkId::new("7").unwrap()));
}

#[test]
fn a_namespace_or_service_with_a_wrong_network_is_kept_without_it() {
    let bad = json!({"metadata": {"name": "shop", "labels": {"topology.istio.io/network": "a/b"}}});
    let (record, problems) = read(Kind::Namespace, &bad);
    assert!(matches!(record, Record::Namespace(namespace) if namespace.network.is_none()));
    assert_eq!(problems.len(), 1, "{problems:?}");

    let (record, problems) = service(&with(
        a_gateway(),
        "metadata|labels|topology.istio.io/network",
        json!(""),
    ));
    assert_eq!((record.gateway, record.ports.len()), (None, 2));
    assert!(
        problems[0].contains("it is empty; the Service is no gateway"),
        "{problems:?}"
    );
}

#[test]
fn a_node_has_a_locality_from_present_or_legacy_labels() {
    let labels = json!({
        "topology.kubernetes.io/region": "eu", "failure-domain.beta.kubernetes.io/region": "old",
        "failure-domain.beta.kubernetes.io/zone": "a", "topology.istio.io/subzone": "1"});
    let record = node(&json!({"metadata": {"name": "n1.example", "labels": labels}}));
    assert_eq!(record.locality, Locality::new("eu", "a", "1"));
    assert!(node(&json!({"metadata": {"name": "n2"}})).locality.is_unknown());
}

#[test]
fn a_service_has_its_tcp_ports() {
    let (record, problems) = service(&a_service());
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(record.created, Some(1_767_225_600));
    assert_eq!((record.headless, record.publish_not_ready), (false, false));
    let ports = record
        .ports
        .iter()
        .map(|port| (port.number, &*port.name, &*port.app_protocol));
    assert_eq!(ports.collect::<Vec<_>>(), [(80, "http", "http"), (443, "tls", "")]);

    let ips = |record: &ServiceRecord| record.cluster_ips.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(ips(&record), ["10.1.0.1"]);
    let dual = with(a_service(), "spec|clusterIPs", json!(["10.1.0.1", "fd00::1"]));
    assert_eq!(ips(&service(&dual).0), ["10.1.0.1", "fd00::1"]);
    let (record, problems) = service(&with(dual, "spec|clusterIPs", json!(["10.1.0", ""])));
    assert_eq!((ips(&record), problems.len()), (vec!["10.1.0.1".to_owned()], 1));

    let headless = with(a_service(), "spec|clusterIP", json!("None"));
    let (record, _) = service(&with(headless, "spec|publishNotReadyAddresses", json!(true)));
    assert!(record.headless && record.publish_not_ready && record.gateway.is_none() && record.cluster_ips.is_empty());

    let alias = convert(Kind::Service, &with(a_service(), "spec|type", json!("ExternalName")));
    assert_eq!((alias.record, alias.problems.len()), (None, 0));
}

#[test]
fn a_wrong_port_costs_that_port_only() {
    for (port, expected) in [
        (json!(0), "spec.ports[0].port is 0, which is no port"),
        (json!(65_536), "spec.ports[0].port is 65536, which is no port"),
        (json!(-1), "is -1, which is no port"),
        (json!("http"), "spec.ports[0] can't be read"),
        (json!(443), "spec.ports[2].port 443 is there twice"),
    ] {
        let (record, problems) = service(&with(a_service(), "spec|ports|0|port", port));
        assert!(record.ports.iter().any(|port| port.number == 443));
        assert_eq!((record.ports.len(), problems.len()), (1, 1));
        assert!(problems[0].contains(expected), "{problems:?}");
    }
    let many: Vec<_> = (1..=300).map(|port| json!({"port": port})).collect();
    assert_eq!(
        service(&with(a_service(), "spec|ports", json!(many))).0.ports.len(),
        300
    );
    let (record, problems) = service(&with(a_service(), "spec|ports", json!({"port": 1})));
    assert!(record.ports.is_empty() && problems[0].contains("spec.ports is no list"));
}

#[test]
fn a_gateway_takes_its_addresses_and_its_port() {
    let (record, problems) = service(&with(
        a_gateway(),
        "spec|externalIPs",
        json!(["198.51.100.1", "192.0.2.1"]),
    ));
    assert!(problems.is_empty(), "{problems:?}");
    let claim = record.gateway.unwrap();
    assert_eq!((claim.network.as_str(), claim.port), ("west", 15443));
    let exposure = record.exposure.unwrap();
    let addresses = exposure.addresses.iter().map(ToString::to_string);
    assert_eq!(
        addresses.collect::<Vec<_>>(),
        ["192.0.2.1", "192.0.2.2", "198.51.100.1"]
    );
    assert_eq!(exposure.hosts, [HostName::new("gw.example").unwrap()]);
    assert_eq!(exposure.nodes, None);

    let label = "metadata|labels|networking.istio.io/gatewayPort";
    let (record, problems) = service(&with(a_gateway(), label, json!("443")));
    assert_eq!((record.gateway.unwrap().port, problems.len()), (443, 0));
    for port in ["", "0", "70000", "https"] {
        let (record, problems) = service(&with(a_gateway(), label, json!(port)));
        assert_eq!(record.gateway.unwrap().port, 15443);
        assert!(problems[0].contains("15443 is taken"), "{problems:?}");
    }
    let (record, problems) = service(&with(a_gateway(), "status|loadBalancer|ingress|0|ip", json!("192.0.2")));
    assert_eq!(record.exposure.unwrap().addresses.len(), 1);
    assert!(
        problems[0].contains("status.loadBalancer.ingress[0].ip is \"192.0.2\""),
        "{problems:?}"
    );
}

#[test]
fn a_slice_has_its_endpoints() {
    let (record, problems) = slice(&a_slice());
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(record.service.to_string(), "web.shop");
    assert_eq!(record.ports, [("http".into(), 8080)]);
    let first = &record.endpoints[0];
    assert_eq!(first.pod.as_ref().unwrap().to_string(), "shop/web-1");
    assert_eq!((first.node.as_deref(), first.zone.as_deref()), (Some("n1"), Some("a")));
    assert_eq!(
        (&record.endpoints[1].pod, record.endpoints[1].health),
        (&None, Health::Ready)
    );
}

#[test]
fn conditions_mean_what_kubernetes_says() {
    for (conditions, expected) in [
        (json!({}), Health::Ready),
        (json!({"ready": null, "terminating": true}), Health::Ready),
        (json!({"ready": true, "serving": false}), Health::Ready),
        (json!({"ready": false}), Health::NotReady),
        (json!({"ready": false, "serving": true}), Health::NotReady),
        (json!({"ready": false, "terminating": true}), Health::NotReady),
        (
            json!({"ready": false, "serving": true, "terminating": true}),
            Health::Draining,
        ),
        (
            json!({"ready": false, "serving": false, "terminating": true}),
            Health::NotReady,
        ),
    ] {
        let (record, _) = slice(&with(a_slice(), "endpoints|0|conditions", conditions.clone()));
        assert_eq!(record.endpoints[0].health, expected, "{conditions}");
    }
}

#[test]
fn a_wrong_endpoint_costs_that_endpoint_only() {
    for (addresses, expected) in [
        (json!(["10.0.0.300"]), "endpoints[0].addresses[0] is \"10.0.0.300\""),
        (json!(["10.0.0.1", "web"]), "endpoints[0].addresses[1] is \"web\""),
        (json!(["0.0.0.0"]), "no IP address of a host"),
        (json!([]), "endpoints[0] has no address"),
        (json!("10.0.0.1"), "endpoints[0] can't be read"),
    ] {
        let (record, problems) = slice(&with(a_slice(), "endpoints|0|addresses", addresses));
        assert_eq!((record.endpoints.len(), problems.len()), (1, 1));
        assert!(problems[0].contains(expected), "{problems:?}");
    }
    let (record, problems) = slice(&with(a_slice(), "ports|0|port", json!(100_000)));
    assert_eq!((record.ports.len(), record.endpoints.len(), problems.len()), (0, 2, 1));
    let many: Vec<_> = (0..500).map(|_| json!({"addresses": ["x"]})).collect();
    let (_, problems) = slice(&with(a_slice(), "endpoints", json!(many)));
    assert!(problems.last().unwrap().contains("480 more"), "{problems:?}");
}

#[test]
fn a_slice_of_no_service_is_reported_and_others_are_passed_over() {
    for (labels, told_of) in [
        (json!({}), 1),
        (json!({"kubernetes.io/service-name": ""}), 1),
        (json!({"multicluster.kubernetes.io/service-name": "web"}), 0),
    ] {
        let converted = convert(Kind::EndpointSlice, &with(a_slice(), "metadata|labels", labels));
        assert_eq!((converted.record.is_none(), converted.problems.len()), (true, told_of));
    }
    let names = convert(Kind::EndpointSlice, &with(a_slice(), "addressType", json!("FQDN")));
    assert_eq!((names.record, names.problems.len()), (None, 0));
}

#[test]
fn an_object_of_the_wrong_shape_is_reported_and_never_panics() {
    let shapes = [
        json!(null),
        json!(1),
        json!("text"),
        json!([1]),
        json!({"a": {"b": []}}),
    ];
    for kind in Kind::ALL {
        for shape in &shapes {
            convert(kind, shape);
            for field in ["metadata", "spec", "status", "ports", "endpoints", "addressType"] {
                let named = json!({"metadata": {"name": "a", "labels": {"kubernetes.io/service-name": "a"}}});
                convert(kind, &with(named, field, shape.clone()));
            }
        }
    }
    let converted = convert(Kind::Pod, &with(a_pod(), "spec", json!("text")));
    assert_eq!(converted.record, None);
    assert!(
        told(&converted)[0].contains("spec can't be read"),
        "{:?}",
        told(&converted)
    );
}
