//! Several replicas on the same real API servers: all serve the same, and one writes.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout};

use super::control_plane::ControlPlane;
use super::envoys::DEADLINE;
use super::harness::{Kubernetes, eventually};
use super::kubernetes::{furnish, run_pod};
use super::member_objects::{Objects, settings};
use super::raw::{CDS, EDS, RawConnection, RawStream, ack, first, framed};

const HELD: &str = "parallax_control_lease_held";

/// Waits until just this replica holds the Lease; at no time may two.
async fn holds(replicas: &mut [&mut ControlPlane], expected: usize) {
    let look = async || {
        let mut held = Vec::new();
        for replica in replicas.iter_mut() {
            held.push(replica.metric(HELD).await == 1.0);
        }
        let holders = held.iter().filter(|held| **held).count();
        assert!(holders <= 1, "two replicas write: {held:?}");
        if held[expected] {
            Ok(())
        } else {
            Err(format!("{held:?}"))
        }
    };
    let what = format!("replica {expected} to hold the Lease");
    eventually(&what, DEADLINE, look).await.expect("it does");
}

#[tokio::test]
async fn one_replica_writes_and_another_takes_over() {
    let (_kubernetes, home, mut west) = Kubernetes::start_two(["home", "west"])
        .await
        .expect("etcd and API servers start");
    let home_client = furnish(&home, "net1", "192.0.2.1").await;
    furnish(&west, "net2", "192.0.2.2").await;
    let objects = Objects::install(&home_client).await;
    objects
        .secret("west", "west", &west.kubeconfig().expect("it can be read"))
        .await;
    objects
        .make("west", json!({"secretRef": {"name": "west"}}))
        .await
        .expect("it is taken");

    let settings = settings(&home);
    let mut one = ControlPlane::on_settings(&settings);
    one.ready().await;
    holds(&mut [&mut one], 0).await;
    objects.say("west", "Synced", "True").await;
    let mut two = ControlPlane::on_settings(&settings);
    two.ready().await;

    // The holder dies without a word; what it wrote last is right until the other goes on.
    one.process.end();
    let died = Instant::now();
    west.kill_apiserver();
    holds(&mut [&mut two], 0).await;
    println!("taken over {:?} after the holder died", died.elapsed());
    objects.say("west", "Stale", "True").await;
    objects.say("west", "Connected", "False").await;
    west.restart_apiserver().await.expect("it starts again");
    objects.say("west", "Synced", "True").await;

    // The holder is told to go: it gives the Lease back, and nobody waits until it runs out.
    let mut three = ControlPlane::on_settings(&settings);
    three.ready().await;
    holds(&mut [&mut two, &mut three], 0).await;
    two.process.terminate();
    let told = Instant::now();
    let status = two.process.wait(Duration::from_secs(20)).await.expect("it ends");
    assert!(status.success(), "{status}");
    two.logs("gave the Lease back").await;
    holds(&mut [&mut three], 0).await;
    println!("taken over {:?} after the holder was told to go", told.elapsed());
    let writes = three.metric("parallax_control_status_writes_total").await;
    assert!(writes <= 2.0, "{writes} writes though the statuses were right");
    objects.say("west", "Synced", "True").await;
}

/// What a proxy was told, by type and name.
type Versions = BTreeMap<&'static str, HashMap<String, String>>;

async fn answer(stream: &mut RawStream) -> envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse {
    let answer = timeout(DEADLINE, stream.answer()).await.expect("an answer in time");
    let answer = answer.expect("a whole stream").expect("it goes on");
    stream.send(framed(&ack(&answer))).await.expect("it is taken");
    answer
}

#[tokio::test]
async fn a_proxy_that_moves_to_another_replica_is_sent_nothing_again() {
    let (_kubernetes, east, west) = Kubernetes::start_two(["east", "west"])
        .await
        .expect("etcd and API servers start");
    let east_client = furnish(&east, "net1", "192.0.2.1").await;
    let west_client = furnish(&west, "net2", "192.0.2.2").await;
    run_pod(&east_client, "web-1", "10.1.0.1", true).await;
    run_pod(&west_client, "web-1", "10.2.0.1", true).await;
    let mut settings = "members:\n".to_owned();
    for member in [&east, &west] {
        let path = member.kubeconfig_path();
        settings += &format!("  - name: {}\n    kubeconfig: {}\n", member.name(), path.display());
    }
    let mut replicas = [
        ControlPlane::on_settings(&settings),
        ControlPlane::on_settings(&settings),
    ];
    for replica in &mut replicas {
        replica.ready().await;
    }
    let id = "sidecar~10.1.0.50~client.shop~shop.svc.cluster.local";

    // At the first replica: everything.
    let mut known = Versions::new();
    let connection = RawConnection::open(replicas[0].xds, 1 << 20).await;
    let mut stream = connection.stream().await.expect("a stream");
    stream.send(framed(&first(id, CDS, []))).await.expect("it is taken");
    let clusters = answer(&mut stream).await;
    let versions = |answer: &envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse| {
        let resources = answer.resources.iter();
        resources
            .map(|one| (one.name.clone(), one.version.clone()))
            .collect::<HashMap<_, _>>()
    };
    known.insert(CDS, versions(&clusters));
    let names: Vec<_> = known[CDS].keys().cloned().collect();
    assert!(names.len() >= 2, "{names:?}");
    let endpoints_request = first(id, EDS, names.clone());
    stream.send(framed(&endpoints_request)).await.expect("it is taken");
    let endpoints = answer(&mut stream).await;
    known.insert(EDS, versions(&endpoints));
    assert_eq!(known[EDS].len(), names.len());
    drop((stream, connection));

    // At the second: it says what it has, and is sent nothing, until something is another.
    let connection = RawConnection::open(replicas[1].xds, 1 << 20).await;
    let mut stream = connection.stream().await.expect("a stream");
    for (type_url, names) in [(CDS, vec![]), (EDS, names)] {
        let mut request = first(id, type_url, names);
        request.initial_resource_versions = known[type_url].clone();
        stream.send(framed(&request)).await.expect("it is taken");
    }
    stream.seen().await.expect("it is seen");
    run_pod(&east_client, "web-2", "10.1.0.2", true).await;
    let changed = loop {
        let answer = answer(&mut stream).await;
        if !answer.resources.is_empty() || !answer.removed_resources.is_empty() {
            break answer;
        }
    };
    let sent: Vec<_> = changed.resources.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(sent, ["outbound|80||web.shop.svc.cluster.local"]);
    assert_eq!((changed.type_url.as_str(), changed.removed_resources.len()), (EDS, 0));
}
