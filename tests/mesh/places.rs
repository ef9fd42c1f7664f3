//! What lies where, what it counts and which address it has (and, beside, who sees it), on real API servers and with two replicas of the control plane:
//! one serves the Envoys of east, the other those of west.
//!
//! ```text
//! net1: east   client-1 (z1 rack-1), web-1 (z1 rack-1), web-2 (z1 rack-2), web-3 (z2)     net2: west  client-2, web-4, vm-1
//!       east2  web-5                                                                              (east)  vm-2, a machine
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::client::{self, told};
use super::cluster::PodSpec;
use super::harness::DnsServer;
use super::load::{Load, POSTING};
use super::lookup::A;
use super::pod;
use super::resolved::virtual_address;
use super::space::need_namespaces;
use super::three::Three;

/// The replicas.
const EAST: &str = "east";
const OTHER: &str = "east-b";
pub(super) const CLIENTS: [&str; 2] = ["client-1", "client-2"];
pub(super) const WEB: [&str; 5] = ["web-1", "web-2", "web-3", "web-4", "web-5"];
const PODS: [PodSpec; 11] = [
    PodSpec::new("eastwest-1", "east", "net1", "10.1.0.2").reached_at("192.168.100.11"),
    PodSpec::new("eastwest-2", "west", "net2", "10.2.0.2").reached_at("192.168.100.12"),
    PodSpec::new("client-1", "east", "net1", "10.1.0.10").in_subzone("rack-1"),
    PodSpec::new("client-2", "west", "net2", "10.2.0.10"),
    PodSpec::new("web-1", "east", "net1", "10.1.0.20").in_subzone("rack-1"),
    PodSpec::new("web-2", "east", "net1", "10.1.0.21").in_subzone("rack-2"),
    PodSpec::new("web-3", "east", "net1", "10.1.0.22").in_zone("z2"),
    PodSpec::new("web-4", "west", "net2", "10.2.0.20"),
    PodSpec::new("web-5", "east2", "net1", "10.1.0.23"),
    PodSpec::new("vm-1", "west", "net2", "10.2.0.30"),
    // Known to the east, though it is on the other network.
    PodSpec::new("vm-2", "east", "net2", "10.2.0.31").is_machine(),
];
/// Where nobody is: a sidecar goes by the name that a request gives.
const NOWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const HTTP: &[(&str, u16)] = &[("http", 80)];
/// How long a sidecar may take to hear of what was closed, on a busy machine.
const LAG: Duration = Duration::from_millis(200);
/// How many requests are watched while nothing happens.
const AFTER: u64 = 60;

pub(super) struct Scene {
    /// Of each network, where nobody knows any name of the mesh.
    dns: [DnsServer; 2],
    pub(super) three: Three,
    /// The settings of both replicas, as they were.
    settings: BTreeMap<&'static str, String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_where_decides_who_gets_what() {
    need_namespaces();
    // What is hidden is blocked: a sidecar that tried its address from some port would have the kernel let a later connection of the
    // application from that port pass by.
    let traffic = "  requestsPerConnection: 1\n  outlier: {interval: 1s}\n  outside: block\n";
    let mut three = Three::start("12h", traffic).await;
    three.mesh.start_replica(EAST, OTHER, "192.168.100.51").await;
    three.mesh.served_by.insert("west", OTHER);
    for rack in ["rack-1", "rack-2"] {
        three.mesh.clusters["east"].node("z1", rack).await;
    }
    for pod in PODS {
        three.mesh.start_pod(pod).await;
    }
    let settings = [EAST, OTHER].map(|name| {
        let file = three.mesh.folder_of(name).join("parallax.yaml");
        (name, fs::read_to_string(file).expect("it is there"))
    });
    let dns = ["net1", "net2"].map(|network| three.mesh.dns_in(network));
    let mut scene = Scene {
        dns,
        three,
        settings: settings.into(),
    };
    let web = scene.web().await;
    scene.three.mesh.answered_by("client-1", web, &WEB).await;

    scene.an_address_is_the_same_at_all_replicas_and_after_a_restart().await;
    scene.what_is_not_exported_is_not_there().await;
    scene.weights_multiply().await;
    scene.a_machine_counts_what_its_entry_says().await;
    scene.hosts_weigh_too().await;
    scene.what_dies_is_replaced_by_the_next_nearest().await;
    scene.three.mesh.nobody_refused_anything();
}

impl Scene {
    pub(super) async fn web(&self) -> (Ipv4Addr, u16) {
        self.three.web("east").await
    }

