//! The settings of traffic: plaintext beside mutual TLS, applications on localhost, what is not in the mesh.

use std::net::{Ipv4Addr, SocketAddr};

use super::client::{self, get_over};
use super::manifests;
use super::own_tls;
use super::space::{need_namespaces, watched};
use super::tls::{first_byte, open};
use super::world::{Certificates, WEB_IN_EAST, World, spiffe_id, told, workload};

const POD: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 20);
const OLD: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 40);

fn old() -> super::pod::Workload {
    super::pod::Workload {
        sidecar: false,
        ..workload("old-1", "east", "10.1.0.40")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn permissive_takes_both_and_believes_no_forged_peer() {
    need_namespaces();
    let mut world = World::usual("").await;
    world.add(old(), "0.0.0.0").await;
    world.settled("client-1", (WEB_IN_EAST, 80), "web", "web-3").await;

    // In plaintext from a pod without a sidecar: it is answered, and what it says of a peer is not believed.
    let forged = "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/shop/sa/admin\r\n";
    let to = SocketAddr::from((POD, 8080));
    let answer = world.pods["old-1"]
        .space
        .within(|| get_over(client::connect(to)?, "web", "/", forged))
        .expect("it is answered");
    assert_eq!((answer.status, told(&answer)["peer"].as_str()), (200, Some("")));

    // From a sidecar: with its identity, and only with that, whatever the application says.
    let to = SocketAddr::from((WEB_IN_EAST, 80));
    let answer = world.pods["client-1"]
        .space
        .within(|| get_over(client::connect(to)?, "web", "/", forged))
        .expect("it is answered");
    let peer = told(&answer)["peer"].as_str().unwrap_or_default().to_owned();
    assert!(
        peer.contains(&spiffe_id("client-1")) && !peer.contains("admin"),
        "{peer}"
    );

    // A service without a sidecar is called in plaintext at home.
    world.say(
        "east",
        "old.yaml",
        &manifests::service("old", "10.96.0.40", &[("http", 80, 8080)], &[&old()]),
    );
    let ip = Ipv4Addr::new(10, 96, 0, 40);
    world.settled("client-1", (ip, 80), "old", "old-1").await;
    world.logged("client-1", &format!("upstream={OLD}:8080")).await;
    world.nobody_refused_anything();
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_on_localhost_are_reached() {
    need_namespaces();
    let mut world = World::new("  mtls: strict\n  application: localhost\n").await;
    let web = world.web();
    world.say_probed("/healthz");
    world.add(workload("client-1", "east", "10.1.0.10"), "127.0.0.1").await;
    world.add(web[0].clone(), "127.0.0.1").await;
    let mut kubelet = workload("kubelet", "east", "10.1.0.99");
    kubelet.sidecar = false;
    world.add(kubelet, "0.0.0.0").await;
    world.settled("client-1", (WEB_IN_EAST, 80), "web", "web-1").await;
    let said = world.pods["client-1"]
        .space
        .within(|| client::listen_to((WEB_IN_EAST, 9000).into()));
    assert_eq!(said.expect("it speaks"), "web-1");
    // A kubelet's probes get there too, and nothing else that shows no certificate.
    world.answers("GET /healthz", 200).await;
    world.answers("GET /", 403).await;
    let own = own_tls::application(&world.pods["web-1"].space, "web-1", "127.0.0.1");
    world.probes_in_tls_pass(&own);
    // Envoy's own interface is there too, and is nobody's, whatever rules capture its port.
    let rules = "iptables -w -t nat -D IN -p tcp -m multiport --dports 15000,15006,15021,15090 -j RETURN";
    world.pods["web-1"].space.shell(rules);
    let ours = world.root.workload("spiffe://cluster.local/ns/other/sa/visitor");
    let ask = |port: u16| {
        let to = (POD, port).into();
        let kubelet = &world.pods["kubelet"].space;
        kubelet.within(|| first_byte(open(to, "web", &["istio-http/1.1"], Some(&ours))?))
    };
    assert_eq!(ask(8080).expect("the application"), b'H');
    ask(15000).expect_err("nobody's");
    world.nobody_refused_anything();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_outside_passes_or_is_blocked() {
    need_namespaces();
    // The second without mutual TLS, and without anything for it.
    for (certificates, outside, passes) in [
        (Certificates::Files, "passthrough", true),
        (Certificates::None, "block\n  mtls: disable", false),
    ] {
        let mut world = World::with(certificates, &format!("  outside: {outside}\n")).await;
        world.say_web(&world.web()[..1]);
        world.add(workload("client-1", "east", "10.1.0.10"), "0.0.0.0").await;
        world.add(old(), "0.0.0.0").await;
        world.add(world.web()[0].clone(), "0.0.0.0").await;
        world.settled("client-1", (WEB_IN_EAST, 80), "web", "web-1").await;
        let answer = world.get("client-1", (WEB_IN_EAST, 80), "web").expect("it answers");
        let peer = told(&answer)["peer"].as_str().unwrap_or_default().to_owned();
        assert_eq!(peer.contains("spiffe"), certificates == Certificates::Files, "{peer}");
        // By an address that no service claims, on a port that none has.
        let answer = world.get("client-1", (OLD, 8080), "old");
        assert_eq!(answer.is_ok_and(|answer| answer.status == 200), passes, "{outside}");
        if passes {
            // If it fell silent, that would be noticed: by its sidecar, for the application does not look.
            let held = world.pods["client-1"]
                .space
                .within(|| client::connect((OLD, 8080).into()));
            let held = held.expect("a sidecar takes it");
            let look = async || match world.pods["client-1"].space.finds(&watched("dport", 8080, OLD)) {
                true => Ok(()),
                false => Err("nobody looks".to_owned()),
            };
            world.until("the connection outside to be watched", look).await;
            drop(held);
        }
        // By a name that none has, on a port of services.
        let answer = world
            .get("client-1", (OLD, 80), "example.org")
            .expect("a sidecar answers");
        assert_eq!(answer.status, if passes { 503 } else { 502 }, "{outside}");
        // To the listeners' own ports, which must not go round in circles.
        for port in [15001, 15006] {
            let answer = world.get("old-1", (Ipv4Addr::new(10, 1, 0, 10), port), "x");
            assert!(
                answer.as_ref().is_ok_and(|answer| answer.status == 503) || answer.is_err(),
                "{answer:?}"
            );
        }
        world.nobody_refused_anything();
    }
}
