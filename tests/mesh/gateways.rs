//! What changes while requests go on: pods, gateways, services, the control plane itself.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::harness::eventually;
use super::manifests;
use super::pod;
use super::space::need_namespaces;
use super::world::{DEADLINE, GATEWAY_2, HOME, WEB_IN_EAST, World, workload};

const WEB: (Ipv4Addr, u16) = (WEB_IN_EAST, 80);

impl World {
    /// Services come and go while requests to them never pause: at no moment do routes name a cluster that is not there.
    async fn services_come_and_go(&self) {
        const ROUNDS: usize = 8;
        let ip = Ipv4Addr::new(10, 96, 0, 51);
        let web_3 = workload("web-3", "west", "10.2.0.20");
        let manifest = manifests::service("brief", "10.96.0.51", &[("http", 80, 8080)], &[&web_3]);
        // One speaks delta, the other the state of the world.
        let clients = ["client-1", "client-2"];
        let stop = AtomicBool::new(false);
        let requests = || {
            for client in clients.iter().cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                // Most find no such service. How each ended is in the log.
                let _ = self.get(client, (ip, 80), "brief.shop");
            }
        };
        let changes = async || {
            for _ in 0..ROUNDS {
                self.say("west", "brief.yaml", &manifest);
                for client in clients {
                    self.settled(client, (ip, 80), "brief.shop", "web-3").await;
                }
                std::fs::remove_file(self.path("members").join("west/brief.yaml")).expect("it was there");
                for client in clients {
                    let gone = eventually("the service to be gone", DEADLINE, async || {
                        match self.get(client, (ip, 80), "brief.shop") {
                            Ok(answer) if answer.status == 200 => Err("it is answered".to_owned()),
                            _ => Ok(()),
                        }
                    });
                    gone.await.expect("it goes");
                }
            }
        };
        let handle = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(requests);
                }
                handle.block_on(changes());
                stop.store(true, Ordering::Relaxed);
            });
        });
        for client in clients {
            let log = self.log(client);
            let brief: Vec<_> = log.iter().filter(|line| line.contains("\"GET brief.shop/\"")).collect();
            let answered = brief.iter().filter(|line| line.contains("status=200")).count();
            assert!(answered >= ROUNDS, "{client}: {answered} of {}", brief.len());
            // No cluster, or one without endpoints; but what was under way when the service went may find none at its second try.
            let first_try = |line: &&&String| line.contains("flags=UH") && line.contains("attempts=1 ");
            let lost = brief.iter().filter(|line| line.contains("flags=NC") || first_try(line));
            let lost: Vec<_> = lost.collect();
            assert!(
                lost.is_empty(),
                "{client}: {} of {}: {lost:#?}",
                lost.len(),
                brief.len()
            );
        }
    }
}

/// A gateway chooses a pod for each connection: whoever keeps one stays with its pod, until it is replaced. What is under way on it then
/// is answered.
async fn connections_that_grow_old_are_replaced(world: &World) {
    let mut before = "requestsPerConnection: 1\n".to_owned();
    let mut say = async |age: &str, held: &str| {
        let now = format!("requestsPerConnection: 0\n  connectionAge: {age}\n");
        world.change_settings(|text| text.replace(&before, &now));
        before = now;
        let look = async || {
            let path = "/config_dump?resource=dynamic_active_clusters";
            let clusters = pod::admin(&world.pods["client-1"].space, path);
            match !clusters.contains("max_requests_per_connection")
                && clusters.contains("max_connection_duration") != held.is_empty()
                && clusters.contains(held)
            {
                true => Ok(()),
                false => Err(clusters),
            }
        };
        world.until(&format!("connections of {age}"), look).await;
    };
    say("0s", "").await;
    let counts = world.count("client-1", WEB, 40);
    assert_eq!(counts.len(), 3, "one of two behind the gateway: {counts:?}");

    say("1s", "\"max_connection_duration\": \"1s\"").await;
    let mut seen = BTreeSet::new();
    let look = async || {
        seen.extend(world.count("client-1", WEB, 4).into_keys());
        match seen.iter().eq(["web-1", "web-2", "web-3", "web-4"].iter()) {
            true => Ok(()),
            false => Err(format!("{seen:?}")),
        }
    };
    world.until("both behind the gateway to answer", look).await;
    let slow = || world.ask("client-1", WEB, "web", "/?wait=3000");
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(slow)).collect();
        asking.into_iter().map(|one| one.join().expect("it ends")).collect()
    });
    for answer in answers {
        assert_eq!(answer.expect("it is answered").status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_on_while_things_change() {
    need_namespaces();
    let mut world = World::usual("  mtls: strict\n").await;
    let all = ["web-1", "web-2", "web-3", "web-4"];
    world.answered_by("client-1", WEB, &all).await;

    // Pods come and go, behind the gateway too.
    let mut web = world.web();
    let gone = web.pop().expect("there are four");
    world.say_web(&web);
    world.answered_by("client-1", WEB, &all[..3]).await;
    web.push(gone);
    world.say_web(&web);
    world.answered_by("client-1", WEB, &all).await;

    // The gateway goes: what is behind it is withheld, nothing fails.
    std::fs::remove_file(world.path("members").join("west/gateway.yaml")).expect("it was there");
    world.answered_by("client-1", WEB, &all[..2]).await;
    world.say("west", "gateway.yaml", &manifests::gateway("net2", GATEWAY_2));
    world.answered_by("client-1", WEB, &all).await;

    // A new service, on a port of its own and on one that others have; then it goes.
    let ip = Ipv4Addr::new(10, 96, 0, 50);
    let web_3 = workload("web-3", "west", "10.2.0.20");
    let ports = [("http", 80, 8080), ("http-new", 8088, 8080)];
    world.say(
        "west",
        "late.yaml",
        &manifests::service("late", "10.96.0.50", &ports, &[&web_3]),
    );
    for port in [80, 8088] {
        // It has no address in the client's member, and its name is enough.
        world.settled("client-1", (ip, port), "late.shop", "web-3").await;
    }
    std::fs::remove_file(world.path("members").join("west/late.yaml")).expect("it was there");
    let look = async || match world.get("client-1", (ip, 8088), "late.shop") {
        Ok(answer) if answer.status == 200 => Err("it is answered".to_owned()),
        _ => Ok(()),
    };
    eventually("the service to be gone", DEADLINE, look)
        .await
        .expect("it goes");

    world.services_come_and_go().await;

    // Without a control plane everything goes on; with it again nothing is sent anew.
    world.kill_control_plane(HOME);
    world.answered_by("client-1", WEB, &all).await;
    world.restart_control_plane(HOME).await;
    world.say_web(&web[..3]);
    world.answered_by("client-1", WEB, &all[..3]).await;

    world.say_web(&web);
    world.answered_by("client-1", WEB, &all).await;
    connections_that_grow_old_are_replaced(&world).await;
    world.nobody_refused_anything();
}
