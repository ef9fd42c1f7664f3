//! What is outside of Kubernetes: a virtual machine of the mesh, and services that are somebody else's.

use std::fs;
use std::net::Ipv4Addr;

use super::client;
use super::own_tls;
use super::space::{Space, need_namespaces, watched};
use super::tls::{first_byte, open};
use super::world::{GATEWAY_1, GATEWAY_2, WEB_IN_EAST, World, spiffe_id, told, workload};

/// Where nobody is: a sidecar goes by the name that a request gives.
pub(super) const NOWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// Between the networks, and no part of the mesh.
pub(super) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 168, 100, 60);

/// A virtual machine `vm-1` of the west, that a Service of Kubernetes selects, and that a host of its own leads to.
const MACHINE: &str = "apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm-1, namespace: shop}
spec:
  address: 10.2.0.50
  labels: {app: vm}
  ports: {http: 8080}
  locality: eu/west/rack-1
  serviceAccount: vm
  weight: 3
---
apiVersion: v1
kind: Service
metadata: {name: machines, namespace: shop}
spec:
  clusterIP: 10.96.0.50
  selector: {app: vm}
  ports: [{name: http, port: 80}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: machines, namespace: shop}
spec:
  hosts: [machines.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: vm}}
";

/// All below a domain, at the machine.
const INSIDE: &str = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: inside, namespace: shop}
spec:
  hosts: ['*.inside.example.com']
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: vm}}
";

/// TLS of the machine's application.
const SECURE: &str = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: secure, namespace: shop}
spec:
  hosts: [secure.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8443, name: https, protocol: HTTPS, targetPort: 9443}]
  workloadSelector: {labels: {app: vm}}
";

/// Services of somebody else, each reached in another way.
pub(super) const EXTERNAL: &str = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: told, namespace: shop}
spec:
  hosts: [told.example.com]
  addresses: [198.51.100.1]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports:
    - {number: 80, name: http, protocol: HTTP, targetPort: 8080}
    - {number: 9000, name: first, protocol: TCP}
    - {number: 8443, name: tls, protocol: TLS, targetPort: 9443}
  endpoints: [{address: 192.168.100.60}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: named, namespace: shop}
spec:
  hosts: [named.example.com]
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: one-of, namespace: shop}
spec:
  hosts: [one-of.example.com]
  resolution: DNS_ROUND_ROBIN
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: named.example.com, ports: {http: 8080}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: below, namespace: shop}
spec:
  hosts: ['*.below.example.com']
  resolution: NONE
  ports:
    - {number: 8080, name: http, protocol: HTTP}
    - {number: 9443, name: tls, protocol: TLS}
";

/// Objects that are wrong in every way that nothing else may suffer from.
const WRONG: &str = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wrong-host, namespace: shop}
spec:
  hosts: ['a b', '*', 'x_y.example.com', fine.example.com]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 0, name: zero, protocol: TCP}, {number: 9443, name: x, protocol: TLS}]
  endpoints: [{address: nowhere}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: nobody, namespace: shop}
spec:
  hosts: [nobody.example.com]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: told-again, namespace: other}
spec:
  hosts: [told.example.com, '*.below.example.com']
  resolution: DNS
  ports: [{number: 80, name: tcp, protocol: TCP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: other}
spec:
  hosts: [web.shop.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 192.168.100.60}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: everywhere, namespace: other}
spec:
  hosts: [web.shop.global, web.shop.svc.clusterset.local, unclaimed.shop.global]
  addresses: [198.51.100.66]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 192.168.100.60}]
";

/// The files that pods find in `/etc`, gone with the value: a namespace of this name sees them in place of the machine's.
struct Files(String);

