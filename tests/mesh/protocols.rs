//! What a port is declared to speak, or is found to: HTTP, bytes, TLS of the application's own; on the own network and through the
//! gateway of another, each request counted.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Result, Write};
use std::net::{Ipv4Addr, SocketAddr};

use rustls::pki_types::CertificateDer;
use tonic_health::pb::HealthCheckRequest;

use super::client;
use super::grpc::{self, Asked};
use super::manifests;
use super::own_tls;
use super::space::{Space, need_namespaces};
use super::world::{GATEWAY_1, GATEWAY_2, WEB_IN_EAST, WEB_IN_WEST, World, spiffe_id, told};

/// Of the Service `kinds`, by member.
const KINDS: [(&str, Ipv4Addr); 3] = [
    ("east", Ipv4Addr::new(10, 96, 0, 70)),
    ("east2", Ipv4Addr::new(10, 96, 0, 70)),
    ("west", Ipv4Addr::new(10, 96, 0, 71)),
];
/// Where nobody is: what goes by names gets there all the same.
const NOWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

const SNIFFED: u16 = 700;
const SNIFFED_FIRST: u16 = 701;
const SAID_HTTP: u16 = 702;
const SAID_TCP: u16 = 703;
const HTTPS: u16 = 443;
const TLS: u16 = 704;
const SNIFFED_TLS: u16 = 705;
const SNIFFED_GRPC: u16 = 706;
/// Name, number and port of the pods. What two of them are called counts for nothing: they say `appProtocol`.
const PORTS: [(&str, u16, u16); 8] = [
    ("raw", SNIFFED, 8080),
    ("first", SNIFFED_FIRST, 9000),
    ("tcp-http", SAID_HTTP, 8080),
    ("http-first", SAID_TCP, 9000),
    ("https", HTTPS, own_tls::PORT),
    ("tls-own", TLS, own_tls::PORT),
    ("own", SNIFFED_TLS, own_tls::PORT),
    ("calls", SNIFFED_GRPC, grpc::PORT),
];

/// A multiple of what each pod answers of four.
const REQUESTS: usize = 24;
const ALL: [&str; 4] = ["web-1", "web-2", "web-3", "web-4"];

impl World {
    /// The pods of `web` as a Service with a port of each kind, and its applications that speak TLS, with their certificates.
    fn say_kinds(&self) -> BTreeMap<&'static str, CertificateDer<'static>> {
        let web = self.web();
        for (member, ip) in KINDS {
            let here: Vec<_> = web.iter().filter(|pod| pod.member == member).collect();
            let mut text = manifests::service("kinds", &ip.to_string(), &PORTS, &here);
            for (port, says) in [(SAID_HTTP, "http"), (SAID_TCP, "tcp")] {
                text = text.replace(
                    &format!("port: {port}}}"),
                    &format!("port: {port}, appProtocol: {says}}}"),
                );
            }
            self.say(member, "kinds.yaml", &text);
        }
        let serve = |pod: &str| own_tls::application(&self.pods[pod].space, self.pods[pod].spec.name, "0.0.0.0");
        ALL.map(|pod| (pod, serve(pod))).into()
    }

    /// Asks for each of these counted requests, and finds that all pods answered alike.
    fn all_answer_alike(&self, from: &str, what: &str, ask: impl Fn() -> Result<String> + Send + Sync) {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        self.pods[from].space.within(|| {
            for _ in 0..REQUESTS {
                let answer = ask().unwrap_or_else(|error| error.to_string());
                *counts.entry(answer).or_default() += 1;
            }
        });
        let share = REQUESTS / ALL.len();
        let even = counts.values().all(|count| (share - 2..=share + 2).contains(count));
        assert!(
            even && counts.keys().map(String::as_str).eq(ALL),
            "{what} from {from}: {counts:?}\n{}",
            self.accesses(from, REQUESTS)
        );
    }
}

/// What the pod says that is told something which is no HTTP.
fn tell(to: SocketAddr) -> Result<String> {
    let mut stream = client::connect(to)?;
    stream.write_all(b"hello, no HTTP\n")?;
    let mut said = String::new();
    BufReader::new(stream).read_line(&mut said)?;
    Ok(said.trim_end_matches(" heard hello, no HTTP\n").to_owned())
}

/// The pod that answers a request, by the name that it gives.
fn pod(to: SocketAddr, host: &str) -> Result<String> {
    let answer = client::get(to, host, "/")?;
    let told = told(&answer);
    match (answer.status, told["pod"].as_str()) {
        (200, Some(pod)) => Ok(pod.to_owned()),
        _ => Ok(format!("{answer:?}")),
    }
}

