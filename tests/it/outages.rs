//! A minute in which an API server is dead, another's etcd is, and a third one forbids what it allowed; then all of it is over.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::control_plane::ControlPlane;
use super::envoys::{DEADLINE, Envoys, WEB};
use super::harness::{self, Fault, Kubernetes, Member, Relay, Seen, Watch, eventually, get, seconds};
use super::kubernetes::{furnish, run_pod};

/// What docs/faults.md promises.
pub(crate) const NOTICED_WITHIN: Duration = Duration::from_secs(30);
/// What is logged of a watch that was answered by a 410, and the kinds that change.
const EXPIRED: &str = "Err(Expired)";
const KINDS: [&str; 2] = ["EndpointSlice", "Pod"];
const AWAY: Duration = Duration::from_secs(60);
const KEPT: &str = "10.1.0.2:8080*1@net1/z1";
const GONE: &str = "10.1.0.1:8080*1@net1/z1";
const NEW: &str = "10.1.0.3:8080*1@net1/z1";
const SOUTH: &str = "10.3.0.1:8080*1@net1/z1";

/// Waits until a metric of ours says whether a member is up to date, and tells how long after `begun` that was.
pub(crate) async fn until_synced_is(control_plane: &ControlPlane, member: &str, value: u8, begun: Instant) -> Duration {
    let wanted = format!("parallax_registry_synced{{member=\"{member}\"}} {value}");
    let look = async || match get(control_plane.admin, "/metrics").await {
        Ok(answer) if answer.body.lines().any(|line| line == wanted) => Ok(()),
        Ok(_) => Err("another value".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    eventually(&wanted, DEADLINE, look).await.expect("it gets there");
    begun.elapsed()
}

fn shown(control_plane: &ControlPlane, member: &str) -> Value {
    let members = control_plane.json(&["get", "members"]);
    let mut all = members["members"].as_array().into_iter().flatten();
    all.find(|one| one["name"] == member).expect("it is shown").clone()
}

/// How old `get members` says that what is known of a member is, in seconds.
fn age(control_plane: &ControlPlane, member: &str) -> f64 {
    let shown = shown(control_plane, member);
    assert_eq!(shown["state"], "Stale", "{shown:#}");
    let since = shown["confirmedAt"].as_str().expect("a time");
    let since: Timestamp = since.parse().expect("a time");
    Timestamp::now().duration_since(since).as_secs_f64()
}

/// Makes the role that Parallax reads a member by, with or without what must be read.
async fn allow(client: &Client, slices: bool) {
    let core = json!({"apiGroups": [""], "resources": ["namespaces", "nodes", "services", "pods"], "verbs": ["get", "list", "watch"]});
    let discovery =
        json!({"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]});
    let mut rules = vec![core];
    if slices {
        rules.push(discovery);
    }
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "parallax-reader"}, "rules": rules});
    harness::apply(client, &role).await.expect("the role is taken");
}

/// The kubeconfig of an account that may read what the shipped manifest says.
async fn reader(member: &Member, client: &Client) -> String {
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/kubernetes/reader.yaml");
    harness::apply_file(client, &manifest).await.expect("it is taken");
    let token = harness::token(client, "istio-system", "parallax-reader", None, None).await;
    let kubeconfig = member.kubeconfig().expect("it can be read");
    kubeconfig.replace(member.token(), &token.expect("a token"))
}

async fn delete_pod(client: &Client, name: &str) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
    let at_once = DeleteParams::default().grace_period(0);
    pods.delete(name, &at_once).await.expect("it is deleted");
}

/// Waits until the slices of a cluster have just these addresses.
async fn slices_have(client: &Client, expected: &[&str]) {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "shop");
    eventually("the controller to follow", DEADLINE, async || {
        let all = slices
            .list(&ListParams::default())
            .await
            .map_err(|error| error.to_string())?;
        let endpoints = all.items.iter().flat_map(|slice| &slice.endpoints);
        let mut addresses: Vec<_> = endpoints.flat_map(|endpoint| endpoint.addresses.clone()).collect();
        addresses.sort();
        if addresses == expected {
            Ok(())
        } else {
            Err(format!("{addresses:?}"))
        }
    })
    .await
    .expect("it does");
}

