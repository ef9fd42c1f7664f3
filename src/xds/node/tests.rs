//! Good nodes are read, bad ones get a message that says what to change.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::r#type::v3::SemanticVersion;
use envoy_types::pb::google::protobuf::{Struct, Value};

use super::*;

fn node(id: &str, metadata: &[(&str, &str)]) -> Node {
    let value = |text: &str| Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    let fields = metadata.iter().map(|(k, v)| ((*k).to_owned(), value(v)));
    Node {
        id: id.to_owned(),
        metadata: Some(Struct {
            fields: fields.collect::<HashMap<_, _>>(),
        }),
        ..Node::default()
    }
}

fn read(node: &Node) -> Result<ProxyNode, NodeError> {
    ProxyNode::read(Some(node), 256 << 10)
}

#[test]
fn an_istio_node_is_read_whole() {
    let mut node = node(
        "sidecar~10.0.0.1~web.v2-abc.shop~shop.svc.cluster.local",
        &[
            ("CLUSTER_ID", "east"),
            ("NETWORK", "net-1"),
            ("INSTANCE_IPS", "10.0.0.1, fd00::1"),
            ("NAMESPACE", "shop"),
        ],
    );
    node.cluster = "web.shop".to_owned();
    node.locality = Some(core::Locality {
        region: "r".to_owned(),
        zone: "z".to_owned(),
        sub_zone: String::new(),
    });
    node.user_agent_name = "envoy".to_owned();
    node.user_agent_version_type = Some(UserAgentVersionType::UserAgentBuildVersion(core::BuildVersion {
        version: Some(SemanticVersion {
            major_number: 1,
            minor_number: 36,
            patch: 2,
        }),
        metadata: None,
    }));
    let proxy = read(&node).unwrap();
    assert_eq!(proxy.kind, ProxyKind::Sidecar);
    assert_eq!(proxy.pod, ObjectName::new("shop", "web.v2-abc"));
    assert_eq!(proxy.viewer.member, Some(ClusterId::new("east").unwrap()));
    assert_eq!(proxy.viewer.network, Some(NetworkId::new("net-1").unwrap()));
    let addresses: Vec<String> = proxy.viewer.addresses.iter().map(|a| a.to_string()).collect();
    assert_eq!(addresses, ["10.0.0.1", "fd00::1"]);
    assert_eq!(proxy.locality, Locality::new("r", "z", ""));
    assert_eq!(&*proxy.agent, "envoy/1.36.2");
}

#[test]
fn a_plain_client_needs_no_more_than_an_id() {
    let proxy = read(&node("probe", &[("INSTANCE_IPS", "10.0.0.9"), ("NETWORK", "")])).unwrap();
    assert_eq!(proxy.kind, ProxyKind::Generic);
    assert_eq!(proxy.viewer.network, None);
    assert_eq!(proxy.viewer.addresses, ["10.0.0.9".parse::<IpAddr>().unwrap()]);
}

#[test]
fn r5_bad_nodes_get_a_clear_word() {
    assert_eq!(ProxyNode::read(None, 1), Err(NodeError::Missing));
    let long = "x".repeat(1 << 20);
    let tilde = format!("~{}", "x".repeat(1000));
    let big: Vec<_> = (0..3).map(|_| "y".repeat(100 << 10)).collect();
    for (id, metadata, word) in [
        ("", vec![], "node.id is empty"),
        (&*long, vec![], "1048576 bytes"),
        ("a\u{1b}[2Jb", vec![], "control characters"),
        ("sidecar~10.0.0.1~web.shop", vec![], "four parts"),
        ("a~10.0.0.1~web.shop~d", vec![], "TYPE must be sidecar"),
        ("sidecar~host~web.shop~d", vec![], "IP address"),
        (&*tilde, vec![], "TYPE~IP~POD.NAMESPACE~DOMAIN"),
        (
            "a",
            vec![("NETWORK", "a b")],
            "node.metadata.NETWORK: network name \"a b\"",
        ),
        ("a", vec![("CLUSTER_ID", "-")], "node.metadata.CLUSTER_ID"),
        ("a", vec![("INSTANCE_IPS", "10.0.0.1,x")], "\"x\" is no IP address"),
        (
            "a",
            vec![("A", &*big[0]), ("B", &*big[1]), ("C", &*big[2])],
            "at most 262144",
        ),
    ] {
        let error = read(&node(id, &metadata)).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
        assert!(error.len() < 600, "a message is no place for a megabyte");
    }
    let mut number = node("a", &[]);
    let one = Value {
        kind: Some(Kind::NumberValue(1.0)),
    };
    number.metadata.as_mut().unwrap().fields = HashMap::from([("NETWORK".to_owned(), one)]);
    let error = read(&number).unwrap_err().to_string();
    assert!(error.contains("must be a string"), "{error}");
}

#[test]
fn r6_nothing_is_kept_of_a_large_node_but_what_is_used() {
    let mut node = node(
        "sidecar~10.0.0.1~web.shop~d",
        &[("NETWORK", "net-1"), ("LABELS", &"l".repeat(30_000))],
    );
    node.extensions = (0..400)
        .map(|n| core::Extension {
            name: format!("envoy.filters.http.some_filter_with_a_long_name_{n}"),
            category: "envoy.filters.http".to_owned(),
            type_urls: vec![format!("type.googleapis.com/envoy.extensions.filters.http.F{n}")],
            ..core::Extension::default()
        })
        .collect();
    node.client_features = vec!["envoy.lb.does_not_support_overprovisioning".to_owned(); 20];
    node.cluster = "c".repeat(100_000);
    assert!(node.encoded_len() > 150_000);
    let kept = format!("{:?}", read(&node).unwrap());
    assert!(kept.len() < 1_000, "{} bytes are kept", kept.len());
}
