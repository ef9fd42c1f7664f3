//! Where a Service can be reached, and the Nodes that matter for that.

use std::sync::Arc;

use super::*;

#[test]
fn a_service_on_nodes_says_which_and_at_which_ports() {
    let annotation = "metadata|annotations|traffic.istio.io/nodeSelector";
    let object = with(a_service(), "spec|type", json!("NodePort"));
    let object = with(object, "spec|ports|0|nodePort", json!(30443));
    let object = with(object, annotation, json!("{\"role\": \"edge\", \"a\": \"b\"}"));
    let (record, problems) = service(&object);
    assert!(problems.is_empty(), "{problems:?}");
    let nodes = record.exposure.unwrap().nodes.unwrap();
    let label = |key: &str, value: &str| (Arc::<str>::from(key), Arc::<str>::from(value));
    assert_eq!(nodes.selector, Some(vec![label("a", "b"), label("role", "edge")]));
    assert_eq!((nodes.ports, nodes.local), (vec![(80, 30443)], false));

    let local = with(object.clone(), "spec|externalTrafficPolicy", json!("Local"));
    assert!(service(&local).0.exposure.unwrap().nodes.unwrap().local);
    let all = with(object.clone(), annotation, json!("{}"));
    let selector = |object: &Value| service(object).0.exposure.unwrap().nodes.unwrap().selector;
    assert_eq!(selector(&all), Some(Vec::new()));
    for wrong in ["", "role=edge", "[]", "{\"role\": 1}"] {
        let object = with(object.clone(), annotation, json!(wrong));
        assert_eq!(selector(&object), None, "{wrong}");
        let (_, problems) = service(&object);
        assert!(problems[0].contains("no Node is chosen"), "{wrong}: {problems:?}");
    }
    let (_, problems) = service(&with(object, "spec|ports|0|nodePort", json!(70000)));
    assert!(problems[0].contains("spec.ports[0].nodePort is 70000"), "{problems:?}");
}

#[test]
fn a_host_name_of_a_load_balancer_is_one_or_is_told() {
    let object = with(
        a_gateway(),
        "status|loadBalancer|ingress|1|hostname",
        json!("not a name"),
    );
    let (record, problems) = service(&object);
    assert!(record.exposure.unwrap().hosts.is_empty());
    assert!(problems[0].contains("ingress[1].hostname"), "{problems:?}");
}

#[test]
fn a_node_has_labels_addresses_and_is_ready_unless_it_says_otherwise() {
    let object = json!({
        "metadata": {"name": "n1", "labels": {"role": "edge", "a": "b"}},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "10.0.0.1"},
                {"type": "ExternalIP", "address": "203.0.113.2"},
                {"type": "ExternalIP", "address": "203.0.113.1"},
                {"type": "Hostname", "address": "n1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    });
    let record = node(&object);
    let shown = |addresses: &[std::net::IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&record.external), ["203.0.113.1", "203.0.113.2"]);
    assert_eq!(shown(&record.internal), ["10.0.0.1"]);
    assert_eq!((record.labels.len(), record.ready), (2, true));
    for status in ["False", "Unknown"] {
        assert!(!node(&with(object.clone(), "status|conditions|0|status", json!(status))).ready);
    }
    assert!(node(&with(object, "status|conditions", json!([]))).ready);
}
