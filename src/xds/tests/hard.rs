//! Much at once, fast, and while things change.

use std::sync::atomic::AtomicBool;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r10_m23_a_change_that_meets_a_first_request_is_not_lost() {
    let bench = Arc::new(Bench::start(XdsConfig::default()).await);
    bench.put("a", 0);
    let go = Arc::new(AtomicBool::new(true));
    let changing = std::thread::spawn({
        let (bench, go) = (Arc::clone(&bench), Arc::clone(&go));
        move || {
            let mut content = 0;
            while go.load(Ordering::Relaxed) && content < 1_000_000 {
                content += 1;
                bench.change(EDS, "a", Some(assignment("a", content, 0)));
            }
            content
        }
    });
    let mut clients = Vec::new();
    for dialect in BOTH.into_iter().cycle().take(40) {
        let mut client = bench.connect(dialect).await;
        client.ask(EDS, &["a"]).await;
        let content = client.take(EDS).await.resources[0].1;
        clients.push((client, content));
    }
    go.store(false, Ordering::Relaxed);
    let last = changing.join().unwrap();
    // Nothing changes any more: each has the last content, or gets it.
    for (client, content) in &mut clients {
        while *content != Some(last) {
            *content = client.take(EDS).await.resources[0].1;
        }
    }
}

#[tokio::test]
async fn r66_m22_a_request_beyond_four_mebibytes_is_read() {
    let bench = Bench::start(XdsConfig::default()).await;
    bench.put("a", 1);
    for dialect in BOTH {
        let mut client = bench.connect(dialect).await;
        let mut names: Vec<String> = (0..50_000)
            .map(|n| format!("outbound|80||service-{n}.a-namespace-with-a-name.svc.cluster.local"))
            .collect();
        names.push("a".to_owned());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let bytes: usize = names.iter().map(|name| name.len()).sum();
        assert!(dialect == Dialect::Delta || bytes > 3 << 20);
        match dialect {
            Dialect::StateOfTheWorld => client.ask(EDS, &names).await,
            // 100 bytes for each resource held, as a reconnecting client sends them.
            Dialect::Delta => client.resume(EDS, &names, &"v".repeat(40)).await,
        }
        let mut seen = 0;
        while seen < names.len() {
            let answer = client.take(EDS).await;
            seen += answer.resources.len() + answer.removed.len();
        }
    }
}

#[tokio::test]
async fn r99_m10_m16_streams_that_come_and_go_leave_nothing() {
    let bench = Bench::start(XdsConfig::default()).await;
    bench.put("a", 1);
    let channel = bench.channel().await;
    for round in 0..1_000 {
        let dialect = BOTH[round % 2];
        let mut client = Client::open(channel.clone(), dialect).await.unwrap();
        match round % 5 {
            // Gone before a word, after a request, with an answer in flight, after an ACK, after a mistake.
            0 => {}
            1 => client.ask(EDS, &["a"]).await,
            2 => {
                client.ask(EDS, &["a"]).await;
                client.next().await.unwrap();
            }
            3 => {
                client.ask(CDS, &[]).await;
                client.take(CDS).await;
            }
            _ => client.ask_url("", &[]).await,
        }
    }
    bench
        .until("all is let go", |bench| {
            bench.ads.streams().is_empty() && bench.cache.live_views().is_empty()
        })
        .await;
    let change = assignment("a", 2, 0);
    let before = bench.world.builds.load(Ordering::Relaxed);
    bench.change(EDS, "a", Some(change));
    assert_eq!(
        bench.world.builds.load(Ordering::Relaxed),
        before,
        "nothing is built for nobody"
    );
}

#[tokio::test]
async fn m12_a_change_is_built_once_for_all_streams_and_alone() {
    let bench = Bench::start(XdsConfig::default()).await;
    for n in 0..20 {
        bench.put(&format!("c{n}"), 1);
    }
    let mut clients = Vec::new();
    for dialect in BOTH.into_iter().cycle().take(20) {
        let mut client = bench.connect(dialect).await;
        client.ask(EDS, &["c0", "c1", "c2", "c3"]).await;
        client.take(EDS).await;
        clients.push(client);
    }
    let before = bench.world.builds.load(Ordering::Relaxed);
    bench.change(EDS, "c2", Some(assignment("c2", 2, 0)));
    for client in &mut clients {
        assert_eq!(client.take(EDS).await.resources, [("c2".to_owned(), Some(2))]);
    }
    assert_eq!(bench.world.builds.load(Ordering::Relaxed), before + 1);
}

#[tokio::test]
async fn r100_m19_a_stream_that_was_slow_misses_nothing() {
    let bench = Bench::start(XdsConfig::default()).await;
    let names: Vec<String> = (0..300).map(|n| format!("c{n:03}")).collect();
    for name in &names {
        bench.put(name, 0);
    }
    for dialect in BOTH {
        let mut client = bench.connect(dialect).await;
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        client.ask(EDS, &all).await;
        let first = client.next().await.unwrap();
        assert_eq!(first.resources.len(), 300);
        // Far more changes than any queue would hold, while it says nothing.
        for content in 1..=20 {
            for name in &names {
                bench.change(EDS, name, Some(assignment(name, content, 0)));
            }
        }
        client.reply(&first, None).await;
        let second = client.take(EDS).await;
        assert!(second.resources.iter().all(|(_, content)| *content == Some(20)));
        assert_eq!(second.resources.len(), 300);
        for name in &names {
            bench.change(EDS, name, Some(assignment(name, 0, 0)));
        }
    }
}

#[tokio::test]
async fn r98_m20_a_mistake_on_one_stream_ends_that_one_only() {
    let bench = Bench::start(XdsConfig::default()).await;
    bench.put("a", 1);
    let channel = bench.channel().await;
    let mut good = Client::open(channel.clone(), Dialect::Delta).await.unwrap();
    // Nothing exists of what it asks for: no update is there to be had.
    good.ask(EDS, &["nobody"]).await;
    assert_eq!(good.take(EDS).await.removed, ["nobody"]);
    for dialect in BOTH {
        let mut bad = Client::open(channel.clone(), dialect).await.unwrap();
        bad.ask_url("", &[]).await;
        assert_eq!(bad.end().await.code(), Code::InvalidArgument);
        let mut bad = Client::open(channel.clone(), dialect).await.unwrap();
        bad.node = None;
        bad.ask(CDS, &[]).await;
        assert_eq!(bad.end().await.code(), Code::InvalidArgument);
    }
    bench.change(EDS, "nobody", Some(assignment("nobody", 3, 0)));
    assert_eq!(good.take(EDS).await.resources, [("nobody".to_owned(), Some(3))]);
}

#[tokio::test]
async fn r98_a_mistake_of_ours_ends_its_stream_and_no_other() {
    let bench = Bench::start(XdsConfig::default()).await;
    bench.put("a", 1);
    let channel = bench.channel().await;
    let mut good = Client::open(channel.clone(), Dialect::Delta).await.unwrap();
    good.ask(EDS, &["a"]).await;
    good.take(EDS).await;
    for dialect in BOTH {
        let mut bad = Client::open(channel.clone(), dialect).await.unwrap();
        bad.ask(EDS, &[PANIC]).await;
        assert_eq!(bad.end().await.code(), Code::Internal);
    }
    bench.change(EDS, "a", Some(assignment("a", 3, 0)));
    assert_eq!(good.take(EDS).await.resources, [("a".to_owned(), Some(3))]);
    bench
        .until("only it is left", |bench| bench.ads.streams().len() == 1)
        .await;
}
