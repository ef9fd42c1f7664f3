//! What of a request message counts, and what does not.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest, ResourceLocator};
use envoy_types::pb::google::rpc::Status;

use super::super::codec::RequestMessage;
use super::super::session::{Request, Session, Verdict};
use super::*;

/// The one answer of a new session to a request.
fn answered(session: &mut Session, request: Request, lookup: &dyn crate::cache::Lookup) -> String {
    session.on_request(request).unwrap();
    session.next(lookup).expect("it is answered").nonce
}

/// One subscriber of the whole of CDS in a world with one cluster.
fn subscriber() -> Arc<crate::cache::Subscriber> {
    let world = Arc::new(World::default());
    world
        .resources
        .lock()
        .unwrap()
        .insert((CDS, "a".into()), Arc::new(cluster("a")));
    let cache = Cache::new(Arc::clone(&world) as Arc<dyn Source>);
    let subscriber = cache.attach(Viewer::default());
    subscriber.subscribe_all(CDS);
    subscriber
}

fn sotw() -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: CDS.url().to_owned(),
        ..DiscoveryRequest::default()
    }
}

#[test]
fn r15_an_ack_is_known_by_its_nonce_whatever_version_it_names() {
    let lookup = subscriber();
    for version in ["", "1", "not the one that was sent"] {
        let mut session = Session::new(Dialect::StateOfTheWorld, Role::Endpoints, 10);
        let nonce = answered(&mut session, sotw().split().1, &*lookup);
        let ack = DiscoveryRequest {
            version_info: version.to_owned(),
            response_nonce: nonce,
            ..sotw()
        };
        let effect = session.on_request(ack.split().1).unwrap();
        assert_eq!(effect.verdict, Some(Verdict::Acked(CDS)));
    }
}

#[test]
fn r16_a_refusal_is_known_by_its_error_even_when_it_is_empty() {
    let lookup = subscriber();
    let mut session = Session::new(Dialect::StateOfTheWorld, Role::Endpoints, 10);
    let nonce = answered(&mut session, sotw().split().1, &*lookup);
    let sent = session.status().next().unwrap().sent_version.unwrap();
    let nack = DiscoveryRequest {
        // The version of the very answer that it refuses.
        version_info: sent.to_string(),
        response_nonce: nonce,
        error_detail: Some(Status::default()),
        ..sotw()
    };
    let effect = session.on_request(nack.split().1).unwrap();
    assert_eq!(effect.verdict, Some(Verdict::Nacked(CDS)));
}

#[test]
fn r51_locators_with_parameters_are_passed_over() {
    let locator = || ResourceLocator {
        name: "b".to_owned(),
        dynamic_parameters: [("zone".to_owned(), "z1".to_owned())].into(),
    };
    let with = DiscoveryRequest {
        resource_names: vec!["a".to_owned()],
        resource_locators: vec![locator()],
        ..sotw()
    };
    let without = DiscoveryRequest {
        resource_locators: Vec::new(),
        ..with.clone()
    };
    assert_eq!(with.split(), without.split());
    let with = DeltaDiscoveryRequest {
        type_url: CDS.url().to_owned(),
        resource_names_subscribe: vec!["a".to_owned()],
        resource_locators_subscribe: vec![locator()],
        resource_locators_unsubscribe: vec![locator()],
        ..DeltaDiscoveryRequest::default()
    };
    let without = DeltaDiscoveryRequest {
        resource_locators_subscribe: Vec::new(),
        resource_locators_unsubscribe: Vec::new(),
        ..with.clone()
    };
    assert_eq!(with.split(), without.split());
}

#[test]
fn r7_a_client_that_can_read_more_gets_the_same() {
    let node = |features: &[&str]| Node {
        id: "a".to_owned(),
        client_features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        ..Node::default()
    };
    let limit = XdsConfig::default().max_node_bytes;
    let read = |features: &[&str]| ProxyNode::read(Some(&node(features)), limit).unwrap();
    let rich = [
        "xds.config.supports-resource-ttl",
        "xds.config.supports-resource-in-sotw",
        "envoy.lb.does_not_support_overprovisioning",
    ];
    assert_eq!(read(&rich), read(&[]), "nothing that we send depends on a feature yet");
}
