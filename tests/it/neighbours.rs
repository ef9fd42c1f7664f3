//! A member that is slow, or that changes all the time, beside a healthy one: what changes there arrives as ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::control_plane::ControlPlane;
use super::envoys::Envoys;
use super::harness::{Fault, Kubernetes, Relay, seconds};
use super::kubernetes::{create, furnish, run_pod};
use super::outages::{NOTICED_WITHIN, until_synced_is, watch};

/// What changes in the healthy member: an address that is written into its slice.
const CART: &str = "outbound|80||cart.shop.svc.cluster.local";
/// How soon that has to be in every Envoy. The goal is a second; this machine has a flood to bear too.
const IN_TIME: Duration = Duration::from_secs(3);
const CHANGES: u8 = 10;
/// How long at least. What is beyond the budget is read afterwards, so that this many seconds cost several times as many.
const FLOOD: Duration = Duration::from_secs(4);
const WRITERS: usize = 4;
/// What a fast machine has to read afterwards too.
const MOST_WRITES: u64 = 3_000;
const BUDGET: u32 = 100;
const HERE: &str = "10.1.0.1:8080*1@net1/z1";

fn slice(address: &str) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "cart-1", "labels": {"kubernetes.io/service-name": "cart"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
    })
}

/// Changes the healthy member, again and again, and tells how long the slowest took to be in all Envoys.
async fn changes_arrive(east: &Client, envoys: &mut Envoys, round: u8) -> Duration {
    let slices: Api<EndpointSlice> = Api::namespaced(east.clone(), "shop");
    let mut slowest = Duration::ZERO;
    for change in 1..=CHANGES {
        let address = format!("10.1.{round}.{change}");
        let params = PatchParams::apply("person").force();
        slices
            .patch("cart-1", &params, &Patch::Apply(slice(&address)))
            .await
            .expect("the change is taken");
        let begun = Instant::now();
        envoys
            .wait(&format!("cart at {address}"), |held| {
                let hosts = held.get(CART).map(Vec::as_slice).unwrap_or_default();
                matches!(hosts, [host] if host.address == address)
            })
            .await;
        slowest = slowest.max(begun.elapsed());
    }
    slowest
}

