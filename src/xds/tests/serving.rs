//! Clients that behave.

use super::*;

fn eds(name: &str, content: u32) -> (String, Option<u32>) {
    (name.to_owned(), Some(content))
}

#[tokio::test]
async fn r1_both_dialects_are_served_and_changes_arrive() {
    let bench = Bench::start(XdsConfig {
        control_plane_id: "me".to_owned(),
        ..XdsConfig::default()
    })
    .await;
    bench.put("a", 1);
    let mut clients = Vec::new();
    for dialect in BOTH {
        let mut client = bench.connect(dialect).await;
        client.ask(CDS, &[]).await;
        let clusters = client.take(CDS).await;
        assert_eq!(clusters.resources, [("a".to_owned(), None)]);
        assert_eq!(clusters.control_plane, "me");
        client.ask(EDS, &["a"]).await;
        assert_eq!(client.take(EDS).await.resources, [eds("a", 1)]);
        clients.push(client);
    }
    for content in 2..20 {
        bench.change(EDS, "a", Some(assignment("a", content, 0)));
        for client in &mut clients {
            assert_eq!(client.take(EDS).await.resources, [eds("a", content)]);
        }
    }
    bench.put("b", 1);
    for client in &mut clients {
        let clusters = client.take(CDS).await.resources;
        assert!(clusters.contains(&("b".to_owned(), None)));
    }
    bench.change(CDS, "b", None);
    let [sotw, delta] = &mut clients[..] else {
        panic!("two clients");
    };
    assert_eq!(sotw.take(CDS).await.resources, [("a".to_owned(), None)]);
    assert_eq!(delta.take(CDS).await.removed, ["b"]);
    bench.change(EDS, "a", None);
    for client in &mut clients {
        assert_eq!(client.take(EDS).await.resources, [("a".to_owned(), None)], "empty");
    }
}

#[tokio::test]
async fn r4_the_node_is_needed_once_whatever_type_comes_first() {
    let bench = Bench::start(XdsConfig::default()).await;
    bench.put("a", 1);
    for dialect in BOTH {
        let mut client = bench.connect(dialect).await;
        client.ask(EDS, &["a"]).await;
        client.take(EDS).await;
        client.ask(CDS, &[]).await;
        client.take(CDS).await;
        // A cluster that is new to the client: its assignment follows.
        assert_eq!(client.take(EDS).await.resources, [eds("a", 1)]);
    }
}

