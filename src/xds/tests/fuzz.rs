//! Nodes and cluster names that almost make sense. A parser of SNI is to join them when there is one.

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};
use prost::Message;

use super::super::node::ProxyNode;
use crate::mutate::{Draw, LONGEST, Material, seeds};
use crate::resources::ClusterName;

fn each(material: &Material, count: u64, mut target: impl FnMut(&[u8])) {
    for seed in seeds(count) {
        let input = material.input(&mut Draw::new(seed));
        let run = std::panic::AssertUnwindSafe(|| target(&input));
        if std::panic::catch_unwind(run).is_err() {
            panic!("seed {seed}: {}", String::from_utf8_lossy(&input));
        }
    }
}

fn nodes() -> Material {
    let text = |text: &str| Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    let mut examples = Vec::new();
    for id in [
        "sidecar~10.0.0.1~web.shop~shop.svc.cluster.local",
        "router~fd00::1~gw-1.2.istio-system~d",
        "plain",
        "a~b~c~d",
    ] {
        for ips in ["10.0.0.1,fd00::1", "10.0.0.1", ",,", "x"] {
            let fields = [
                ("CLUSTER_ID", "east"),
                ("NETWORK", "net-1"),
                ("INSTANCE_IPS", ips),
                ("NAMESPACE", "shop"),
            ];
            let node = core::Node {
                id: id.to_owned(),
                cluster: "web.shop".to_owned(),
                metadata: Some(Struct {
                    fields: fields.map(|(key, value)| (key.to_owned(), text(value))).into(),
                }),
                locality: Some(core::Locality {
                    region: "r".to_owned(),
                    zone: "z".to_owned(),
                    sub_zone: "s".to_owned(),
                }),
                user_agent_name: "envoy".to_owned(),
                ..core::Node::default()
            };
            examples.push(node.encode_to_vec());
        }
    }
    let words = [
        "~",
        ".",
        "10.0.0.300",
        "::",
        "\u{fc}",
        "NETWORK",
        "INSTANCE_IPS",
        ",",
        "\0",
        "sidecar~",
        "1.2.3.4,",
    ];
    let mut words: Vec<Vec<u8>> = words.map(|word| word.as_bytes().to_vec()).into();
    words.push(vec![b'x'; 2000]);
    words.push(vec![0xff; 9]);
    Material::new(examples, words)
}

#[test]
fn r5_r6_any_node_is_read_or_refused_and_little_is_kept() {
    let (mut read, mut refused) = (0, 0);
    each(&nodes(), 60_000, |bytes| {
        let Ok(node) = core::Node::decode(bytes) else {
            return;
        };
        match ProxyNode::read(Some(&node), LONGEST / 2) {
            Ok(proxy) => {
                read += 1;
                let kept = format!("{proxy:?}").len();
                assert!(kept < 10_000, "{kept} bytes are kept");
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().len() < 2_000, "{error}");
            }
        }
    });
    assert!(read > 1_000 && refused > 1_000, "{read} {refused}");
}

#[test]
fn any_text_is_a_cluster_name_that_reads_back_or_none() {
    let material = Material::new(
        [
            "outbound|80||web.shop.svc.cluster.local",
            "outbound|65535||a.b.svc.cluster.local",
            "outbound|8080|v1|web.shop.svc.cluster.local",
            "inbound|80||",
        ],
        [
            "|",
            "||",
            ".svc.",
            "cluster.local",
            "outbound",
            "0",
            "00080",
            "65536",
            ".",
            "..",
            "\u{fc}",
            "*",
            " ",
        ],
    );
    let mut names = 0;
    each(&material, 200_000, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        for domain in ["cluster.local", ""] {
            if let Some(name) = ClusterName::parse(&text, domain) {
                names += 1;
                assert_eq!(name.encode(domain), text, "a name is spelt in one way");
            }
        }
    });
    assert!(names > 1_000, "{names}");
}
