//! Clients that mean no good, or are broken: each is limited or ended, it shows in the metrics, the server's memory stays
//! bounded, and a good client beside them is served all the while.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::control_plane::ControlPlane;
use super::harness::eventually;
use super::manifests::{Members, Pod};
use super::raw::{CDS, EDS, RawConnection, RawStream, ack, first, framed};

const DEADLINE: Duration = Duration::from_secs(60);
const WEB: &str = "outbound|80||web.shop.svc.cluster.local";
/// Much more than any answer here.
const WINDOW: u32 = 1 << 20;

/// A control plane with one service, and a good client that holds its endpoints.
struct Stage {
    members: Members,
    control_plane: ControlPlane,
    good: RawStream,
    changes: u8,
}

impl Stage {
    async fn start() -> Self {
        Self::with("").await
    }

    /// With these limits.
    async fn with(limits: &str) -> Self {
        let members = Members::new();
        members.place("east", "net1");
        members.web("east", &[Pod::new("a", "10.1.0.1")]);
        let folder = members.path().display();
        let mut control_plane = ControlPlane::on_settings(&format!("membersFolder: {folder}\n{limits}"));
        control_plane.ready().await;
        let connection = RawConnection::open(control_plane.xds, WINDOW).await;
        let mut good = connection.stream().await.expect("a stream");
        let request = framed(&first("good", EDS, [WEB.to_owned()]));
        good.send(request).await.expect("it is taken");
        let mut stage = Self {
            members,
            control_plane,
            good,
            changes: 1,
        };
        stage.take().await;
        stage
    }

    async fn take(&mut self) {
        let answer = tokio::time::timeout(DEADLINE, self.good.answer()).await;
        let answer = answer.expect("an answer comes").expect("no error").expect("no end");
        self.good.send(framed(&ack(&answer))).await.expect("it is taken");
    }

    /// The good client is told of a change.
    async fn is_served(&mut self) {
        self.changes += 1;
        let address = format!("10.1.0.{}", self.changes);
        self.members.web("east", &[Pod::new("a", &address)]);
        self.take().await;
    }

    fn xds(&self) -> SocketAddr {
        self.control_plane.xds
    }

    /// Waits until a metric has at least this value.
    async fn counts(&mut self, name: &str, label: &str, at_least: f64) {
        let control_plane = &mut self.control_plane;
        let what = format!("{name} {label} to reach {at_least}");
        eventually(&what, DEADLINE, async || {
            let value = control_plane.metric_where(name, label).await;
            if value >= at_least {
                Ok(())
            } else {
                Err(value.to_string())
            }
        })
        .await
        .expect("it is counted");
    }

    /// Waits until only the good client's stream is open.
    async fn is_alone(&mut self) {
        let control_plane = &mut self.control_plane;
        eventually(
            "only the good stream to be open",
            DEADLINE,
            async || match control_plane.metric("parallax_xds_streams").await {
                1.0 => Ok(()),
                open => Err(open.to_string()),
            },
        )
        .await
        .expect("the others are gone");
    }

    /// Resident memory, in MiB.
    fn memory(&self) -> f64 {
        let path = format!("/proc/{}/status", self.control_plane.process.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.expect("Linux says so").trim().trim_end_matches(" kB");
        kib.parse::<f64>().expect("a number") / 1024.0
    }
}

const ENDS: &str = "parallax_xds_connection_ends_total";
const STREAM_ENDS: &str = "parallax_xds_stream_ends_total";

#[tokio::test]
async fn a_connection_that_never_opens_a_stream_is_ended() {
    let mut stage = Stage::start().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(stage.xds()).await.expect("it listens"));
    }
    // These finish HTTP/2's handshake and leave it at that.
    for _ in 0..20 {
        silent.push(TcpStream::connect(stage.xds()).await.expect("it listens"));
        let client = silent.last_mut().expect("one");
        client
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await
            .expect("it is taken");
    }
    let mut wrong = TcpStream::connect(stage.xds()).await.expect("it listens");
    wrong
        .write_all(b"GET / HTTP/1.1\r\nhost: parallax\r\n\r\n")
        .await
        .expect("it is taken");
    stage.counts(ENDS, "reason=\"protocol\"", 1.0).await;
    stage.is_served().await;
    stage.counts(ENDS, "reason=\"no_stream\"", 70.0).await;
    assert_eq!(stage.control_plane.metric("parallax_xds_connections").await, 1.0);
}

