//! What is near comes first, what fails is taken out, what is drained is sent nothing, and what is not for others is not reached.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

use super::harness::eventually;
use super::manifests;
use super::pod::Workload;
use super::space::need_namespaces;
use super::tls::{first_byte, open};
use super::world::{DEADLINE, GATEWAY_2, WEB_IN_EAST, WEB_IN_WEST, World, told, workload};

const GATEWAY_3: &str = "192.168.100.13";
const FAR: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 60);
const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 61);
const SECRET: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 62);
const HTTP: &[(&str, u16, u16)] = &[("http", 80, 8080)];
const SETTINGS: &str = "  mtls: strict
  locality: {mode: failover}
  outlier: {interval: 1s, ejection: 60s}
mesh: {clusterLocal: [local.shop]}
";

/// A pod and its region and zone.
type Placed = (Workload, &'static str);

fn pods() -> Vec<Placed> {
    vec![
        (workload("web-1", "east", "10.1.0.20"), "r1.a"),
        (workload("web-2", "east2", "10.1.0.21"), "r1.b"),
        (workload("web-3", "west", "10.2.0.20"), "r2.c"),
        (workload("web-4", "west", "10.2.0.21"), "r2.c"),
        (workload("web-5", "west", "10.2.0.22"), "r2.c"),
    ]
}

/// A Service with these annotations and those of the pods that are in the member.
fn service(name: &str, ip: Ipv4Addr, annotations: &str, member: &str, pods: &[Placed]) -> String {
    let here: Vec<_> = pods.iter().filter(|(pod, _)| pod.member == member).collect();
    let workloads: Vec<_> = here.iter().map(|(pod, _)| pod).collect();
    let mut text = manifests::service(name, &ip.to_string(), HTTP, &workloads);
    for (pod, place) in here {
        let labels = format!("  name: {}\n  namespace: shop\n  labels:\n", pod.name);
        assert!(text.contains(&labels), "{text}");
        text = text.replace(&labels, &format!("{labels}    topology.istio.io/locality: {place}\n"));
    }
    let head = "  namespace: shop\nspec:";
    assert!(text.contains(head), "{text}");
    text.replacen(
        head,
        &format!("  namespace: shop\n  annotations: {{{annotations}}}\nspec:"),
        1,
    )
}

/// Requests so far, and what went wrong.
#[derive(Debug, Default)]
struct Tally {
    requests: usize,
    failed: Vec<String>,
    pods: std::collections::BTreeSet<String>,
}

impl World {
    fn note(&self, tally: &mut Tally, to: (Ipv4Addr, u16), host: &str) {
        tally.requests += 1;
        match self.get("client-1", to, host) {
            Ok(answer) if answer.status == 200 => {
                tally
                    .pods
                    .insert(told(&answer)["pod"].as_str().unwrap_or_default().to_owned());
            }
            other => tally.failed.push(format!("{other:?}")),
        }
    }

    /// Asks until so many endpoints of `web` are taken out, and for how long that took.
    async fn until_ejected(&self, count: u64) -> (Tally, Duration) {
        let begun = Instant::now();
        let mut tally = Tally::default();
        while self.ejected() != count {
            assert!(
                begun.elapsed() < DEADLINE,
                "{count} of {}\n{tally:?}\n{}",
                self.ejected(),
                self.everything()
            );
            self.note(&mut tally, (WEB_IN_EAST, 80), "web");
        }
        (tally, begun.elapsed())
    }

    fn ejected(&self) -> u64 {
        self.stat("client-1", &["80||web.shop", "outlier_detection.ejections_active"])
    }

    /// Waits until the client gets this status of `far`, which is in the other network only.
    async fn far_answers(&self, status: u16) {
        let look = async || match self.get("client-1", (FAR, 80), "far.shop") {
            Ok(answer) if answer.status == status => Ok(()),
            other => Err(format!("{other:?}")),
        };
        self.until(&format!("{status} of far"), look).await;
    }

    fn add_settings(&self, more: &str) {
        self.change_settings(|text| text.split("#more\n").next().unwrap_or_default().to_owned() + "#more\n" + more);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_near_comes_first_and_what_fails_or_is_drained_or_not_for_others_is_not_reached() {
    need_namespaces();
    let mut world = World::new(SETTINGS).await;
    let pods = pods();
    let client = (workload("client-1", "east", "10.1.0.10"), "r1.a");
    world.say(
        "east",
        "client.yaml",
        &service(
            "client",
            Ipv4Addr::new(10, 96, 0, 9),
            "",
            "east",
            std::slice::from_ref(&client),
        ),
    );
    for (member, ip) in [("east", WEB_IN_EAST), ("east2", WEB_IN_EAST), ("west", WEB_IN_WEST)] {
        world.say(member, "web.yaml", &service("web", ip, "", member, &pods));
    }
    for (name, ip, annotations) in [
        ("far", FAR, ""),
        ("local", LOCAL, ""),
        ("secret", SECRET, "networking.istio.io/exportTo: '~'"),
    ] {
        world.say(
            "west",
            &format!("{name}.yaml"),
            &service(name, ip, annotations, "west", &pods),
        );
    }
    let two = manifests::gateway("net2", GATEWAY_2) + &format!("      - ip: {GATEWAY_3}\n");
    world.say("west", "gateway.yaml", &two);
    world.add(client.0, "0.0.0.0").await;
    world.add(workload("client-2", "west", "10.2.0.10"), "0.0.0.0").await;
    for (pod, _) in &pods {
        world.add(pod.clone(), "0.0.0.0").await;
    }
    let mut rogue = workload("rogue", "west", "10.2.0.99");
    rogue.sidecar = false;
    world.add(rogue, "0.0.0.0").await;
    world.add_gateway(workload("gw-2", "west", "10.2.0.2"), GATEWAY_2).await;
    world.add_gateway(workload("gw-3", "west", "10.2.0.3"), GATEWAY_3).await;

    what_is_not_for_others(&world).await;
    what_is_drained(&world, &pods).await;
    what_fails_mostly(&world).await;
    zones_that_are_drained(&world).await;
    what_a_service_says(&world, &pods).await;
    what_fails(&mut world).await;
    world.nobody_refused_anything();
}

async fn what_is_not_for_others(world: &World) {
    world.far_answers(200).await;
    // `local` is for its own member, `secret` for nobody; neither has a cluster at the gateway.
    world.settled("client-2", (LOCAL, 80), "local.shop", "web-3").await;
    let answered =
        |from: &str, ip, host: &str| world.get(from, (ip, 80), host).is_ok_and(|answer| answer.status == 200);
    assert!(!answered("client-1", LOCAL, "local.shop"));
    assert!(!answered("client-2", SECRET, "secret.shop"));
    let ours = world.root.workload("spiffe://cluster.local/ns/other/sa/visitor");
    for (count, name) in [(0, "far"), (1, "local"), (2, "secret")] {
        let sni = format!("outbound_.80_._.{name}.shop.svc.cluster.local");
        let to: SocketAddr = "10.2.0.2:15443".parse().expect("an address");
        let answer = world.pods["rogue"]
            .space
            .within(|| first_byte(open(to, &sni, &["istio-http/1.1"], Some(&ours))?));
        assert_eq!(answer.is_ok(), name == "far", "{name}");
        let look = async || match world.stat("gw-2", &["downstream_cx_no_route"]) {
            seen if seen == count => Ok(()),
            seen => Err(seen.to_string()),
        };
        eventually("the gateway to find no route", DEADLINE, look)
            .await
            .expect("it counts");
    }
}

async fn what_is_drained(world: &World, pods: &[Placed]) {
    let say = |annotations: &str| world.say("west", "far.yaml", &service("far", FAR, annotations, "west", pods));
    let why = |reason: &str| {
        for command in [
            &["get", "endpoints", "far.shop"][..],
            &["explain", "far.shop", "--member", "east"],
        ] {
            let text = world.ask_by_command(command);
            assert!(text.contains(reason), "{command:?} without {reason}:\n{text}");
        }
    };
    say("parallax.dev/weight: '0'");
    world.far_answers(503).await;
    why("the Service in member west is drained: its annotation parallax.dev/weight is 0");
    say("");
    world.far_answers(200).await;
    world.add_settings("networks: {net2: {weight: 0}}\n");
    world.far_answers(503).await;
    why("network net2 is drained: its weight is 0 in `networks` of the settings");
    world.add_settings("");
    world.far_answers(200).await;
}

/// A pod that answers well now and then never fails often enough in a row: what takes it out is how much of all fails.
async fn what_fails_mostly(world: &World) {
    let acted = |rule: &str| world.stat("client-2", &["80||far.shop", "outlier_detection", rule]);
    world.settled("client-2", (FAR, 80), "far.shop", "web-3").await;
    let begun = Instant::now();
    let mut requests = 0;
    while acted("ejections_active") == 0 {
        assert!(
            begun.elapsed() < DEADLINE,
            "{requests} requests\n{}",
            world.everything()
        );
        // The three pods take turns: web-3 answers one in 14 of those that it gets.
        for turn in 0..14 {
            let path = if turn == 0 { "/" } else { "/?fail=web-3" };
            for _ in 0..3 {
                world
                    .ask("client-2", (FAR, 80), "far.shop", path)
                    .expect("a sidecar answers");
                requests += 1;
            }
        }
    }
    eprintln!(
        "a pod that mostly fails is taken out after {:?} and {requests} requests",
        begun.elapsed()
    );
    assert_eq!(acted("ejections_enforced_failure_percentage"), 1);
    assert_eq!(acted("ejections_enforced_total"), 1);
    assert_eq!(acted("ejections_enforced_consecutive"), 0);
    // Workers may hear of it a second later: Envoy merges what changes in the health of endpoints within one.
    let only_others = async || {
        for _ in 0..12 {
            match world.ask("client-2", (FAR, 80), "far.shop", "/?fail=web-3") {
                Ok(answer) if answer.status == 200 && told(&answer)["pod"] != "web-3" => {}
                other => return Err(format!("{other:?}")),
            }
        }
        Ok(())
    };
    world.until("web-3 to be asked nothing", only_others).await;
    assert_eq!(acted("ejections_active"), 1);
}

/// Where the settings treat all alike, a Service may want its callers served nearby, and weigh what is in a member.
async fn what_a_service_says(world: &World, pods: &[Placed]) {
    let to = (WEB_IN_EAST, 80);
    let say = |annotations: &str, spec: &str| {
        for (member, ip) in [("east", WEB_IN_EAST), ("east2", WEB_IN_EAST), ("west", WEB_IN_WEST)] {
            let annotations = if member == "east2" { annotations } else { "" };
            let text = service("web", ip, annotations, member, pods);
            let head = "spec:\n  clusterIP";
            assert!(text.contains(head), "{text}");
            let text = text.replacen(head, &format!("spec:\n{spec}  clusterIP"), 1);
            world.say(member, "web.yaml", &text);
        }
    };
    let all = ["web-1", "web-2", "web-3", "web-4", "web-5"];
    world.change_settings(|text| text.replace("{mode: failover}", "{mode: off}"));
    world.answered_by("client-1", to, &all).await;
    say("", "  trafficDistribution: PreferSameZone\n");
    world.answered_by("client-1", to, &["web-1"]).await;
    say("parallax.dev/weight: '50'", "");
    // The one pod of that member counts half of one of the other four.
    let shares = async || {
        let counts = world.count("client-1", to, 90);
        let is = |pod: &str, share: usize| counts.get(pod).is_some_and(|count| count.abs_diff(share) <= 3);
        match is("web-2", 10) && all.iter().filter(|pod| **pod != "web-2").all(|pod| is(pod, 20)) {
            true => Ok(()),
            false => Err(format!("{counts:?}")),
        }
    };
    world.until("half a share", shares).await;
    say("", "");
    world.change_settings(|text| text.replace("{mode: off}", "{mode: failover}"));
    world.answered_by("client-1", to, &["web-1"]).await;
}

async fn zones_that_are_drained(world: &World) {
    let to = (WEB_IN_EAST, 80);
    // From the own zone to the next, then to the next region, behind whose gateways one zone is all there is; and back.
    world.settled("client-1", to, "web", "web-1").await;
    world.add_settings("zones: {r1/a: {weight: 0}}\n");
    world.settled("client-1", to, "web", "web-2").await;
    let said = world.ask_by_command(&["get", "endpoints", "web.shop"]);
    assert!(
        said.contains("zone r1/a is drained: its weight is 0 in `zones` of the settings"),
        "{said}"
    );
    world.add_settings("zones: {r1: {weight: 0}}\n");
    let asked = |tally: &mut Tally| world.note(tally, to, "web");
    let look = async || {
        let mut tally = Tally::default();
        (0..10).for_each(|_| asked(&mut tally));
        match tally.failed.is_empty()
            && tally
                .pods
                .iter()
                .all(|pod| ["web-3", "web-4", "web-5"].contains(&&**pod))
        {
            true => Ok(()),
            false => Err(format!("{tally:?}")),
        }
    };
    if let Err(late) = eventually("only the other region", DEADLINE, look).await {
        panic!("{late:#}\n{}", world.everything());
    }
    world.far_answers(200).await;
    world.add_settings("zones: {r2/c: {weight: 0}, r9: {weight: 0}}\n");
    world.far_answers(503).await;
    world.settled("client-1", to, "web", "web-1").await;
    let explained = world.ask_by_command(&["explain", "far.shop", "--member", "east"]);
    assert!(explained.contains("zone_drained"), "{explained}");
    let linted = world.ask_by_command(&["lint"]);
    assert!(linted.contains("zones.r9") && !linted.contains("zones.r2"), "{linted}");
    world.add_settings("");
    world.far_answers(200).await;
}

async fn what_fails(world: &mut World) {
    let only = |pod: &str| [pod.to_owned()].into();
    // The own zone first.
    world.settled("client-1", (WEB_IN_EAST, 80), "web", "web-1").await;
    let mut tally = Tally::default();
    for _ in 0..20 {
        world.note(&mut tally, (WEB_IN_EAST, 80), "web");
    }
    assert_eq!((tally.failed.len(), tally.pods), (0, only("web-1")));

    // It dies, nobody says so, and the next zone answers; that too, and the next region does, through its gateways.
    world.kill_envoy("web-1");
    let (tally, took) = world.until_ejected(1).await;
    eprintln!(
        "a dead pod is taken out after {took:?}: {} of {} requests failed",
        tally.failed.len(),
        tally.requests
    );
    assert_eq!((tally.failed, tally.pods), (vec![], only("web-2")));
    world.kill_envoy("web-2");
    let (tally, took) = world.until_ejected(2).await;
    eprintln!(
        "the next too after {took:?}: {} of {} requests failed",
        tally.failed.len(),
        tally.requests
    );
    assert_eq!(tally.failed, Vec::<String>::new());

    // Behind the gateways the application of one of three is dead, which its sidecar answers with 503: what is asked there is asked
    // twice more, in 1 of 27 cases there again. No gateway is taken out for it.
    world.pods["web-5"]
        .space
        .shell("iptables -w -I INPUT -i lo -p tcp --dport 8080 -j REJECT --reject-with tcp-reset");
    let mut tally = Tally::default();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(8) {
        world.note(&mut tally, (WEB_IN_EAST, 80), "web");
        assert_eq!(world.ejected(), 2, "after {} requests", tally.requests);
    }
    let tried = world.stat("client-1", &["cluster.outbound|80||web.shop", "upstream_rq_retry"]);
    eprintln!(
        "one of three behind the gateways bad: {} of {} requests failed, {tried} tries",
        tally.failed.len(),
        tally.requests
    );
    let well = tally.pods.into_iter().collect::<Vec<_>>();
    assert_eq!(well, ["web-3", "web-4"]);
    assert!(tally.failed.len() * 10 < tally.requests, "{:?}", tally.failed);
    assert!(tried > 10, "{tried}");

    // A gateway dies.
    world.pods["web-5"]
        .space
        .shell("iptables -w -D INPUT -i lo -p tcp --dport 8080 -j REJECT --reject-with tcp-reset");
    world.kill_envoy("gw-3");
    let (tally, took) = world.until_ejected(3).await;
    eprintln!(
        "a dead gateway is taken out after {took:?}: {} of {} requests failed",
        tally.failed.len(),
        tally.requests
    );
    assert_eq!(tally.failed, Vec::<String>::new());
}
