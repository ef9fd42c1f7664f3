//! Objects that are wrong cost themselves: Envoys that hold all listeners refuse nothing, whatever is said, and what was good goes on.

use std::net::Ipv4Addr;

use super::harness::eventually;
use super::manifests;
use super::space::need_namespaces;
use super::world::{DEADLINE, GATEWAY_1, WEB_IN_EAST, World, workload};

/// A Service in `shop` with these lines of its spec, and with an endpoint for each port name, so that gateways have clusters too.
fn service(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: '{name}', namespace: shop}}
spec: {spec}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: '{name}', namespace: shop, labels: {{kubernetes.io/service-name: '{name}'}}}}
addressType: IPv4
ports: [{{name: a, port: 8080}}, {{name: b, port: 8080}}, {{name: http, port: 8080}}, {{port: 8080}}]
endpoints: [{{addresses: [10.1.0.20], targetRef: {{kind: Pod, namespace: shop, name: web-1}}}}]
"
    )
}

fn pod(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{security.istio.io/tlsMode: istio}}}}
spec: {spec}
status: {{phase: Running, podIPs: [{{ip: 10.1.0.20}}]}}
"
    )
}

fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: shop}}
spec: {spec}
"
    )
}

fn entry(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: shop}}
spec: {spec}
"
    )
}