/// The pod that was shown and answered.
fn own_tls(to: SocketAddr, certificates: &BTreeMap<&str, CertificateDer<'_>>) -> Result<String> {
    let (shown, answer) = own_tls::ask(to, "own.example.com", "/")?;
    let whose = certificates.iter().find(|(_, certificate)| **certificate == shown);
    let whose = whose.map_or("somebody else", |(pod, _)| *pod);
    match answer.body == format!("{whose} GET / HTTP/1.1") {
        true => Ok(whose.to_owned()),
        false => Ok(format!("{whose} was shown: {answer:?}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_port_speaks_what_it_is_declared_to_or_what_comes() {
    need_namespaces();
    for mode in ["strict", "permissive"] {
        let world = World::usual(&format!("  mtls: {mode}\n")).await;
        let certificates = world.say_kinds();
        let asked = ALL
            .map(|pod| (pod, grpc::health_service(&world.pods[pod].space)))
            .into();
        for (client, web, (_, ip), gateway) in [
            ("client-1", WEB_IN_EAST, KINDS[0], GATEWAY_2),
            ("client-2", WEB_IN_WEST, KINDS[2], GATEWAY_1),
        ] {
            a_server_may_speak_first(&world, client, web, mode).await;
            what_is_declared_counts(&world, client, ip).await;
            what_is_undeclared_is_found_out(&world, client, ip);
            calls_are_found_out(&world, client, ip, &asked).await;
            for port in [HTTPS, TLS, SNIFFED_TLS] {
                let what = format!("TLS on port {port}");
                world.all_answer_alike(client, &what, || own_tls((ip, port).into(), &certificates));
                let way = format!("cluster=outbound|{port}||kinds.shop.svc.cluster.local upstream={gateway}:15443");
                world.logged(client, &way).await;
            }
        }
        // Whoever has no sidecar is answered in whatever it speaks where plaintext is taken, and else in nothing; its TLS is the
        // application's own.
        let plain: Space = world.ground.inside("plain", "net1", "10.1.0.99");
        let at = |port: u16| SocketAddr::from(([10, 1, 0, 20], port));
        let takes = (mode == "permissive").then_some("web-1");
        for (what, asked) in [
            ("TLS", plain.within(|| own_tls(at(own_tls::PORT), &certificates))),
            ("HTTP", plain.within(|| pod(at(8080), "web"))),
            ("bytes", plain.within(|| tell(at(8080)))),
            (
                "a server that speaks first",
                plain.within(|| client::listen_to(at(9000))),
            ),
        ] {
            let answered = asked.as_deref().ok().filter(|said| !said.is_empty());
            assert_eq!(answered, takes, "{mode}: {what}: {asked:?}");
        }
        let called = match grpc::health_client(&plain, at(grpc::PORT), "web").await {
            Ok(mut client) => client.check(HealthCheckRequest::default()).await.is_ok(),
            Err(_) => false,
        };
        assert_eq!(called, takes.is_some(), "{mode}: gRPC");
        world.nobody_refused_anything();
    }
}

/// Bytes of a server that speaks first: nothing on the way may wait for the client.
async fn a_server_may_speak_first(world: &World, client: &str, ip: Ipv4Addr, mode: &str) {
    world.settled(client, (ip, 80), "web", "web-1").await;
    let mut heard: Vec<_> = (0..8)
        .map(|_| {
            let said = world.pods[client].space.within(|| client::listen_to((ip, 9000).into()));
            said.expect("it speaks")
        })
        .collect();
    heard.sort();
    heard.dedup();
    assert_eq!(heard, ALL, "{client} {mode}");
}

/// Whatever a port is called.
async fn what_is_declared_counts(world: &World, client: &'static str, ip: Ipv4Addr) {
    // By the name that a request gives, wherever it was sent to; and who asked is told, as of HTTP only.
    world.settled(client, (NOWHERE, SAID_HTTP), "kinds.shop", "web-1").await;
    world.all_answer_alike(client, "HTTP by appProtocol", || {
        pod((NOWHERE, SAID_HTTP).into(), "kinds.shop.global")
    });
    let answer = world.get(client, (ip, SAID_HTTP), "kinds").expect("it answers");
    let peer = told(&answer)["peer"].as_str().unwrap_or_default().to_owned();
    assert!(peer.contains(&spiffe_id(world.pods[client].spec.name)), "{peer}");
    world.all_answer_alike(client, "bytes by appProtocol", || {
        client::listen_to((ip, SAID_TCP).into())
    });
}

fn what_is_undeclared_is_found_out(world: &World, client: &str, ip: Ipv4Addr) {
    world.all_answer_alike(client, "HTTP that is found out", || pod((ip, SNIFFED).into(), "kinds"));
    world.all_answer_alike(client, "bytes that are found out", || tell((ip, SNIFFED).into()));
    // Whoever says nothing for a second waits for the server.
    let space = &world.pods[client].space;
    let said = space.within(|| client::listen_to((ip, SNIFFED_FIRST).into()));
    assert!(said.as_ref().is_ok_and(|pod| ALL.contains(&&**pod)), "{said:?}");
}

/// HTTP/2 from the first byte, on one connection of the client's.
async fn calls_are_found_out(world: &World, client: &str, ip: Ipv4Addr, asked: &BTreeMap<&str, Asked>) {
    let counts = || ALL.map(|pod| asked[pod].lock().expect("nobody panicked").len());
    let before = counts();
    let connected = grpc::health_client(&world.pods[client].space, (ip, SNIFFED_GRPC).into(), "kinds").await;
    let mut calls = connected.expect("it connects");
    for _ in 0..REQUESTS {
        let answer = calls.check(HealthCheckRequest::default()).await;
        answer.unwrap_or_else(|status| panic!("{client}: {status}\n{}", world.accesses(client, 3)));
    }
    let share = REQUESTS / ALL.len();
    let shares: Vec<_> = counts().iter().zip(before).map(|(now, before)| now - before).collect();
    let even = shares.iter().all(|count| (share - 2..=share + 2).contains(count));
    assert!(even && shares.iter().sum::<usize>() == REQUESTS, "{client}: {shares:?}");
}
