//! What a proxy says about itself: as much as an Envoy does, most of it a list of extensions.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use envoy_types::pb::envoy::config::core::v3::{Extension, Locality, Node};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use prost::Message;

use super::Group;

/// The size of an Envoy's node, in bytes.
const NODE_BYTES: usize = 58_000;

fn text(text: impl Into<String>) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.into())),
    }
}

/// The encoded node of the `index`th proxy. The extensions are the same for all, and encoded once.
pub(super) fn encode(index: usize, group: &Group, extensions: &[u8]) -> Vec<u8> {
    // Addresses that no pod has: where a proxy stands is its own word.
    let address = Ipv4Addr::from(0x0b00_0000 + u32::try_from(index).unwrap_or_default());
    let fields = HashMap::from([
        ("CLUSTER_ID".to_owned(), text(&group.member)),
        ("NETWORK".to_owned(), text(&group.network)),
        ("NAMESPACE".to_owned(), text("ns-0")),
        ("INSTANCE_IPS".to_owned(), text(address.to_string())),
        ("MESH_ID".to_owned(), text("cluster.local")),
        ("ISTIO_VERSION".to_owned(), text("1.30.0")),
    ]);
    let node = Node {
        id: format!("sidecar~{address}~proxy-{index:05}.ns-0~ns-0.svc.cluster.local"),
        cluster: "proxy.ns-0".to_owned(),
        metadata: Some(Struct { fields }),
        locality: Some(Locality {
            region: group.network.clone(),
            zone: format!("{}-0", group.network),
            ..Locality::default()
        }),
        user_agent_name: "envoy".to_owned(),
        ..Node::default()
    };
    let mut bytes = node.encode_to_vec();
    bytes.extend_from_slice(extensions);
    bytes
}

/// The extensions of a node, encoded.
pub(super) fn extensions() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(NODE_BYTES);
    for at in 0.. {
        if bytes.len() >= NODE_BYTES {
            break;
        }
        let node = Node {
            extensions: vec![Extension {
                name: format!("envoy.filters.http.extension_number_{at}"),
                category: "envoy.filters.http".to_owned(),
                type_urls: vec![format!("envoy.extensions.filters.http.extension_{at}.v3.Configuration")],
                ..Extension::default()
            }],
            ..Node::default()
        };
        node.encode(&mut bytes).expect("a vector grows");
    }
    bytes
}
