//! One service on two networks: every pod answers its share, direct where the network is shared and through the gateway where
//! not, and knows who asked.

use std::net::SocketAddr;

use super::client::get_over;
use super::space::need_namespaces;
use super::tls::open;
use super::world::{Certificates, GATEWAY_1, GATEWAY_2, WEB_IN_EAST, WEB_IN_WEST, World, spiffe_id, told, workload};

#[tokio::test(flavor = "multi_thread")]
async fn every_pod_answers_its_share_and_knows_who_asked() {
    need_namespaces();
    check(&World::usual("  mtls: strict\n").await).await;
}

/// The same with certificates that the control plane issues over ADS, after `parallax ca` and `parallax bootstrap`.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_come_over_the_stream() {
    need_namespaces();
    let mut world = World::usual_with(Certificates::Issued, "  mtls: strict\n").await;
    check(&world).await;
    aliases_of_the_trust_domain_count(&mut world).await;
}

/// A mesh that changes its trust domain takes both for a while, each with the identity that it shows.
async fn aliases_of_the_trust_domain_count(world: &mut World) {
    let mut visitor = workload("visitor", "east", "10.1.0.99");
    visitor.sidecar = false;
    world.add(visitor, "0.0.0.0").await;
    let to = SocketAddr::from(([10, 1, 0, 20], 8080));
    // Whoever it says that it is beside: only the certificate counts.
    let forged = "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/shop/sa/admin\r\n";
    for (domain, is_ours) in [("cluster.local", true), ("old.example", true), ("third.example", false)] {
        let shown = world.issue_of(domain);
        let ask = || {
            let sni = "outbound_.80_._.web.shop.svc.cluster.local";
            get_over(open(to, sni, &["istio-http/1.1"], Some(&shown))?, "web", "/", forged)
        };
        match world.pods["visitor"].space.within(ask) {
            Ok(answer) => {
                let peer = told(&answer)["peer"].as_str().unwrap_or_default().to_owned();
                let expected = format!("URI=spiffe://{domain}/ns/other/sa/visitor");
                assert!(
                    is_ours && peer.contains(&expected) && !peer.contains("admin"),
                    "{domain}: {peer}"
                );
            }
            Err(error) => assert!(!is_ours, "{domain}: {error}"),
        }
    }
    assert_eq!(world.stat("web-1", &["15006", "ssl.fail_verify_san"]), 1);
}

async fn check(world: &World) {
    for (client, ip, gateway, near, far) in [
        (
            "client-1",
            WEB_IN_EAST,
            GATEWAY_2,
            ["10.1.0.20", "10.1.0.21"],
            ["10.2.0.20", "10.2.0.21"],
        ),
        (
            "client-2",
            WEB_IN_WEST,
            GATEWAY_1,
            ["10.2.0.20", "10.2.0.21"],
            ["10.1.0.20", "10.1.0.21"],
        ),
    ] {
        for pod in ["web-1", "web-2", "web-3", "web-4"] {
            world.settled(client, (ip, 80), "web", pod).await;
        }
        for port in [80, 81] {
            let counts = world.count(client, (ip, port), 40);
            for pod in ["web-1", "web-2", "web-3", "web-4"] {
                let share = counts.get(pod).copied().unwrap_or(0);
                assert!(
                    (8..=12).contains(&share),
                    "{client} {port}: {counts:?}\n{}",
                    world.everything()
                );
            }
        }
        // Who asked arrives, and is the client's own identity.
        let answer = world.get(client, (ip, 80), "web").expect("it answers");
        let peer = told(&answer)["peer"].as_str().unwrap_or_default().to_owned();
        assert!(peer.contains(&format!("URI={}", spiffe_id(client))), "{peer}");
        // The ways: near ones direct, far ones only through their gateway.
        for address in near {
            world.logged(client, &format!("upstream={address}:8080")).await;
        }
        world.logged(client, &format!("upstream={gateway}:15443")).await;
        let log = world.log(client).join("\n");
        for address in far {
            assert!(!log.contains(&format!("upstream={address}")), "{log}");
        }
        // Every name that a person may use, with the port and without.
        for host in [
            "web",
            "web.shop",
            "web.shop.svc",
            "web.shop.svc.cluster.local",
            "web.shop.global",
            "web.shop:80",
            &ip.to_string(),
            &format!("{ip}:80"),
        ] {
            let answer = world.get(client, (ip, 80), host).expect("it answers");
            assert_eq!(answer.status, 200, "{host}: {answer:?}");
        }
    }
    world.nobody_refused_anything();
}
