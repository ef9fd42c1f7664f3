//! Streams that end: readiness, drain, age, deadlines.

use std::sync::atomic::Ordering;

use super::*;

#[tokio::test]
async fn r11_streams_are_refused_until_the_server_is_ready() {
    let bench = Bench::start(XdsConfig::default()).await;
    bench.ready.store(false, Ordering::Relaxed);
    for dialect in BOTH {
        assert_eq!(bench.refused(dialect).await, Code::Unavailable);
    }
    bench.ready.store(true, Ordering::Relaxed);
    bench.connect(Dialect::Delta).await;
}

#[tokio::test]
async fn a_connection_whose_streams_are_refused_is_not_taken_for_one_that_opens_none() {
    let bench = Bench::start(XdsConfig::default()).await;
    bench.ready.store(false, Ordering::Relaxed);
    let address = bench.uri.trim_start_matches("http://").to_owned();
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let (send, connection) = h2::client::handshake(tcp).await.unwrap();
    tokio::spawn(connection);
    let refused = async || {
        let service = "envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
        let request = http::Request::post(format!("{}/{service}", bench.uri)).body(());
        let (answer, _) = send.clone().ready().await?.send_request(request.unwrap(), true)?;
        answer.await.map(|answer| answer.headers()["grpc-status"].clone())
    };
    assert_eq!(refused().await.unwrap(), "14");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    assert_eq!(refused().await.unwrap(), "14");
}

#[tokio::test]
async fn r95_a_drain_ends_streams_and_sends_nothing_on_the_way_out() {
    let bench = Bench::start(XdsConfig {
        drain_spread: Duration::from_millis(300),
        ..XdsConfig::default()
    })
    .await;
    bench.put("a", 1);
    let mut clients = Vec::new();
    for dialect in BOTH {
        let mut client = bench.connect(dialect).await;
        client.ask(CDS, &[]).await;
        client.take(CDS).await;
        clients.push(client);
    }
    bench.drain.cancel();
    for client in &mut clients {
        let status = client.next().await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("shutting down"), "{status}");
    }
    assert_eq!(bench.refused(Dialect::Delta).await, Code::Unavailable);
    bench
        .until("all is let go", |bench| {
            bench.ads.streams().is_empty() && bench.cache.live_views().is_empty()
        })
        .await;
}

#[tokio::test]
async fn r92_a_stream_ends_at_its_age() {
    let bench = Bench::start(XdsConfig {
        max_age: Duration::from_millis(100),
        ..XdsConfig::default()
    })
    .await;
    for dialect in BOTH {
        let mut client = bench.connect(dialect).await;
        client.ask(CDS, &[]).await;
        let status = client.end().await;
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("age"), "{status}");
    }
}

#[tokio::test]
async fn r87_a_client_that_never_acknowledges_is_ended() {
    let bench = Bench::start(XdsConfig {
        ack_deadline: Duration::from_millis(100),
        ..XdsConfig::default()
    })
    .await;
    bench.put("a", 1);
    for dialect in BOTH {
        let mut client = bench.connect(dialect).await;
        client.ask(CDS, &[]).await;
        client.next().await.unwrap();
        let status = client.end().await;
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("acknowledged"), "{status}");
    }
}

#[tokio::test]
async fn a_stream_without_a_first_request_is_ended() {
    let bench = Bench::start(XdsConfig {
        first_message_deadline: Duration::from_millis(50),
        ..XdsConfig::default()
    })
    .await;
    let mut client = bench.connect(Dialect::Delta).await;
    assert_eq!(client.end().await.code(), Code::InvalidArgument);
    assert!(bench.ads.streams().is_empty());
}

#[tokio::test]
async fn r12_a_client_that_closes_its_side_gets_ok() {
    let bench = Bench::start(XdsConfig::default()).await;
    for dialect in BOTH {
        let mut client = bench.connect(dialect).await;
        client.ask(CDS, &[]).await;
        client.take(CDS).await;
        client.half_close();
        assert_eq!(client.end().await.code(), Code::Ok);
    }
    bench
        .until("all is let go", |bench| bench.ads.streams().is_empty())
        .await;
}