/// Writes to a pod that is no endpoint, as fast as the API server takes it, until it is dropped; counts how often.
async fn flood(client: &Client) -> (JoinSet<()>, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
        let name = format!("busy-{writer}");
        let pod = json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "x", "image": "x"}]}});
        create(&pods, pod).await;
        let count = Arc::clone(&count);
        writers.spawn(async move {
            while count.load(Ordering::Relaxed) < MOST_WRITES {
                let turn = count.fetch_add(1, Ordering::Relaxed);
                let label = json!({"metadata": {"labels": {"topology.istio.io/network": format!("n{turn}")}}});
                let patched = pods.patch(&name, &PatchParams::default(), &Patch::Merge(label)).await;
                patched.expect("the write is taken");
            }
        });
    }
    (writers, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_or_busy_member_costs_a_healthy_one_nothing() {
    let (_kubernetes, east, west) = Kubernetes::start_two(["east", "west"])
        .await
        .expect("etcd and API servers start");
    let east_client = furnish(&east, "net1", "192.0.2.1").await;
    let west_client = furnish(&west, "net2", "192.0.2.2").await;
    run_pod(&east_client, "web-1", "10.1.0.1", true).await;
    run_pod(&west_client, "web-1", "10.2.0.1", true).await;
    let services: Api<Service> = Api::namespaced(east_client.clone(), "shop");
    let spec = json!({"ports": [{"name": "http", "port": 80, "targetPort": 8080}]});
    create(&services, json!({"metadata": {"name": "cart"}, "spec": spec})).await;
    let slices: Api<EndpointSlice> = Api::namespaced(east_client.clone(), "shop");
    create(&slices, slice("10.1.9.9")).await;

    let relay = Relay::to(west.port()).await.expect("it listens");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kubeconfig = folder.path().join("west");
    let text = west.kubeconfig().expect("it can be read");
    let text = text.replace(&west.server_url(), &format!("https://{}", relay.address()));
    std::fs::write(&kubeconfig, text).expect("it can be written");
    let settings = format!(
        "members:\n  - name: east\n    kubeconfig: {}\n  - name: west\n    kubeconfig: {}\n    budget: {{eventsPerSecond: {BUDGET}}}\n",
        east.kubeconfig_path().display(),
        kubeconfig.display(),
    );
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    let mut envoys = Envoys::start(&control_plane, "east", "10.1.0.50").await;
    let gateway = |weight| format!("192.0.2.2:15443*{weight}@net2/z1");
    envoys.hold(&[HERE, &gateway(1)]).await;
    let normal = changes_arrive(&east_client, &mut envoys, 1).await;

    // West changes all the time.
    let watched = watch(Fault::MemberIsBusy, &mut envoys).await;
    let begun = Instant::now();
    let (writers, count) = flood(&west_client).await;
    let told = async {
        let words = format!("it changed faster than {BUDGET} objects a second");
        control_plane.says(&["get", "members"], &words).await;
        begun.elapsed()
    };
    let (noticed, mut beside) = tokio::join!(told, changes_arrive(&east_client, &mut envoys, 2));
    while begun.elapsed() < FLOOD {
        beside = beside.max(changes_arrive(&east_client, &mut envoys, 3).await);
        beside = beside.max(changes_arrive(&east_client, &mut envoys, 2).await);
    }
    let writes = count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    drop(writers);
    println!("at rest {normal:?}, beside {writes:.0} writes a second {beside:?}");
    assert!(
        writes > f64::from(BUDGET) * 1.5,
        "{writes} writes a second are no flood"
    );
    assert!(beside < IN_TIME, "{beside:?}, {normal:?} at rest");
    let seen = watched.end().await.expect("the Envoys answer");
    assert!(seen.nothing(), "{seen:#?}");
    // What waited is read, and so is what comes now.
    let begun = Instant::now();
    run_pod(&west_client, "web-2", "10.2.0.2", true).await;
    envoys.hold(&[HERE, &gateway(2)]).await;
    let (after, slowest) = (seconds(begun.elapsed()), seconds(beside));
    let over = format!(
        "the other's changes were there in {slowest} at most, beside {writes:.0} writes a second; one of its own {after} after the last of these"
    );
    let noticed = format!("{}, as a problem", seconds(noticed));
    seen.record(&noticed, &over).expect("it can be written");

    // West gives a few bytes now and then: nothing of it can be made sense of in time.
    let watched = watch(Fault::MemberTrickles, &mut envoys).await;
    let begun = Instant::now();
    relay.bytes_per_second(Some(20));
    let noticed = async { until_synced_is(&control_plane, "west", 0, begun).await };
    let (noticed, beside) = tokio::join!(noticed, changes_arrive(&east_client, &mut envoys, 4));
    println!("a slow one was noticed after {noticed:?}; beside it {beside:?}");
    assert!(noticed <= NOTICED_WITHIN, "{noticed:?}");
    let while_stale = changes_arrive(&east_client, &mut envoys, 5).await;
    let slowest = beside.max(while_stale);
    assert!(slowest < IN_TIME, "{slowest:?}, {normal:?} at rest");
    let seen = watched.end().await.expect("the Envoys answer");
    assert!(seen.nothing(), "{seen:#?}");
    relay.bytes_per_second(None);
    let back = until_synced_is(&control_plane, "west", 1, Instant::now()).await;
    run_pod(&west_client, "web-3", "10.2.0.3", true).await;
    envoys.hold(&[HERE, &gateway(3)]).await;
    let over = format!(
        "the other's changes were there in {} at most; synced {} after it is fast again",
        seconds(slowest),
        seconds(back)
    );
    seen.record(&seconds(noticed), &over).expect("it can be written");
    envoys.are_content().await;
}
