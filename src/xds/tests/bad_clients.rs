//! Clients that break the protocol, ask too much, or do not read.

use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use http::uri::PathAndQuery;
use tonic_prost::ProstCodec;

use super::*;

/// How a stream ends whose first request has this node.
async fn end_with_node(
    bench: &Bench,
    dialect: Dialect,
    node: Option<envoy_types::pb::envoy::config::core::v3::Node>,
) -> tonic::Status {
    let mut client = bench.connect(dialect).await;
    client.node = node;
    client.ask(CDS, &[]).await;
    client.end().await
}

#[tokio::test]
async fn r5_a_first_request_without_a_good_node_is_refused() {
    let bench = Bench::start(XdsConfig::default()).await;
    for dialect in BOTH {
        let status = end_with_node(&bench, dialect, None).await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("must carry a node"), "{status}");

        let huge = client::node(&"x".repeat(1 << 20), "n1");
        let status = end_with_node(&bench, dialect, Some(huge)).await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("1048576 bytes"), "{status}");
        assert!(status.message().len() < 500);

        let mut fat = client::node("a", "n1");
        fat.client_features = vec!["x".repeat(1 << 10); 300];
        let status = end_with_node(&bench, dialect, Some(fat)).await;
        assert_eq!(status.code(), Code::ResourceExhausted);

        let wrong = client::node("sidecar~not-an-ip~web.shop~d", "n1");
        let status = end_with_node(&bench, dialect, Some(wrong)).await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("TYPE~IP~POD.NAMESPACE~DOMAIN"));

        // Of all ClusterIPs it would get no listener, and let those connections out as they are.
        let lost = client::node("sidecar~10.0.0.1~web.shop~d", CAPTURED);
        let status = end_with_node(&bench, dialect, Some(lost)).await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("CLUSTER_ID is missing"), "{status}");

        // Nor is anything of its member's known yet: it keeps what it has, and comes again.
        let early = client::node_in("sidecar~10.0.0.1~web.shop~d", CAPTURED, NOT_KNOWN);
        let status = end_with_node(&bench, dialect, Some(early)).await;
        assert_eq!(status.code(), Code::Unavailable);
        assert!(
            status.message().contains("member not-known is not synchronized"),
            "{status}"
        );
    }
    bench
        .until("nothing is left", |bench| bench.ads.streams().is_empty())
        .await;
}

/// It would refuse them, and call itself ready.
#[tokio::test]
async fn an_envoy_that_does_not_know_what_its_listeners_are_made_of_is_refused() {
    let bench = Bench::start(XdsConfig::default()).await;
    let node = |network: &str, id: &str, version: &str| {
        let mut node = client::node_in(id, network, "east");
        node.user_agent_name = "envoy".to_owned();
        node.user_agent_version_type = Some(UserAgentVersionType::UserAgentVersion(version.to_owned()));
        node
    };
    let (sidecar, gateway) = ("sidecar~10.0.0.1~web.shop~d", "router~10.0.0.1~gw.shop~d");
    for dialect in BOTH {
        for id in [sidecar, gateway] {
            let status = end_with_node(&bench, dialect, Some(node(CAPTURED, id, "1.28.7"))).await;
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(
                status.message().contains("this is Envoy 1.28, and 1.29 is the oldest"),
                "{status}"
            );
        }
        // The oldest is served, and so is an older one where there are no listeners for it.
        for (network, version) in [(CAPTURED, "1.29.0"), ("n1", "1.20.0")] {
            let mut client = bench.connect(dialect).await;
            client.node = Some(node(network, sidecar, version));
            client.ask(CDS, &[]).await;
            client.take(CDS).await;
        }
    }
}

#[tokio::test]
async fn r2_a_request_without_type_ends_the_stream() {
    let bench = Bench::start(XdsConfig::default()).await;
    for dialect in BOTH {
        let mut client = bench.connect(dialect).await;
        client.ask_url("", &[]).await;
        let status = client.end().await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("type_url is empty"));
    }
}

#[tokio::test]
async fn requests_and_names_are_bounded() {
    let bench = Bench::start(XdsConfig {
        max_request_bytes: 10_000,
        max_names: 10,
        ..XdsConfig::default()
    })
    .await;
    for dialect in BOTH {
        let mut client = bench.connect(dialect).await;
        client.ask(EDS, &[&"x".repeat(20_000)]).await;
        let status = client.end().await;
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("10000 bytes"), "{status}");

        let mut client = bench.connect(dialect).await;
        let names: Vec<String> = (0..11).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        client.ask(EDS, &names).await;
        assert_eq!(client.end().await.code(), Code::ResourceExhausted);
    }
}