async fn lists_of(control_plane: &mut ControlPlane, kind: &str) -> f64 {
    let text = control_plane.answers("/metrics", 200).await;
    let name = format!("parallax_registry_lists_total{{member=\"south\",kind=\"{kind}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.expect("it is counted").parse().expect("a number")
}

async fn lists_of_south(control_plane: &mut ControlPlane) -> Vec<f64> {
    let mut lists = Vec::new();
    for kind in KINDS {
        lists.push(lists_of(control_plane, kind).await);
    }
    lists
}

fn log(control_plane: &ControlPlane) -> String {
    std::fs::read_to_string(control_plane.process.log()).expect("it has a log")
}

/// One endpoint went and one came, and nothing else was different at any time.
async fn differs_by(watched: Watch, gone: &str, new: &str) -> Seen {
    let seen = watched.end().await.expect("the Envoys answer");
    assert_eq!((seen.gone(), seen.added()), ([gone].into(), [new].into()), "{seen:#?}");
    assert_eq!(seen.changed(), 0, "{seen:#?}");
    assert!((1..=2).contains(&seen.changes()), "{seen:#?}");
    seen
}

pub(crate) async fn watch(fault: Fault, envoys: &mut Envoys) -> Watch {
    let admins: Vec<_> = envoys.each().map(|(_, envoy)| envoy.admin()).collect();
    Watch::begin(fault, WEB, admins).await.expect("the Envoys answer")
}

#[tokio::test]
async fn members_that_fail_for_a_minute_keep_their_endpoints() {
    let (two, one) = tokio::join!(Kubernetes::start_two(["east", "south"]), Kubernetes::start());
    let (kubernetes, mut east, mut south) = two.expect("etcd and API servers start");
    let mut other = one.expect("etcd starts");
    let west = other.start_member("west").await.expect("the API server starts");
    let east_client = furnish(&east, "net1", "192.0.2.1").await;
    let south_client = furnish(&south, "net1", "192.0.2.3").await;
    let west_client = furnish(&west, "net2", "192.0.2.2").await;
    run_pod(&east_client, "web-1", "10.1.0.1", true).await;
    run_pod(&east_client, "web-2", "10.1.0.2", true).await;
    run_pod(&south_client, "web-1", "10.3.0.1", true).await;
    run_pod(&west_client, "web-1", "10.2.0.1", true).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let south_reads = folder.path().join("south");
    let relay = Relay::to(south.port()).await.expect("it listens");
    let reader = reader(&south, &south_client).await;
    let reader = reader.replace(&south.server_url(), &format!("https://{}", relay.address()));
    std::fs::write(&south_reads, reader).expect("it can be written");

    let mut settings = "log: {level: 'info,parallax::registry=debug'}\nmembers:\n".to_owned();
    let kubeconfigs = [
        ("east", east.kubeconfig_path()),
        ("west", west.kubeconfig_path()),
        ("south", south_reads),
    ];
    for (name, kubeconfig) in kubeconfigs {
        settings += &format!("  - name: {name}\n    kubeconfig: {}\n", kubeconfig.display());
    }
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    let mut envoys = Envoys::start(&control_plane, "east", "10.1.0.50").await;
    let gateway = |weight| format!("192.0.2.2:15443*{weight}@net2/z1");
    envoys.hold(&[GONE, KEPT, SOUTH, &gateway(1)]).await;
    for member in ["east", "west", "south"] {
        until_synced_is(&control_plane, member, 1, Instant::now()).await;
    }

    // All three at once, and the Envoys are watched from before it.
    let of_api_server = watch(Fault::ApiServerKilled, &mut envoys).await;
    let of_etcd = watch(Fault::EtcdKilled, &mut envoys).await;
    let of_role = watch(Fault::KindForbidden, &mut envoys).await;
    let begun = Instant::now();
    east.kill_apiserver();
    other.kill_etcd();
    allow(&south_client, false).await;
    let noticed = tokio::join!(
        until_synced_is(&control_plane, "east", 0, begun),
        until_synced_is(&control_plane, "west", 0, begun),
        until_synced_is(&control_plane, "south", 0, begun),
    );
    for took in [noticed.0, noticed.1, noticed.2] {
        assert!(took <= NOTICED_WITHIN, "{noticed:?}");
    }
    println!("killed, etcd killed, forbidden: noticed after {noticed:?}");
    let said = control_plane.say(&["get", "members"]);
    for words in [
        "east is stale since",
        "west is stale since",
        "from its etcd",
        "south is stale since",
        "the API server forbids us to read endpointslices",
        "allow this account the verbs list and watch",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    let first = (
        Instant::now(),
        ["east", "west"].map(|member| age(&control_plane, member)),
    );

    // What can't be heard of: one goes and one comes in east.
    {
        let beside = east.beside().await.expect("another API server starts");
        let client = beside.client().await.expect("a client");
        delete_pod(&client, "web-1").await;
        run_pod(&client, "web-3", "10.1.0.3", true).await;
        slices_have(&client, &["10.1.0.2", "10.1.0.3"]).await;
    }
    sleep(AWAY.saturating_sub(begun.elapsed())).await;

    // Their age has grown with the time.
    let passed = first.0.elapsed().as_secs_f64();
    assert!(passed > 10.0, "{passed} s between the two looks");
    for (member, before) in ["east", "west"].into_iter().zip(first.1) {
        let grown = age(&control_plane, member) - before;
        assert!((grown - passed).abs() < 5.0, "{member}: by {grown} s in {passed} s");
    }
    let (of_api_server, of_etcd, of_role) = tokio::join!(of_api_server.end(), of_etcd.end(), of_role.end());
    let seen = [of_api_server, of_etcd, of_role].map(|seen| seen.expect("the Envoys answer"));
    for seen in &seen {
        assert!(seen.nothing(), "{seen:#?}");
    }

    // East is back: only what differs is sent.
    let watched = watch(Fault::ApiServerKilled, &mut envoys).await;
    east.restart_apiserver().await.expect("it starts again");
    let back = Instant::now();
    envoys.hold(&[KEPT, NEW, SOUTH, &gateway(1)]).await;
    let arrived = seconds(back.elapsed());
    until_synced_is(&control_plane, "east", 1, back).await;
    differs_by(watched, "10.1.0.1:8080", "10.1.0.3:8080").await;
    let over = format!("what changed meanwhile, and nothing else, is there {arrived} after the server is ready");
    seen[0].record(&seconds(noticed.0), &over).expect("it can be written");

    // So is west, with its etcd.
    let back = Instant::now();
    other.restart_etcd().await.expect("it starts again");
    let synced = until_synced_is(&control_plane, "west", 1, back).await;
    run_pod(&west_client, "web-2", "10.2.0.2", true).await;
    envoys.hold(&[KEPT, NEW, SOUTH, &gateway(2)]).await;
    let over = format!("synced {} after etcd is back; a change arrives", seconds(synced));
    seen[1].record(&seconds(noticed.1), &over).expect("it can be written");

    // And south may be read again.
    let back = Instant::now();
    allow(&south_client, true).await;
    let synced = until_synced_is(&control_plane, "south", 1, back).await;
    run_pod(&south_client, "web-2", "10.3.0.2", true).await;
    let also = "10.3.0.2:8080*1@net1/z1";
    envoys.hold(&[KEPT, NEW, SOUTH, also, &gateway(2)]).await;
    let over = format!("synced {} after the role is right; a change arrives", seconds(synced));
    let noticed = format!("{}, with the remedy", seconds(noticed.2));
    seen[2].record(&noticed, &over).expect("it can be written");

    // Nothing of south arrives for a while, and what its watches would go on from is forgotten meanwhile.
    let watched = watch(Fault::VersionsGone, &mut envoys).await;
    let lists = lists_of_south(&mut control_plane).await;
    assert!(!log(&control_plane).contains(EXPIRED), "not yet");
    // A connection that is silent is given up after 15 s, and a client that can't connect after as long again: then all is listed.
    let beside = south.beside().await.expect("another API server starts");
    let client = beside.client().await.expect("a client");
    relay.bytes_per_second(Some(0));
    let silent = Instant::now();
    south.kill_apiserver();
    delete_pod(&client, "web-1").await;
    run_pod(&client, "web-3", "10.3.0.3", true).await;
    slices_have(&client, &["10.3.0.2", "10.3.0.3"]).await;
    kubernetes.compact().await.expect("etcd does so");
    drop(beside);
    south.restart_apiserver().await.expect("it starts again");
    println!("silent for {:?}", silent.elapsed());
    relay.bytes_per_second(None);
    let back = Instant::now();
    let third = "10.3.0.3:8080*1@net1/z1";
    envoys.hold(&[KEPT, NEW, also, third, &gateway(2)]).await;
    let arrived = seconds(back.elapsed());
    for (kind, before) in KINDS.into_iter().zip(lists) {
        // Each kind begins anew by itself.
        let listed = async || match lists_of(&mut control_plane, kind).await {
            now if now > before => Ok(()),
            now => Err(format!("{now} lists, and {before} before")),
        };
        eventually(&format!("{kind} to be listed"), DEADLINE, listed)
            .await
            .expect("it is");
        let expired = |line: &str| line.contains(EXPIRED) && line.contains("south") && line.contains(kind);
        assert!(log(&control_plane).lines().any(expired), "no 410 for {kind}");
    }
    let seen = differs_by(watched, "10.3.0.1:8080", "10.3.0.3:8080").await;
    let noticed = "not shown; EndpointSlices and Pods are listed anew";
    let over = format!("what changed meanwhile, and nothing else, is there after {arrived}");
    seen.record(noticed, &over).expect("it can be written");
    envoys.are_content().await;
}
