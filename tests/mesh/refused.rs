//! Who is refused, at a workload and at a gateway. Told by what the Envoys count: at the client's end a refusal has many faces.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::certificates::{Authority, Credentials};
use super::client;
use super::harness::eventually;
use super::manifests;
use super::space::{need_namespaces, watched};
use super::tls::{first_byte, open};
use super::world::{DEADLINE, World, workload};

const POD: &str = "10.1.0.20:8080";
const GATEWAY: &str = "10.1.0.2:15443";
const WEB: &str = "outbound_.80_._.web.shop.svc.cluster.local";
const ALPN: &[&str] = &["istio-http/1.1"];

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

impl World {
    /// Connects from a machine in net1 that is nobody's pod.
    fn rogue(&self, to: &str, sni: &str, alpn: &[&str], credentials: Option<&Credentials>) -> std::io::Result<u8> {
        let to = address(to);
        self.pods["rogue"]
            .space
            .within(|| first_byte(open(to, sni, alpn, credentials)?))
    }

    async fn counted(&self, pod: &str, stat: &[&str], expected: u64) {
        let look = async || match self.stat(pod, stat) {
            count if count == expected => Ok(()),
            count => Err(count.to_string()),
        };
        let what = format!("{pod} to count {expected} of {stat:?}");
        self.until(&what, look).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    need_namespaces();
    let mut world = World::usual("  mtls: strict\n").await;
    let mut rogue = workload("rogue", "east", "10.1.0.99");
    rogue.sidecar = false;
    // `cart` is on the other network only; `old` is on this one and has no sidecar.
    let cart = workload("cart-1", "west", "10.2.0.30");
    world.say(
        "west",
        "cart.yaml",
        &manifests::service("cart", "10.96.0.30", &[("http", 80, 8080)], &[&cart]),
    );
    world.say(
        "east",
        "old.yaml",
        &manifests::service("old", "10.96.0.31", &[("http", 80, 8080)], &[&rogue]),
    );
    world.add(rogue, "0.0.0.0").await;
    world
        .settled("client-1", (super::world::WEB_IN_EAST, 80), "web", "web-3")
        .await;
    let ours = world.root.workload("spiffe://cluster.local/ns/other/sa/visitor");

    // One of us gets in, which shows that nothing else is why the others don't: to the pod, and through the gateway.
    assert_eq!(world.rogue(POD, WEB, ALPN, Some(&ours)).expect("one of us"), b'H');
    assert_eq!(world.rogue(GATEWAY, WEB, ALPN, Some(&ours)).expect("one of us"), b'H');

    // Who takes longer than a second to say something, as on a slow way, gets in too; and if it said nothing more, it would be noticed.
    let late = world.pods["rogue"]
        .space
        .within(|| open(address(POD), WEB, ALPN, Some(&ours)));
    let late = late.expect("it is taken");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(
        world.pods["web-1"]
            .space
            .finds(&watched("sport", 15006, Ipv4Addr::new(10, 1, 0, 99)))
    );
    assert_eq!(first_byte(late).expect("one of us"), b'H');

    for (count, alpn) in [(1, ALPN), (2, &["istio"]), (3, &["h2"]), (4, &[])] {
        world.rogue(POD, WEB, alpn, None).expect_err("it shows no certificate");
        world
            .counted("web-1", &["15006", "ssl.fail_verify_no_cert"], count)
            .await;
    }
    let other_root = Authority::root("somebody else").workload("spiffe://cluster.local/ns/shop/sa/client");
    world
        .rogue(POD, WEB, ALPN, Some(&other_root))
        .expect_err("of another authority");
    world.counted("web-1", &["15006", "ssl.fail_verify_error"], 1).await;
    let other_domain = world.root.workload("spiffe://example.org/ns/shop/sa/client");
    world
        .rogue(POD, WEB, ALPN, Some(&other_domain))
        .expect_err("of another trust domain");
    world.counted("web-1", &["15006", "ssl.fail_verify_san"], 1).await;
    let plain = |to: &str| {
        let to = address(to);
        world.pods["rogue"].space.within(|| client::get(to, "web", "/"))
    };
    plain(POD).expect_err("in plaintext");
    world.counted("web-1", &["15006", "no_filter_chain_match"], 1).await;

    // Through the gateway the workload refuses, not the gateway: it opens nothing.
    world
        .rogue(GATEWAY, WEB, ALPN, None)
        .expect_err("it shows no certificate");
    let refused =
        world.stat("web-1", &["15006", "fail_verify_no_cert"]) + world.stat("web-2", &["15006", "fail_verify_no_cert"]);
    assert_eq!(refused, 5);

    plain(GATEWAY).expect_err("in plaintext");
    world.counted("gw-1", &["15443", "no_filter_chain_match"], 1).await;
    world
        .rogue(GATEWAY, "example.org", ALPN, Some(&ours))
        .expect_err("of no domain of ours");
    world.counted("gw-1", &["15443", "no_filter_chain_match"], 2).await;
    for (count, name) in [
        (1, "outbound_.80_._.nothing.shop.svc.cluster.local"),
        (2, "outbound_.82_._.web.shop.svc.cluster.local"),
        (3, "outbound_.80_._.cart.shop.svc.cluster.local"),
        (4, "web.shop.svc.cluster.local"),
    ] {
        world.rogue(GATEWAY, name, ALPN, Some(&ours)).expect_err(name);
        world.counted("gw-1", &["downstream_cx_no_route"], count).await;
    }
    let old = "outbound_.80_._.old.shop.svc.cluster.local";
    world
        .rogue(GATEWAY, old, ALPN, Some(&ours))
        .expect_err("it speaks no mutual TLS");
    world.counted("gw-1", &[old, "upstream_cx_none_healthy"], 1).await;
    world.nobody_refused_anything();
}

/// A server with our root's signature and another namespace is not the service that was meant.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_namespace_is_not_believed() {
    need_namespaces();
    let mut world = World::usual("  mtls: strict\n").await;
    let mut imposter = workload("web-5", "east", "10.1.0.25");
    imposter.sidecar = true;
    let credentials = world.root.workload("spiffe://cluster.local/ns/elsewhere/sa/web");
    world.add_as(imposter.clone(), "0.0.0.0", &credentials).await;
    let mut web = world.web();
    web.retain(|pod| pod.name != "web-1");
    web.push(imposter);
    world.say_web(&web);
    let cluster = "cluster.outbound|80||web.shop.svc.cluster.local";
    let look = async || {
        // Each request is tried again elsewhere, so all are answered.
        let counts = world.count("client-1", (super::world::WEB_IN_EAST, 80), 8);
        if counts.contains_key("web-5") {
            return Ok(Err(counts));
        }
        match world.stat("client-1", &[cluster, "ssl.fail_verify_san"]) {
            0 => Err(format!("{counts:?}")),
            _ => Ok(Ok(())),
        }
    };
    let seen = eventually("the imposter to be refused", DEADLINE, look)
        .await
        .expect("it is");
    assert_eq!(seen, Ok(()), "somebody believed the imposter");
    world.nobody_refused_anything();
}
