//! Newcomers take turns, and nobody else waits for them.

use super::*;

const MIB: usize = 1 << 20;

/// A server whose newcomers may have one answer of a megabyte in flight, or a little more.
async fn narrow(patience: Duration) -> Bench {
    let bench = Bench::start(XdsConfig {
        max_initial_bytes_in_flight: MIB + MIB / 2,
        initial_ack_patience: patience,
        ..XdsConfig::default()
    })
    .await;
    bench.change(EDS, "a", Some(assignment("a", 0, MIB)));
    bench
}

async fn asking(bench: &Bench, id: &str, dialect: Dialect) -> Client {
    let mut client = bench.connect(dialect).await;
    client.node = Some(client::node(id, "n1"));
    client.ask(EDS, &["a"]).await;
    bench
        .until("its request came", |bench| !served(bench, id).is_empty())
        .await;
    client
}

fn served(bench: &Bench, id: &str) -> Vec<u64> {
    let streams = bench.ads.streams().get(id, Detail::Summary);
    let asked = streams.iter().filter(|stream| !stream.types.is_empty());
    asked.map(StreamInfo::pushes).collect()
}

#[tokio::test]
async fn r91_newcomers_are_answered_in_order_as_others_acknowledge() {
    let bench = narrow(PATIENCE * 10).await;
    for dialect in BOTH {
        let mut first = asking(&bench, "1", dialect).await;
        let answer = first.next().await.unwrap();
        let mut second = asking(&bench, "2", dialect).await;
        let mut third = asking(&bench, "3", dialect).await;
        let fourth = asking(&bench, "4", dialect).await;
        let mut fifth = asking(&bench, "5", dialect).await;
        let waits = |bench: &Bench, id: &str| served(bench, id) == [0];
        for id in ["2", "3", "4", "5"] {
            assert!(waits(&bench, id), "{id} is answered before 1 acknowledged");
        }
        assert_eq!(bench.metric("xds_initial_waiting"), 4.0);
        assert!(bench.metric("xds_initial_in_flight_bytes") >= MIB as f64);

        first.reply(&answer, None).await;
        let answer = second.next().await.unwrap();
        assert!(waits(&bench, "3") && waits(&bench, "4") && waits(&bench, "5"));
        // One that is up to date is told of changes at once, whoever waits.
        bench.change(EDS, "a", Some(assignment("a", 1, MIB)));
        assert_eq!(first.take(EDS).await.resources, [("a".to_owned(), Some(1))]);
        // A refusal makes room as well, a client that goes too, and one that goes while it waits is passed over.
        second.reply(&answer, Some("no")).await;
        second.take(EDS).await;
        let answer = third.next().await.unwrap();
        assert_eq!(answer.resources, [("a".to_owned(), Some(1))], "the latest");
        drop(fourth);
        bench.until("4 is gone", |bench| served(bench, "4").is_empty()).await;
        assert!(waits(&bench, "5"));
        drop(third);
        fifth.take(EDS).await;
        drop((first, second, fifth));
        bench
            .until("all are gone", |bench| bench.ads.streams().is_empty())
            .await;
        bench.change(EDS, "a", Some(assignment("a", 0, MIB)));
    }
    bench
        .until("nothing is charged", |bench| {
            bench.metric("xds_initial_in_flight_bytes") == 0.0 && bench.metric("xds_initial_waiting") == 0.0
        })
        .await;
}

#[tokio::test]
async fn r91_newcomers_who_acknowledge_nothing_keep_nobody_out() {
    let bench = narrow(Duration::from_millis(50)).await;
    let mut mute = Vec::new();
    for id in 0..5 {
        mute.push(asking(&bench, &format!("mute-{id}"), Dialect::Delta).await);
    }
    let mut client = asking(&bench, "good", Dialect::Delta).await;
    client.take(EDS).await;
    assert!(bench.metric("xds_initial_overdue_total") >= 5.0);
}

#[tokio::test]
async fn r74_a_newcomer_that_waits_for_assignments_gets_them_before_it_acknowledges_clusters() {
    let bench = narrow(PATIENCE * 10).await;
    bench.put("a", 3);
    let mut client = bench.connect(Dialect::StateOfTheWorld).await;
    client.ask(EDS, &["a"]).await;
    client.ask(CDS, &[]).await;
    let mut answers = [client.next().await.unwrap().url, client.next().await.unwrap().url];
    answers.sort();
    assert_eq!(answers, [CDS.url(), EDS.url()]);
}