#[tokio::test]
async fn tls_handshakes_that_fail_or_never_end_are_counted_and_let_go() {
    let members = Members::new();
    members.place("east", "net1");
    let folder = tempfile::tempdir().expect("a folder");
    let authority = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("it can be written");
        path.display().to_string()
    };
    let certificate = file("tls.crt", &authority.cert.pem());
    let key = file("tls.key", &authority.signing_key.serialize_pem());
    let settings = format!(
        "membersFolder: {}\ntls:\n  certificate: {certificate}\n  key: {key}\n",
        members.path().display()
    );
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    let mut clients = Vec::new();
    for number in 0..40 {
        let mut client = TcpStream::connect(control_plane.xds).await.expect("it listens");
        if number % 2 == 0 {
            client.write_all(&[0; 100]).await.expect("it is taken");
        }
        clients.push(client);
    }
    for result in ["failed", "late"] {
        let label = format!("result=\"{result}\"");
        eventually(&label, DEADLINE, async || {
            match control_plane
                .metric_where("parallax_tls_handshakes_total", &label)
                .await
            {
                20.0 => Ok(()),
                count => Err(count.to_string()),
            }
        })
        .await
        .expect("they are counted");
    }
    assert_eq!(control_plane.metric("parallax_tls_handshaking").await, 0.0);
    assert_eq!(control_plane.metric("parallax_connections_accepted_total").await, 40.0);
}

#[tokio::test]
async fn a_flood_of_resets_ends_its_connection() {
    let mut stage = Stage::start().await;
    // Reset before the server could look at them, and after.
    for wait in [false, true] {
        let connection = RawConnection::open(stage.xds(), WINDOW).await;
        let mut opened = 0;
        let flood = async {
            loop {
                let mut stream = connection.stream().await?;
                if wait {
                    stream.seen().await?;
                }
                stream.requests.send_reset(h2::Reason::CANCEL);
                opened += 1;
                // Lets the connection write.
                tokio::task::yield_now().await;
                if opened == 50_000 {
                    return Ok::<_, h2::Error>(());
                }
            }
        };
        let ended = tokio::time::timeout(DEADLINE, flood).await.expect("it ends in time");
        assert!(ended.is_err(), "{opened} streams were opened and reset");
        stage.is_served().await;
    }
    stage.counts(ENDS, "reason=\"flood\"", 2.0).await;
    stage.is_alone().await;
}

#[tokio::test]
async fn nodes_of_megabytes_are_refused_and_cost_no_memory() {
    let mut stage = Stage::start().await;
    let mut huge = first("huge", EDS, [WEB.to_owned()]);
    huge.node.as_mut().expect("a node").client_features = vec!["x".repeat(1 << 10); 4 << 10];
    let huge = framed(&huge);
    let before = stage.memory();
    let mut connections = Vec::new();
    for _ in 0..20 {
        connections.push(RawConnection::open(stage.xds(), WINDOW).await);
    }
    // All of it, and half of it and then nothing.
    let mut clients = Vec::new();
    for number in 0..200 {
        let mut stream = connections[number % 20].stream().await.expect("a stream");
        let request = if number % 2 == 0 {
            huge.clone()
        } else {
            huge.slice(..huge.len() / 2)
        };
        clients.push(tokio::spawn(async move {
            // Refused while it still sends is refused too.
            stream.send(request).await.ok();
            stream.end().await
        }));
    }
    let mut highest = before;
    while clients.iter().any(|client| !client.is_finished()) {
        highest = highest.max(stage.memory());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for client in clients {
        // RESOURCE_EXHAUSTED, INVALID_ARGUMENT for those who were late, UNAVAILABLE for those who found no room.
        let status = client.await.expect("no panic");
        assert!(matches!(status, Ok(Some(8 | 3 | 14)) | Err(_)), "{status:?}");
    }
    stage.is_served().await;
    stage.is_alone().await;
    for reason in ["bad_node", "first_message_late", "too_many_requests"] {
        stage.counts(STREAM_ENDS, &format!("reason=\"{reason}\""), 1.0).await;
    }
    assert_eq!(
        stage.control_plane.metric("parallax_xds_large_requests_bytes").await,
        0.0
    );
    let grown = highest - before;
    println!("grew by {grown:.0} MiB");
    assert!(grown < 600.0, "grew by {grown:.0} MiB, while 200 sent 4 MiB each");
}

#[tokio::test]
async fn names_by_the_hundred_thousand_cost_a_bounded_sum_that_is_given_back() {
    const CLIENTS: usize = 10;
    const NAMES: usize = 100_000;
    let mut stage = Stage::start().await;
    let before = stage.memory();
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let connection = RawConnection::open(stage.xds(), WINDOW).await;
        let mut stream = connection.stream().await.expect("a stream");
        let names = (0..NAMES).map(|name| format!("outbound|{number}||absent-{name}.shop.svc.cluster.local"));
        let request = framed(&first(&format!("greedy-{number}"), EDS, names));
        stream.send(request).await.expect("it is taken");
        // None of them exists, which is said.
        let answer = stream.answer().await.expect("an answer").expect("no end");
        assert!(answer.resources.is_empty() && !answer.removed_resources.is_empty());
        clients.push(stream);
    }
    let grown = stage.memory() - before;
    let per_name = grown * 1024.0 * 1024.0 / (CLIENTS * NAMES) as f64;
    println!("{per_name:.0} bytes for each name, {grown:.0} MiB");
    assert!(per_name < 1024.0, "{per_name:.0} bytes for each name");
    let names = "parallax_xds_subscribed_names";
    assert_eq!(stage.control_plane.metric(names).await, (CLIENTS * NAMES + 1) as f64);
    stage.is_served().await;
    drop(clients);
    stage.is_alone().await;
    assert_eq!(stage.control_plane.metric(names).await, 1.0);
    stage.is_served().await;
}

