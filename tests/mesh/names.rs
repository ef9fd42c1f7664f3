//! Names that the local DNS does not know: a service that the own member lacks, pods of a StatefulSet on other networks.

use std::net::{IpAddr, Ipv4Addr};

use super::client;
use super::harness::{DnsServer, eventually};
use super::lookup::{A, AAAA, Reply};
use super::manifests;
use super::pod::Workload;
use super::space::need_namespaces;
use super::world::{DEADLINE, GATEWAY_1, GATEWAY_2, World, told, workload};

const PORTS: [(&str, u16, u16); 2] = [("http", 80, 8080), ("tcp-first", 9000, 9000)];

impl World {
    /// Asks until a name leads somewhere, and tells where.
    pub(super) async fn resolved(&self, from: &str, name: &str) -> Ipv4Addr {
        let look = async || match self.lookup(from, name, A) {
            Ok(Reply { addresses, .. }) if !addresses.is_empty() => Ok(addresses[0]),
            other => Err(format!("{other:?}")),
        };
        match eventually(&format!("{name} to resolve at {from}"), DEADLINE, look).await {
            Ok(IpAddr::V4(address)) => address,
            Ok(other) => panic!("{other}"),
            Err(late) => panic!("{late:#}"),
        }
    }

    /// By HTTP and by bytes of a server that speaks first, at the address that the name leads to.
    async fn all_answer(&self, from: &str, name: &str, pods: &[&str]) {
        let address = self.resolved(from, name).await;
        for pod in pods {
            self.settled(from, (address, 80), name, pod).await;
        }
        for _ in 0..8 {
            let answer = self.get(from, (address, 80), name).expect("it answers");
            let by = told(&answer)["pod"].as_str().unwrap_or_default().to_owned();
            assert!(pods.contains(&&*by), "{name} at {from}: {answer:?}");
            let heard = self.pods[from]
                .space
                .within(|| client::listen_to((address, 9000).into()));
            let heard = heard.expect("it speaks");
            assert!(pods.contains(&&*heard), "{name} at {from}: {heard}");
        }
    }
}

fn stateful(pod: &'static str, member: &'static str, address: &'static str) -> Workload {
    workload(pod, member, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_local_dns_does_not_know_leads_to_the_other_network() {
    need_namespaces();
    let mut world = World::new("  mtls: strict\n").await;
    let local: Vec<DnsServer> = ["net1", "net2"].map(|network| world.dns_in(network)).into();
    // What the DNS of a member knows beside: the host of its own pod.
    local[0].leads_to("kv-0.kv.shop.svc.cluster.local", &["10.1.0.30"]);
    local[0].leads_to("example.org", &["192.0.2.7"]);
    local[1].leads_to("kv-1.kv.shop.svc.cluster.local", &["10.2.0.31"]);

    let cart = workload("cart-1", "west", "10.2.0.40");
    world.say(
        "west",
        "cart.yaml",
        &manifests::service("cart", "10.96.0.30", &PORTS, &[&cart]),
    );
    let kv = [
        stateful("kv-0", "east", "10.1.0.30"),
        stateful("kv-1", "west", "10.2.0.31"),
    ];
    for pod in &kv {
        world.say(pod.member, "kv.yaml", &manifests::headless("kv", &PORTS, &[pod]));
    }
    let clients = [
        workload("client-1", "east", "10.1.0.10"),
        workload("client-2", "west", "10.2.0.10"),
    ];
    for pod in clients.into_iter().chain(kv).chain([cart]) {
        world.add(pod, "0.0.0.0").await;
    }
    world.add_gateway(workload("gw-1", "east", "10.1.0.2"), GATEWAY_1).await;
    world.add_gateway(workload("gw-2", "west", "10.2.0.2"), GATEWAY_2).await;

    // A service that only the other member has: by every name of the mesh, and by the short one through the search path.
    for name in [
        "cart.shop.svc.cluster.local",
        "cart.shop.global",
        "cart.shop.svc.clusterset.local",
    ] {
        world.all_answer("client-1", name, &["cart-1"]).await;
    }
    world.logged("client-1", &format!("upstream={GATEWAY_2}:15443")).await;
    let address = world.resolved("client-1", "cart.shop.global").await;
    assert_eq!(address.octets()[0] & 0xF0, 0xF0, "{address}");
    for short in ["cart", "cart.shop"] {
        assert_eq!(world.libc_lookup("client-1", short), [IpAddr::from(address)], "{short}");
    }
    let answer = world.get("client-1", (address, 80), "cart").expect("it answers");
    assert_eq!(answer.status, 200);
    // Where the member has it, its own address is meant, which the local DNS knows by its name.
    assert_eq!(
        world.resolved("client-2", "cart.shop.global").await,
        Ipv4Addr::new(10, 96, 0, 30)
    );
    let own = world
        .lookup("client-2", "cart.shop.svc.cluster.local", A)
        .expect("it is answered");
    assert!(own.addresses.is_empty(), "{own:?}");
    // For the other family there is an answer too: some resolvers believe none without.
    let mapped = world
        .lookup("client-1", "cart.shop.global", AAAA)
        .expect("it is answered");
    assert_eq!(
        (mapped.code, mapped.addresses),
        (0, vec![IpAddr::from(address.to_ipv6_mapped())])
    );

    // Everything else is asked of the local DNS.
    assert_eq!(
        world.resolved("client-1", "example.org").await,
        Ipv4Addr::new(192, 0, 2, 7)
    );
    assert!(local[0].asked("example.org") > 0);
    let none = world
        .lookup("client-1", "nowhere.example.org", A)
        .expect("it is answered");
    assert_eq!((none.code, none.addresses), (3, Vec::new()));

    // Each pod of the StatefulSet answers by its own name, wherever it is.
    for client in ["client-1", "client-2"] {
        for pod in ["kv-0", "kv-1"] {
            world
                .all_answer(client, &format!("{pod}.kv.shop.svc.cluster.local"), &[pod])
                .await;
            world.all_answer(client, &format!("{pod}.kv.shop.global"), &[pod]).await;
        }
        world.all_answer(client, "kv.shop.global", &["kv-0", "kv-1"]).await;
    }
    let direct = world.log("client-1").join("\n");
    assert!(
        direct.contains("cluster=direct|9000||kv.shop.svc.cluster.local upstream=10.1.0.30:9000"),
        "{direct}"
    );
    assert!(
        direct.contains("cluster=outbound|9000||kv-1.kv.shop.svc.cluster.local upstream=192.168.100.12:15443"),
        "{direct}"
    );

    // With the last endpoint the name goes, and nothing was refused on the way.
    world.say(
        "west",
        "cart.yaml",
        &manifests::service("cart", "10.96.0.30", &PORTS, &[]),
    );
    let gone = async || match world.lookup("client-1", "cart.shop.global", A) {
        Ok(Reply { code: 3, .. }) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually("the name to go", DEADLINE, gone).await.expect("it goes");
    world.nobody_refused_anything();
}