    /// Has both replicas follow these settings: of the member east, of `traffic`, and of everything.
    pub(super) fn set(&self, east: &str, more: &str) {
        for (name, text) in &self.settings {
            let name_of_east = "  - name: east\n";
            assert!(text.contains(name_of_east), "{text}");
            let text = text.replace(name_of_east, &format!("{name_of_east}{east}")) + more;
            let file = self.three.mesh.folder_of(name).join("parallax.yaml");
            let written = file.with_extension("new");
            fs::write(&written, text).expect("it can be written");
            fs::rename(written, file).expect("it can be moved");
        }
    }

    /// A Service of `shop` in east2, for its pod of `web`.
    pub(super) async fn say_in_east2(&self, name: &str, annotations: &Value) {
        let ports: Vec<_> = HTTP
            .iter()
            .map(|(name, port)| json!({ "name": name, "port": port, "targetPort": 8080 }))
            .collect();
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": name, "namespace": "shop", "annotations": annotations },
            "spec": { "selector": { "app": "web" }, "ports": ports },
        });
        self.three.mesh.clusters["east2"].apply(&service).await;
    }

    /// How often each answered so many requests of a pod for a host, and what else came of them.
    fn count(&self, from: &str, to: Ipv4Addr, host: &str, requests: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.three.mesh.pods[from].space.within(|| {
            for _ in 0..requests {
                let by = match client::get((to, 80).into(), host, "/") {
                    Ok(answer) if answer.status == 200 => told(&answer)["pod"].as_str().expect("a name").to_owned(),
                    other => format!("{other:?}"),
                };
                *counts.entry(by).or_default() += 1;
            }
        });
        counts
    }

    /// Waits until just these answer, each so often; one or two may be off where many Envoys take turns.
    async fn shares(&self, from: &str, to: Ipv4Addr, host: &str, expected: &[(&str, usize)]) {
        let requests = expected.iter().map(|(_, share)| share).sum();
        let what = format!("{expected:?} of {host} at {from}");
        self.three
            .mesh
            .until(&what, async || {
                let counts = self.count(from, to, host, requests);
                let right =
                    |(pod, share): &(&str, usize)| counts.get(*pod).is_some_and(|count| count.abs_diff(*share) <= 2);
                match counts.len() == expected.len() && expected.iter().all(right) {
                    true => Ok(()),
                    false => Err(format!("{counts:?}")),
                }
            })
            .await;
    }
}

/// Names and addresses.
impl Scene {
    async fn an_address_is_the_same_at_all_replicas_and_after_a_restart(&mut self) {
        self.say_in_east2("cart", &json!({})).await;
        let cart = self.address("cart").await;
        for client in CLIENTS {
            let answer = self
                .three
                .mesh
                .lookup(client, "cart.shop.global", A)
                .expect("an answer");
            assert!((30..=300).contains(&answer.ttl), "{client}: {answer:?}");
            self.shares(client, cart, "cart.shop", &[("web-5", 4)]).await;
        }
        self.names_are_told_when_they_change_and_not_before().await;

        // Whoever looks again has been told by the new process, since it knows a name that the old one did not.
        for (name, store) in [("later", "with"), ("latest", "without")] {
            self.three.mesh.kill_control_plane(EAST);
            let kept = self.three.mesh.folder_of(EAST).join("last-known-good.redb");
            assert!(kept.exists());
            if store == "without" {
                fs::remove_file(kept).expect("it is there");
            }
            self.say_in_east2(name, &json!({})).await;
            self.three.mesh.restart_control_plane(EAST).await;
            self.address(name).await;
            assert_eq!(self.address("cart").await, cart, "{store} what was stored");
        }
    }

    /// The virtual address of a service, which both replicas give.
    pub(super) async fn address(&self, service: &str) -> Ipv4Addr {
        let name = format!("{service}.shop.global");
        let [one, other] = [
            virtual_address(&self.three.mesh, CLIENTS[0], &name).await,
            virtual_address(&self.three.mesh, CLIENTS[1], &name).await,
        ];
        assert_eq!(one, other, "{service}");
        one
    }

    /// An update of the listener that answers for names would cut off questions that are under way.
    async fn names_are_told_when_they_change_and_not_before(&self) {
        let mesh = &self.three.mesh;
        let seen = || {
            let of = |what: &str| mesh.stat("client-1", &[&format!("listener_manager.{what}")]);
            [
                "lds.update_success",
                "listener_modified",
                "listener_added",
                "listener_removed",
            ]
            .map(of)
        };
        let web = self.web().await;
        let before = seen();
        for _ in 0..2 {
            mesh.report("web-5", false).await;
            mesh.answered_by("client-1", web, &WEB[..4]).await;
            mesh.report("web-5", true).await;
            mesh.answered_by("client-1", web, &WEB).await;
        }
        assert_eq!(seen(), before, "endpoints come and go");
        self.say_in_east2("late", &json!({})).await;
        self.address("late").await;
        let [updates, modified, added, removed] = before;
        assert_eq!(seen(), [updates + 1, modified + 1, added, removed], "a new name");
    }
}