#[tokio::test]
async fn r97_an_unknown_method_is_unimplemented() {
    let bench = Bench::start(XdsConfig::default()).await;
    let mut client = tonic::client::Grpc::new(bench.channel().await);
    client.ready().await.unwrap();
    let codec: ProstCodec<DiscoveryRequest, DiscoveryResponse> = ProstCodec::new();
    let path = PathAndQuery::from_static("/envoy.service.discovery.v3.AggregatedDiscoveryService/FetchEverything");
    let request = tonic::Request::new(DiscoveryRequest::default());
    let status = client.unary(request, path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn r94_as_many_streams_as_allowed_and_no_more() {
    let bench = Bench::start(XdsConfig {
        max_streams: 2,
        ..XdsConfig::default()
    })
    .await;
    let first = bench.connect(Dialect::Delta).await;
    let _second = bench.connect(Dialect::StateOfTheWorld).await;
    assert_eq!(bench.refused(Dialect::Delta).await, Code::ResourceExhausted);
    drop(first);
    let mut opened = None;
    while opened.is_none() {
        opened = Client::open(bench.channel().await, Dialect::Delta).await.ok();
    }
}

#[tokio::test]
async fn r88_r90_a_client_that_does_not_read_costs_little_and_holds_nobody_up() {
    const BYTES: usize = 1 << 20;
    let bench = Bench::start(XdsConfig::default()).await;
    bench.change(EDS, "a", Some(assignment("a", 0, BYTES)));
    let mut mute = bench.connect(Dialect::Delta).await;
    mute.node = Some(client::node("mute", "n1"));
    mute.ask(EDS, &["a"]).await;
    bench
        .until("it is served", |bench| {
            let streams = bench.ads.streams().get("mute", Detail::Summary);
            streams.first().is_some_and(|stream| stream.pushes() == 1)
        })
        .await;
    let mut other = bench.connect(Dialect::StateOfTheWorld).await;
    other.ask(EDS, &["a"]).await;
    other.take(EDS).await;
    for content in 1..=50 {
        bench.change(EDS, "a", Some(assignment("a", content, BYTES)));
        let latest = other.take(EDS).await;
        assert_eq!(latest.resources, [("a".to_owned(), Some(content))]);
    }
    let stream = bench.ads.streams().get("mute", Detail::Summary).remove(0);
    assert_eq!((stream.pushes(), stream.acks()), (1, 0));
    assert!(type_info(&stream, EDS).status.pending <= 1);
    // When it reads again it gets what it was sent, and then the latest; nothing in between was kept.
    let contents = [mute.take(EDS).await.resources[0].1, mute.take(EDS).await.resources[0].1];
    assert_eq!(contents, [Some(0), Some(50)]);
}

#[tokio::test]
async fn r89_a_flood_of_requests_does_not_keep_answers_back() {
    let bench = Bench::start(XdsConfig::default()).await;
    bench.put("a", 1);
    let mut client = bench.connect(Dialect::StateOfTheWorld).await;
    client.ask(CDS, &[]).await;
    for _ in 0..500 {
        client.ask(EDS, &["a"]).await;
    }
    client.take(CDS).await;
    client.take(EDS).await;
}

#[tokio::test]
async fn r87_a_client_that_neither_reads_nor_acknowledges_is_slow_then_ended_then_hung_up_on() {
    let bench = Bench::start(XdsConfig {
        slow_after: Duration::from_millis(20),
        ack_deadline: Duration::from_millis(400),
        farewell: Duration::from_millis(50),
        ..XdsConfig::default()
    })
    .await;
    bench.change(EDS, "a", Some(assignment("a", 0, 1 << 20)));
    bench.put("small", 0);
    let mut mute = bench.connect(Dialect::Delta).await;
    mute.ask(EDS, &["a"]).await;
    // The first answer fills the connection's buffer, the second is what nobody takes.
    bench
        .until("it is answered", |bench| bench.metric("xds_pushes_total") == 1.0)
        .await;
    mute.ask(CDS, &[]).await;
    bench
        .until("it is slow", |bench| bench.metric("xds_slow_streams") == 1.0)
        .await;
    bench
        .until("it is stuck", |bench| bench.metric("xds_stuck_streams_total") == 1.0)
        .await;
    assert_eq!(bench.metric("xds_stream_ends_total"), 1.0);
    assert_eq!(bench.metric("xds_slow_streams"), 0.0);

    // One that acknowledges late is slow only until then, and one that reads takes its stream's end.
    let mut late = bench.connect(Dialect::Delta).await;
    late.ask(EDS, &["small"]).await;
    let answer = late.next().await.unwrap();
    bench
        .until("it is slow", |bench| bench.metric("xds_slow_streams") == 1.0)
        .await;
    late.reply(&answer, None).await;
    bench
        .until("it is not any more", |bench| bench.metric("xds_slow_streams") == 0.0)
        .await;
    bench.put("small", 1);
    assert_eq!(late.end().await.code(), Code::Unavailable);
    assert_eq!(bench.metric("xds_stuck_streams_total"), 1.0);
}