#[tokio::test]
async fn r5_a_later_node_changes_nothing_and_is_counted() {
    let bench = Bench::start(XdsConfig::default()).await;
    bench.put("a", 1);
    let mut client = bench.connect(Dialect::Delta).await;
    client.ask(CDS, &[]).await;
    client.take(CDS).await;
    client.node = Some(client::node("other", "n2"));
    client.ask(EDS, &["a"]).await;
    client.take(EDS).await;
    let stream = bench.only(Detail::Summary);
    assert_eq!(stream.standpoint.key.network.as_str(), "n1");
    let mut registry = prometheus_client::registry::Registry::default();
    bench.metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "xds_node_changes_total 1",
        "xds_streams{dialect=\"delta\"} 1",
        "xds_pushes_total{type=\"CDS\"} 1",
        "xds_ack_seconds_count{type=\"CDS\"} 1",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn r3_an_unknown_type_does_not_end_the_stream() {
    let bench = Bench::start(XdsConfig::default()).await;
    bench.put("a", 1);
    let url = "type.googleapis.com/envoy.config.listener.v3.Listener";
    for dialect in BOTH {
        let mut client = bench.connect(dialect).await;
        client.ask_url(url, &[]).await;
        let answer = client.next().await.unwrap();
        assert_eq!((&*answer.url, answer.resources.len()), (url, 0));
        client.reply(&answer, None).await;
        client.ask(CDS, &[]).await;
        assert_eq!(client.take(CDS).await.resources.len(), 1);
    }
}

#[tokio::test]
async fn r21_r105_the_registry_shows_acks_nacks_and_what_is_in_flight() {
    let bench = Bench::start(XdsConfig::default()).await;
    bench.put("a", 1);
    for dialect in BOTH {
        let mut client = bench.connect(dialect).await;
        client.ask(EDS, &["a", "z"]).await;
        let first = client.next().await.unwrap();
        let stream = bench.only(Detail::Summary);
        assert_eq!(stream.dialect, dialect);
        assert_eq!(stream.node.pod.to_string(), "shop/web");
        assert!(stream.peer.is_some());
        let info = type_info(&stream, EDS);
        assert_eq!(info.status.subscribed, 2);
        assert_eq!(info.status.in_flight, Some(first.nonce.clone()));
        assert!(info.in_flight_for.is_some() && info.resources.is_empty());

        client.reply(&first, Some(&"no ".repeat(10_000))).await;
        bench
            .until("the NACK is shown", |bench| bench.only(Detail::Summary).nacks() == 1)
            .await;
        let id = "sidecar~10.0.0.1~web.shop~shop.svc.cluster.local";
        assert!(bench.ads.streams().get("nobody", Detail::Summary).is_empty());
        let stream = bench.ads.streams().get(id, Detail::Resources).remove(0);
        let info = type_info(&stream, EDS);
        let nack = info.status.last_nack.as_ref().unwrap();
        assert!(nack.message.starts_with("no no") && nack.message.len() < 1100);
        assert_eq!(info.resources[0].state, ResourceState::Nacked);
        assert_eq!(&*info.resources[0].name, "a");

        bench.change(EDS, "a", Some(assignment("a", 7 + stream.pushes() as u32, 0)));
        client.take(EDS).await;
        bench
            .until("the ACK is shown", |bench| bench.only(Detail::Summary).acks() == 1)
            .await;
        let stream = bench.only(Detail::Resources);
        let info = type_info(&stream, EDS);
        assert_eq!(info.resources[0].state, ResourceState::Synced);
        assert_eq!(info.status.last_nack, None);
        assert!(info.in_flight_for.is_none());
        drop(client);
        bench
            .until("the stream is gone", |bench| bench.ads.streams().is_empty())
            .await;
        bench.put("a", 1);
    }
}

#[tokio::test]
async fn large_resources_arrive_whole() {
    let bench = Bench::start(XdsConfig::default()).await;
    for n in 0..5 {
        let name = format!("c{n}");
        let large = assignment(&name, n, 900_000);
        bench.change(EDS, &name, Some(large));
    }
    for dialect in BOTH {
        let mut client = bench.connect(dialect).await;
        client.ask(EDS, &["c0", "c1", "c2", "c3", "c4"]).await;
        let mut seen = Vec::new();
        while seen.len() < 5 {
            seen.extend(client.take(EDS).await.resources);
        }
        let expected: Vec<_> = (0..5).map(|n| eds(&format!("c{n}"), n)).collect();
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn a_sidecar_is_let_in_by_where_its_stream_stands() {
    let bench = Bench::start(XdsConfig::default()).await;
    bench.put("a", 1);
    for dialect in BOTH {
        bench.world.looks.store(0, Ordering::Relaxed);
        let mut client = bench.connect(dialect).await;
        client.node = Some(client::node_in("sidecar~10.0.0.1~web.shop~d", CAPTURED, GOES));
        client.ask(CDS, &[]).await;
        client.take(CDS).await;
        // Its member went since, which leaves it as it was.
        let stream = bench.only(Detail::Summary);
        assert!(bench.world.looks.load(Ordering::Relaxed) > 1);
        assert!(stream.standpoint.inbound.is_some());
        drop(client);
        bench
            .until("the stream is gone", |bench| bench.ads.streams().is_empty())
            .await;
    }
}

#[tokio::test]
async fn two_networks_are_two_views_and_views_go_with_their_streams() {
    let bench = Bench::start(XdsConfig::default()).await;
    bench.put("a", 1);
    let mut clients = Vec::new();
    for (n, dialect) in BOTH.into_iter().cycle().take(20).enumerate() {
        let mut client = bench.connect(dialect).await;
        let id = format!("sidecar~10.0.0.{n}~web-{n}.shop~d");
        client.node = Some(client::node(&id, ["n1", "n2"][n % 2]));
        client.ask(CDS, &[]).await;
        client.take(CDS).await;
        clients.push(client);
    }
    assert_eq!(bench.cache.live_views().len(), 2);
    assert_eq!(bench.ads.streams().len(), 20);
    drop(clients);
    bench
        .until("all is let go", |bench| {
            bench.ads.streams().is_empty() && bench.cache.live_views().is_empty()
        })
        .await;
}