/// What is wrong of hosts and machines outside of Kubernetes.
fn wrong_outside() -> Vec<String> {
    let long = format!("{}.example.com", vec!["a".repeat(60); 5].join("."));
    // As long as a server name of Envoy's lets it be.
    let longest = format!("{}.{}.com", vec!["b".repeat(57); 3].join("."), "b".repeat(58));
    let of = |name: &str, spec: &str| entry("ServiceEntry", name, spec);
    let machine = |name: &str, spec: &str| entry("WorkloadEntry", name, spec);
    let https = "{number: 443, name: tls, protocol: TLS}";
    vec![
        // Ports that Envoys listen on themselves.
        of(
            "own-tls",
            "{hosts: [own.example.com], resolution: DNS, ports: [{number: 15001, name: tls, protocol: TLS}, {number: 15006, name: a, protocol: HTTP}]}",
        ),
        of(
            "own-tcp",
            "{hosts: [own-tcp.example.com], resolution: NONE, ports: [{number: 15006, name: tcp, protocol: TCP}, {number: 15001, name: b, protocol: TCP}]}",
        ),
        // Hosts.
        of(
            "hosts",
            &format!(
                "{{hosts: ['*', '*.com', 'not a host', 1.2.3.4, '', '{long}', 5, '-x.example.com', UPPER.Example.com, good.example.com], resolution: NONE, ports: [{https}]}}"
            ),
        ),
        of(
            "ours",
            &format!(
                "{{hosts: [web.shop.svc.cluster.local, '*.shop.svc.cluster.local', none.shop.svc.cluster.local], resolution: DNS, ports: [{https}]}}"
            ),
        ),
        of(
            "wild-dns",
            &format!(
                "{{hosts: ['*.wild.example.com'], resolution: DNS, ports: [{https}, {{number: 80, name: http, protocol: HTTP}}]}}"
            ),
        ),
        of(
            "wild",
            &format!(
                "{{hosts: ['*.w.example.com', '*.b.w.example.com', 'a.w.example.com'], resolution: NONE, ports: [{https}, {{number: 80, name: http, protocol: HTTP}}]}}"
            ),
        ),
        of(
            "longest",
            &format!(
                "{{hosts: ['{longest}'], resolution: STATIC, ports: [{{number: 65535, name: http, protocol: HTTP}}], endpoints: [{{address: 192.0.2.9}}]}}"
            ),
        ),
        of("no-hosts", &format!("{{hosts: [], resolution: DNS, ports: [{https}]}}")),
        // One host and port with two protocols.
        of(
            "first",
            "{hosts: [two.example.com], resolution: DNS, ports: [{number: 8443, name: tls, protocol: TLS}]}",
        ),
        of(
            "second",
            "{hosts: [two.example.com], resolution: STATIC, ports: [{number: 8443, name: http, protocol: HTTP}], endpoints: [{address: 192.0.2.9}]}",
        ),
        // Ports.
        of(
            "ports",
            "{hosts: [ports.example.com], resolution: DNS, ports: [{number: 0, name: a, protocol: TLS}, {number: 99999, name: b}, {number: 444, name: c, protocol: WHAT}, {number: 444, name: d, protocol: HTTP}, 7]}",
        ),
        // Endpoints.
        of(
            "static",
            &format!("{{hosts: [static.example.com], resolution: STATIC, ports: [{https}]}}"),
        ),
        of(
            "unix",
            &format!(
                "{{hosts: [unix.example.com], resolution: STATIC, ports: [{https}], endpoints: [{{address: 'unix:///run/x'}}, {{address: nowhere.example.com}}, {{address: 0.0.0.0}}]}}"
            ),
        ),
        of(
            "robin",
            &format!(
                "{{hosts: [robin.example.com], resolution: DNS_ROUND_ROBIN, ports: [{https}], endpoints: [{{address: a.example.com}}, {{address: b.example.com, ports: {{tls: 0, x: 7}}, weight: 0}}]}}"
            ),
        ),
        of(
            "mixed",
            &format!(
                "{{hosts: [mixed.example.com], resolution: DNS, ports: [{https}], endpoints: [{{address: a.example.com, weight: 4294967295}}, {{address: 192.0.2.7, weight: -1}}, {{address: a.example.com}}, {{}}]}}"
            ),
        ),
        of(
            "none",
            &format!(
                "{{hosts: [none.example.com], resolution: NONE, ports: [{https}], endpoints: [{{address: 192.0.2.1}}]}}"
            ),
        ),
        of(
            "resolution",
            &format!("{{hosts: [res.example.com], resolution: MAGIC, ports: [{https}]}}"),
        ),
        // Addresses: a range, none, one of another service.
        of(
            "addresses",
            "{hosts: [addr.example.com], addresses: [10.0.0.0/8, nonsense, 0.0.0.0, 240.0.0.1, 10.96.0.10], resolution: STATIC, ports: [{number: 80, name: tcp, protocol: TCP}], endpoints: [{address: 192.0.2.8}, {address: 192.0.2.8}]}",
        ),
        of("list", "[]"),
        // Machines.
        machine("unix", "{address: 'unix:///run/x', labels: {app: web}}"),
        machine(
            "named",
            "{address: vm.example.com, labels: {app: web}, weight: 0, network: '', locality: '////'}",
        ),
        machine(
            "heavy",
            "{address: 192.0.2.5, labels: {app: web}, weight: 4294967295, ports: {http: 0, tcp: 99999}}",
        ),
        machine("negative", "{address: 192.0.2.6, labels: [], weight: -5, ports: 7}"),
        machine("nothing", "{}"),
    ]
}