#[tokio::test]
async fn who_asks_for_masses_of_names_keeps_nobody_out_who_asks_for_few() {
    let mut stage = Stage::with("xds:\n  maxNames: 50000\n").await;
    let ask = async |stage: &Stage, names: usize| {
        let connection = RawConnection::open(stage.xds(), WINDOW).await;
        let mut stream = connection.stream().await.expect("a stream");
        let names = (0..names).map(|name| format!("outbound|80||absent-{name}.shop.svc.cluster.local"));
        stream
            .send(framed(&first("asking", EDS, names)))
            .await
            .expect("it is taken");
        stream
    };
    let mut greedy = ask(&stage, 51_000).await;
    greedy.answer().await.expect("an answer").expect("no end");
    assert_eq!(ask(&stage, 1001).await.end().await.expect("an end"), Some(8));
    let mut modest = ask(&stage, 1000).await;
    modest.answer().await.expect("an answer").expect("no end");
    stage.is_served().await;
    stage.counts(STREAM_ENDS, "reason=\"too_many_names\"", 1.0).await;
    drop((greedy, modest));
    stage.is_alone().await;
    ask(&stage, 51_000)
        .await
        .answer()
        .await
        .expect("an answer")
        .expect("no end");
}

#[tokio::test]
async fn reconnecting_without_end_leaves_nothing_behind() {
    let mut stage = Stage::start().await;
    let request = framed(&first("restless", CDS, []));
    let mut memory = 0.0;
    for round in 0..2000 {
        let connection = RawConnection::open(stage.xds(), WINDOW).await;
        let mut stream = connection.stream().await.expect("a stream");
        stream.send(request.clone()).await.expect("it is taken");
        // Half of them are gone before their answer.
        if round % 2 == 0 {
            stream.answer().await.expect("an answer");
        }
        if round == 500 {
            memory = stage.memory();
        }
    }
    stage.is_served().await;
    stage.is_alone().await;
    let grown = stage.memory() - memory;
    println!("grew by {grown:.1} MiB");
    assert!(grown < 30.0, "1,500 connections left {grown:.0} MiB");
    stage.counts(ENDS, "", 2000.0).await;
    assert_eq!(
        stage.control_plane.metric("parallax_xds_initial_in_flight_bytes").await,
        0.0
    );
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_shown_the_door() {
    let mut stage = Stage::start().await;
    // It answers pings, so its connection looks alive, but takes not even one answer.
    let connection = RawConnection::open(stage.xds(), 10).await;
    let mut mute = connection.stream().await.expect("a stream");
    let request: Bytes = framed(&first("mute", CDS, []));
    mute.send(request).await.expect("it is taken");
    stage.counts("parallax_xds_pushes_total", "type=\"CDS\"", 1.0).await;
    stage.is_served().await;
    // The drain does not wait for it.
    stage.control_plane.process.terminate();
    let status = stage.control_plane.process.wait(Duration::from_secs(20)).await;
    let status = status.expect("it ends");
    assert!(status.success(), "{status}: {}", stage.control_plane.process.log_tail());
}