impl Files {
    /// This host is at that address.
    fn leading_to(space: String, host: &str, address: Ipv4Addr) -> Self {
        let folder = format!("/etc/netns/{space}");
        fs::create_dir_all(&folder).expect("root may");
        fs::write(
            format!("{folder}/hosts"),
            format!("127.0.0.1 localhost\n{address} {host}\n"),
        )
        .expect("root may");
        Self(folder)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// The gateway leads to hosts that have endpoints behind it, each by its own name, and opens nothing. A host with a star, whatever is
/// behind it, lets in no name at all.
async fn names_at_the_gateway(world: &World, outside: &Space) {
    let gateway = (GATEWAY_2.parse::<Ipv4Addr>().expect("an address"), 15443).into();
    let ours = world.root.workload("spiffe://cluster.local/ns/other/sa/visitor");
    let says = |sni: &str| outside.within(|| first_byte(open(gateway, sni, &["istio-http/1.1"], Some(&ours))?));
    let one = "outbound_.80_._.machines.example.com";
    assert_eq!(says(one).expect("it is behind this gateway"), b'H');
    // Whoever connects and falls silent is noticed: the system's own patience is two hours.
    let held = outside.within(|| open(gateway, one, &["istio-http/1.1"], Some(&ours)));
    let held = held.expect("it is taken");
    assert!(world.pods["gw-2"].space.finds(&watched("sport", 15443, OUTSIDE)));
    drop(held);
    let refused = || {
        let no_name = world.stat("gw-2", &["15443", "no_filter_chain_match"]);
        no_name + world.stat("gw-2", &["downstream_cx_no_route"])
    };
    let before = refused();
    let foreign = [
        "a.inside.example.com",
        "inside.example.com",
        "outbound_.80_._.a.inside.example.com",
        "outbound_.80_._.inside.example.com",
        "a.below.example.com",
        "outbound_.9443_._.a.below.example.com",
        "outbound_.80_._.told.example.com",
        "outbound_.80_._.named.example.com",
        "machines.example.com",
        "a.b.outbound_.80_._.machines.example.com",
    ];
    for name in foreign {
        says(name).expect_err(name);
    }
    let look = async || match refused() - before {
        count if count == foreign.len() as u64 => Ok(()),
        count => Err(count.to_string()),
    };
    world.until("all foreign names to be refused", look).await;
    assert_eq!(world.stat("gw-2", &["15443", "ssl"]), 0, "it opens nothing");
    assert_eq!(says(one).expect("it goes on"), b'H');
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_and_external_services_are_reached() {
    need_namespaces();
    let mut world = World::new("  mtls: strict\n  outside: block\n").await;
    world.say_web(&world.web()[..1]);
    world.say("west", "machine.yaml", MACHINE);
    world.say("west", "inside.yaml", INSIDE);
    world.say("west", "secure.yaml", SECURE);
    world.say("east", "external.yaml", EXTERNAL);
    world.say("east2", "wrong.yaml", WRONG);
    let mut files = Vec::new();
    for (client, member, address) in [("client-1", "east", "10.1.0.10"), ("client-2", "west", "10.2.0.10")] {
        files.push(Files::leading_to(world.name_of(client), "named.example.com", OUTSIDE));
        world.add(workload(client, member, address), "0.0.0.0").await;
    }
    world.add(world.web()[0].clone(), "0.0.0.0").await;
    world.add(workload("vm-1", "west", "10.2.0.50"), "0.0.0.0").await;
    world.add_gateway(workload("gw-1", "east", "10.1.0.2"), GATEWAY_1).await;
    world.add_gateway(workload("gw-2", "west", "10.2.0.2"), GATEWAY_2).await;
    let outside = world.stranger("outside", &OUTSIDE.to_string());
    let machine = own_tls::application(&world.pods["vm-1"].space, "vm-1", "0.0.0.0");
    let others = own_tls::application(&outside, "outside", "0.0.0.0");

    for client in ["client-1", "client-2"] {
        // The machine, by the Service that selects it and by a host of its own: from its own network directly, from the other
        // one through the gateway, with mutual TLS from end to end.
        for host in ["machines.shop", "machines.example.com"] {
            world.settled(client, (NOWHERE, 80), host, "vm-1").await;
            let answer = world.get(client, (NOWHERE, 80), host).expect("it answers");
            let peer = told(&answer)["peer"].as_str().unwrap_or_default().to_owned();
            assert!(peer.contains(&spiffe_id(client)), "{host}: {peer}");
        }
        // The same from all networks, in plaintext: what is outside of the mesh is behind no gateway.
        for host in ["told.example.com", "named.example.com", "one-of.example.com"] {
            world.settled(client, (NOWHERE, 80), host, "outside").await;
        }
        let said = world.pods[client]
            .space
            .within(|| client::listen_to((Ipv4Addr::new(198, 51, 100, 1), 9000).into()));
        assert_eq!(said.expect("by its address, whoever speaks first"), "outside");
        // Two hosts on one port, by the name that TLS gives: each shows its own certificate, the machine's from behind mutual TLS.
        for (host, certificate) in [("secure.example.com", &machine), ("told.example.com", &others)] {
            let ask = || own_tls::ask((NOWHERE, 8443).into(), host, "/");
            let (shown, answer) = world.pods[client].space.within(ask).expect(host);
            assert_eq!((&shown, answer.status), (certificate, 200), "{host}");
        }
        // To where it was going, by names below a domain; other names are blocked.
        world
            .settled(client, (OUTSIDE, 8080), "a.below.example.com", "outside")
            .await;
        let other = world
            .get(client, (OUTSIDE, 8080), "elsewhere.example.com")
            .expect("a sidecar answers");
        assert_eq!(other.status, 502);
        let cluster = |host: &str, port: u16| format!("cluster=outbound|{port}||{host}");
        for (sni, passes) in [("b.below.example.com", true), ("elsewhere.example.com", false)] {
            let ask = || own_tls::ask((OUTSIDE, 9443).into(), sni, "/");
            let answer = world.pods[client].space.within(ask);
            assert_eq!(answer.is_ok_and(|(shown, _)| shown == others), passes, "{sni}");
        }
        world.logged(client, &cluster("*.below.example.com", 9443)).await;
        world.logged(client, "cluster=BlackHoleCluster").await;
    }
    world.logged("client-2", "upstream=10.2.0.50:8080").await;
    world.logged("client-1", &format!("upstream={}:15443", GATEWAY_2)).await;
    world
        .settled("client-2", (NOWHERE, 80), "a.inside.example.com", "vm-1")
        .await;
    // What no gateway leads to is not tried there: the sidecar itself says that there is nothing.
    let far = world.get("client-1", (NOWHERE, 80), "a.inside.example.com");
    assert_eq!(far.expect("a sidecar answers").status, 503);
    let unreached = "cluster=outbound|80||*.inside.example.com upstream=-";
    world.logged("client-1", unreached).await;
    let why = world.ask_by_command(&["explain", "*.inside.example.com:80", "--as", "client-1.shop"]);
    assert!(why.contains("its host begins with a star"), "{why}");
    names_at_the_gateway(&world, &outside).await;
    // What is wrong hurts nobody else, and is told.
    world.settled("client-1", (WEB_IN_EAST, 80), "web", "web-1").await;
    let nobody = world
        .get("client-1", (NOWHERE, 80), "nobody.example.com")
        .expect("a sidecar answers");
    assert_eq!(nobody.status, 503);
    // Nobody takes names of a Service in DNS; what is nobody's is theirs.
    for (name, leads_to) in [
        ("unclaimed.shop.global", Ipv4Addr::new(198, 51, 100, 66)),
        ("web.shop.global", WEB_IN_EAST),
        ("web.shop.svc.clusterset.local", WEB_IN_EAST),
    ] {
        assert_eq!(world.resolved("client-1", name).await, leads_to, "{name}");
    }
    world.nobody_refused_anything();
}