/// What is wrong, by member.
fn wrong() -> Vec<(&'static str, String)> {
    let long = "a".repeat(63);
    let path = format!("/{}", "x".repeat(9000));
    vec![
        // One host and port with two protocols: in two members, and by one address in one member.
        ("east", service("both", "{clusterIP: 10.96.1.1, ports: [{name: http, port: 7000}]}")),
        ("east2", service("both", "{clusterIP: 10.96.1.1, ports: [{name: tcp, port: 7000}]}")),
        ("west", service("both", "{clusterIP: 10.96.1.1, ports: [{port: 7000, appProtocol: mysql}]}")),
        ("east", service("one", "{clusterIP: 10.96.1.2, ports: [{name: a, port: 7001, appProtocol: tcp}]}")),
        ("east", service("two", "{clusterIP: 10.96.1.2, ports: [{name: a, port: 7001, appProtocol: http}]}")),
        ("east", service("three", "{clusterIP: 10.96.1.2, ports: [{name: a, port: 7001}]}")),
        // Ports.
        (
            "east",
            service(
                "ports",
                "{clusterIP: 10.96.1.3, ports: [{name: a, port: 0}, {name: b, port: 70000}, {name: http, port: 7002},
                 {name: a, port: 7002, appProtocol: tcp}, {name: b, port: -1}, {name: c, port: 'x'}, 5]}",
            ),
        ),
        // The ports that Envoys listen on themselves, by name and by address.
        (
            "east",
            service(
                "own",
                "{clusterIP: 10.96.1.4, ports: [{name: a, port: 15001, appProtocol: http}, {name: b, port: 15006, appProtocol: http},
                 {name: http, port: 15443}, {name: c, port: 15000}, {name: d, port: 15053}]}",
            ),
        ),
        (
            "east",
            service(
                "own-bytes",
                "{clusterIP: 10.96.1.5, ports: [{name: a, port: 15001, appProtocol: tcp}, {name: b, port: 15006, appProtocol: tcp}]}",
            ),
        ),
        // Protocols, names, addresses.
        (
            "east",
            service(
                "words",
                "{clusterIP: 10.96.1.6, ports: [{name: a, port: 7003, appProtocol: 'NoNSense/Proto col'}, {name: 'HTTP_x', port: 7004}]}",
            ),
        ),
        ("east", service("Capital_letters", "{clusterIP: 10.96.1.7, ports: [{name: http, port: 80}]}")),
        ("east", service(&"a".repeat(64), "{clusterIP: 10.96.1.7, ports: [{name: http, port: 80}]}")),
        ("east", service(&long, "{clusterIP: 10.96.1.8, ports: [{name: http, port: 80}, {name: a, port: 65535}]}")),
        ("east", service("any", "{clusterIP: 0.0.0.0, ports: [{name: a, port: 7005, appProtocol: tcp}]}")),
        ("east", service("loop", "{clusterIP: 127.0.0.1, ports: [{name: a, port: 7006, appProtocol: tcp}]}")),
        ("east", service("many", "{clusterIP: 224.0.0.1, ports: [{name: a, port: 7007, appProtocol: tcp}]}")),
        ("east", service("six", "{clusterIPs: ['fd00::1', '::'], ports: [{name: a, port: 7008, appProtocol: tcp}]}")),
        ("east", service("none", "{clusterIP: nowhere, ports: [{name: a, port: 7009}]}")),
        ("east", service("list", "[1, 2]")),
        // Probes: of a port that is the listener's own, too long, of no port, with what no request may have.
        (
            "east",
            pod(
                "web-1",
                &format!(
                    "{{containers: [{{name: a, readinessProbe: {{httpGet: {{path: /, port: 15006}}}}}},
                     {{livenessProbe: {{httpGet: {{path: '{path}', port: 8080}}}}}}, {{livenessProbe: {{httpGet: {{path: /, port: no}}}}}},
                     {{livenessProbe: {{httpGet: {{path: \"/a b\\n\\0ü*\", port: 8081}}}}}}, {{livenessProbe: {{grpc: {{port: 0}}}}}},
                     {{readinessProbe: {{httpGet: {{port: {{}}}}}}}}, 7]}}"
                ),
            ),
        ),
        // Policies.
        ("east", policy("words", "{mtls: {mode: MAYBE}, unknown: 1}")),
        (
            "east",
            policy(
                "ports",
                "{selector: {matchLabels: {security.istio.io/tlsMode: istio}}, mtls: {mode: STRICT},
                 portLevelMtls: {x: {mode: STRICT}, '0': {mode: STRICT}, '99999': {}, '15006': {mode: DISABLE}, '9000': {mode: 5},
                 '9001': {mode: PERMISSIVE}}}",
            ),
        ),
        ("east", policy("list", "[]")),
        ("east", policy("text", "{mtls: STRICT, selector: all}")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_no_envoy_refuses_what_it_is_sent() {
    need_namespaces();
    let mut world = World::new("").await;
    let web = world.web();
    world.say_web(&web[..2]);
    for (client, address) in [("client-1", "10.1.0.10"), ("client-2", "10.1.0.11")] {
        world.add(workload(client, "east", address), "0.0.0.0").await;
    }
    for pod in &web[..2] {
        world.add(pod.clone(), "0.0.0.0").await;
    }
    world.add_gateway(workload("gw-1", "east", "10.1.0.2"), GATEWAY_1).await;
    world.settled("client-1", (WEB_IN_EAST, 80), "web", "web-1").await;

    let mut wrong = wrong();
    wrong.extend(wrong_outside().into_iter().map(|text| ("east", text)));
    for (number, (member, text)) in wrong.iter().enumerate() {
        world.say(member, &format!("wrong-{number}.yaml"), text);
    }
    // What is said afterwards arrives at each, so all before it did.
    let late = workload("web-2", "east2", "10.1.0.21");
    let ports = [("http", 7080, 8080), ("tcp", 7090, 9000)];
    world.say(
        "east2",
        "late.yaml",
        &manifests::service("late", "10.96.0.60", &ports, &[&late]),
    );
    for client in ["client-1", "client-2"] {
        let ip = Ipv4Addr::new(10, 96, 0, 60);
        world.settled(client, (ip, 7080), "late.shop", "web-2").await;
        world.settled(client, (WEB_IN_EAST, 80), "web", "web-1").await;
        // What is right beside what is wrong counts.
        world
            .settled(client, (Ipv4Addr::new(10, 96, 1, 3), 7002), "ports", "web-1")
            .await;
    }
    world.nobody_refused_anything();
    for (number, (member, _)) in wrong.iter().enumerate() {
        let file = world.path("members").join(member).join(format!("wrong-{number}.yaml"));
        std::fs::remove_file(file).expect("it was there");
    }
    world.say(
        "east2",
        "late.yaml",
        &manifests::service("late", "10.96.0.61", &ports, &[&late]),
    );
    let ip = Ipv4Addr::new(10, 96, 0, 61);
    world.settled("client-1", (ip, 7080), "late", "web-2").await;
    world.nobody_refused_anything();
}

/// 5,000 services in one namespace: an Envoy takes them, and one more arrives as ever.
#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_services_in_a_namespace_are_taken() {
    need_namespaces();
    let mut world = World::new("").await;
    let web = world.web();
    world.say_web(&web[..1]);
    let many = (0..5_000).map(|number| {
        format!(
            "apiVersion: v1
kind: Service
metadata: {{name: service-{number}, namespace: shop}}
spec: {{clusterIP: 10.97.{}.{}, ports: [{{name: http, port: 80}}]}}
---
",
            number >> 8,
            number & 0xff
        )
    });
    world.say("east", "many.yaml", &many.collect::<String>());
    world.add(workload("client-1", "east", "10.1.0.10"), "0.0.0.0").await;
    world.add(web[0].clone(), "0.0.0.0").await;
    world.settled("client-1", (WEB_IN_EAST, 80), "web", "web-1").await;
    // Each of them is known: it has no endpoints, which is another answer than that nobody knows it.
    let all = async || match world.stat("client-1", &["cluster_manager.active_clusters"]) {
        clusters if clusters > 5_000 => Ok(()),
        clusters => Err(clusters.to_string()),
    };
    eventually("all of them to be there", DEADLINE, all)
        .await
        .expect("they are");
    world.say(
        "east",
        "late.yaml",
        &manifests::service("late", "10.96.0.60", &[("http", 80, 8080)], &[&web[0]]),
    );
    world
        .settled("client-1", (Ipv4Addr::new(10, 96, 0, 60), 80), "late", "web-1")
        .await;
    world.nobody_refused_anything();
}