/// What counts how much.
impl Scene {
    /// Of the member, of the network, of the zone.
    async fn weights_multiply(&self) {
        let (web, _) = self.web().await;
        self.set(
            "    weight: 200\n",
            "networks: {net-west: {weight: 50}}\nzones: {east/east-z2: {weight: 50}}\n",
        );
        let expected = [
            ("web-1", 40),
            ("web-2", 40),
            ("web-3", 20),
            ("web-4", 10),
            ("web-5", 20),
        ];
        self.shares("client-1", web, "web", &expected).await;
        self.set("", "zones: {east/east-z1: {weight: 0}, east: {weight: 300}}\n");
        let expected = [("web-3", 30), ("web-4", 10), ("web-5", 10)];
        self.shares("client-1", web, "web", &expected).await;
        self.set("", "");
        self.three.mesh.answered_by("client-1", (web, 80), &WEB).await;
    }

    async fn a_machine_counts_what_its_entry_says(&self) {
        let mesh = &self.three.mesh;
        let ports = json!([{ "name": "http", "port": 80, "targetPort": 8080 }]);
        for member in ["east", "west"] {
            mesh.clusters[member].service("vm", &ports).await;
        }
        let entry = json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "WorkloadEntry",
            "metadata": { "name": "vm-2", "namespace": "shop" },
            "spec": {
                "address": "10.2.0.31",
                "labels": { "app": "vm" },
                "network": "net-west",
                "locality": "west/west-z1/rack-9",
                "weight": 3,
                "serviceAccount": "vm",
            },
        });
        mesh.clusters["east"].apply(&entry).await;
        let explained = async || match mesh.parallax_at(OTHER, &["get", "endpoints", "vm.shop", "-o", "json"]) {
            text if text.contains("rack-9") => Ok(()),
            text => Err(text),
        };
        mesh.until("its place to be shown", explained).await;
        let [near, far] = ["10.2.0.31:8080", "192.168.100.12:15443"];
        for (client, member, way) in [("client-1", "east", far), ("client-2", "west", near)] {
            let to = mesh.clusters[member].cluster_ip("vm").await;
            self.shares(client, to, "vm", &[("vm-1", 10), ("vm-2", 30)]).await;
            mesh.logged(client, &format!("upstream={way}")).await;
        }
        let direct = mesh.log("client-1").join("\n");
        assert!(!direct.contains("upstream=10.2.0."), "{direct}");
        // From its own network it sees what lies there, and is known by its account.
        let (web, _) = self.web().await;
        mesh.answered_by("vm-2", (web, 80), &WEB).await;
        let answer = mesh.get("vm-2", (web, 80), "web").expect("it answers");
        let peer = told(&answer)["peer"].as_str().unwrap_or_default().to_owned();
        assert!(peer.contains("URI=spiffe://cluster.local/ns/shop/sa/vm"), "{peer}");
    }

    /// Addresses that are told, and names that the sidecar looks up.
    async fn hosts_weigh_too(&self) {
        let mesh = &self.three.mesh;
        let machines = [("api-1", "192.168.100.80"), ("api-2", "192.168.100.81")];
        let spaces = machines.map(|(name, address)| {
            let space = mesh.ground.outside(name, address);
            pod::application(&space, name, "0.0.0.0");
            space
        });
        let names = ["one.example.test", "two.example.test"];
        for (name, (_, address)) in names.iter().zip(machines) {
            self.dns[0].leads_to(name, &[address]);
        }
        for (host, resolution, addresses) in [
            ("told.example.com", "STATIC", machines.map(|(_, address)| address)),
            ("named.example.com", "DNS", names),
        ] {
            let mut entry = json!({
                "apiVersion": "networking.istio.io/v1",
                "kind": "ServiceEntry",
                "metadata": { "name": host, "namespace": "shop" },
                "spec": {
                    "hosts": [host],
                    "location": "MESH_EXTERNAL",
                    "resolution": resolution,
                    "ports": [{ "number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8080 }],
                    "endpoints": [{ "address": addresses[0], "weight": 3 }, { "address": addresses[1] }],
                },
            });
            mesh.clusters["east"].apply(&entry).await;
            let expected = [("api-1", 30), ("api-2", 10)];
            self.shares("client-1", NOWHERE, host, &expected).await;
            // Not for this namespace: it is as unknown as any other.
            entry["spec"]["exportTo"] = json!(["other"]);
            mesh.clusters["east"].apply(&entry).await;
            let hidden = async || match mesh.get("client-1", (NOWHERE, 80), host) {
                Ok(answer) if answer.status == 502 => Ok(()),
                other => Err(format!("{other:?}")),
            };
            mesh.until(&format!("{host} to be hidden"), hidden).await;
        }
        // What is looked up near comes first too.
        self.set("", "  locality: {mode: failover}\n");
        let entry = json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": { "name": "near", "namespace": "shop" },
            "spec": {
                "hosts": ["near.example.com"],
                "resolution": "DNS",
                "ports": [{ "number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8080 }],
                "endpoints": [
                    { "address": names[0], "locality": "east/east-z1" },
                    { "address": names[1], "locality": "west/west-z1" },
                ],
            },
        });
        mesh.clusters["east"].apply(&entry).await;
        self.shares("client-1", NOWHERE, "near.example.com", &[("api-1", 12)])
            .await;
        spaces[0].shell("iptables -w -I INPUT -p tcp --dport 8080 -j REJECT --reject-with tcp-reset");
        let counts = self.count("client-1", NOWHERE, "near.example.com", 40);
        assert!(counts.keys().eq(["api-2"]), "{counts:?}");
        self.set("", "");
        drop(spaces);
    }
}

/// What is near comes first.
impl Scene {
    /// The rack, the zone, the region, the region that the settings name, any other; and back. That something died is said only after
    /// others took over.
    async fn what_dies_is_replaced_by_the_next_nearest(&mut self) {
        let web = self.web().await;
        self.set(
            "",
            "  locality: {mode: failover, failover: [{from: east, to: [west]}]}\n",
        );
        self.three.mesh.answered_by("client-1", web, &WEB[..1]).await;
        let load = self.three.load("client-1").await;
        for (at, pod) in WEB[..4].iter().copied().enumerate() {
            load.goes_on(AFTER).await;
            nothing_failed(&load, None, &format!("only {pod} answers"));
            self.three.mesh.kill_envoy(pod);
            let dead = Instant::now() + LAG;
            let next = WEB[at + 1];
            let answers = self.three.mesh.answered_by("client-1", web, &[next]).await;
            assert!(answers.keys().all(|by| WEB.contains(&by.as_str())), "{answers:?}");
            load.goes_on(AFTER).await;
            nothing_failed(&load, Some((dead, 1)), &format!("{pod} died, {next} answers"));
            self.three.mesh.report(pod, false).await;
        }
        for pod in WEB[..4].iter().copied().rev() {
            self.three.mesh.restart_envoy(pod).await;
            self.three.mesh.answered_by("client-1", web, &[pod]).await;
            load.goes_on(AFTER).await;
            nothing_failed(&load, None, &format!("{pod} is back"));
        }
        // The whole region in one moment: three steps that lead nowhere.
        for pod in &WEB[..3] {
            self.three.mesh.kill_envoy(pod);
        }
        let dead = Instant::now() + LAG;
        let answers = self.three.mesh.answered_by("client-1", web, &WEB[3..4]).await;
        assert!(answers.keys().all(|by| WEB.contains(&by.as_str())), "{answers:?}");
        load.goes_on(AFTER).await;
        nothing_failed(&load, Some((dead, 3)), "the region died, the next answers");
        for pod in &WEB[..3] {
            self.three.mesh.report(pod, false).await;
            self.three.mesh.restart_envoy(pod).await;
        }
        self.three.mesh.answered_by("client-1", web, &WEB[..1]).await;
        load.goes_on(AFTER).await;
        nothing_failed(&load, None, "the region is back");
        let (_, sent) = load.end();
        eprintln!("of {sent} requests none failed that could be asked again");
        // Where to go from a region that is drained: the settings say.
        for (order, next) in [
            ("", &WEB[3..]),
            (", failover: [{from: east, to: [west]}]", &WEB[3..4]),
            (", order: [network, region, zone]", &WEB[4..]),
        ] {
            let drained = "zones: {east: {weight: 0}}";
            self.set("", &format!("  locality: {{mode: failover{order}}}\n{drained}\n"));
            self.three.mesh.answered_by("client-1", web, next).await;
        }
        self.set("", "");
        self.three.mesh.answered_by("client-1", web, &WEB).await;
    }
}

/// Since the last look; but requests that do something and were under way when so many pods died, one of each that sends them and pod
/// at most.
fn nothing_failed(load: &Load, died: Option<(Instant, usize)>, what: &str) {
    let seen = load.take();
    let excused = |failed: Instant| died.is_some_and(|(died, _)| failed < died);
    let (may, lost): (Vec<_>, Vec<_>) = seen.failed_posts.iter().partition(|failure| excused(failure.began));
    eprintln!(
        "{what}: of {} requests {} failed, {} POSTs that were under way, the slowest took {:?}",
        seen.requests,
        seen.failures.len() + lost.len(),
        may.len(),
        seen.slowest
    );
    let pods = died.map_or(0, |(_, pods)| pods);
    assert!(
        seen.failures.is_empty() && lost.is_empty() && may.len() <= POSTING * pods,
        "{what}: {:?} {lost:?} {}",
        seen.failures,
        may.len()
    );
}
