//! Members that join, rotate and leave by Secrets as Istio's tools make them, on real API servers, seen in real Envoys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::control_plane::ControlPlane;
use super::envoys::Envoys;
use super::harness::{Fault, Kubernetes, Watch, apply_text, printed_remote_secret, remote_secret, seconds};
use super::kubernetes::{create, furnish, run_pod};
use super::outages::watch;

const EAST: &str = "10.1.0.1:8080*1@net1/z1";

/// The Secret of one member, under the name that Istio's tool would give it.
fn secret(member: &str, kubeconfig: &str) -> serde_json::Value {
    remote_secret(&format!("istio-remote-secret-{member}"), member, kubeconfig)
}

/// A proxy that connects to whatever it is asked for; returns its address, and the first line of each request.
async fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let lines = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let lines = Arc::clone(&lines);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let (mut first, mut line) = (String::new(), String::new());
                stream.read_line(&mut first).await?;
                while line != "\r\n" {
                    line.clear();
                    stream.read_line(&mut line).await?;
                }
                lines.lock().expect("nobody panicked").push(first.trim().to_owned());
                let to = first.split(' ').nth(1).unwrap_or_default();
                let mut server = TcpStream::connect(to).await?;
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
                tokio::io::copy_bidirectional(&mut stream, &mut server).await
            });
        }
    });
    (format!("http://{address}"), asked)
}

/// What happened is told, and was not seen by any Envoy.
async fn record_unseen(watched: Watch, begun: Instant, over: &str) {
    let noticed = seconds(begun.elapsed());
    let seen = watched.end().await.expect("the Envoys answer");
    assert!(seen.nothing(), "{seen:#?}");
    seen.record(&noticed, over).expect("it can be written");
}

#[tokio::test]
async fn members_join_rotate_and_leave_by_secrets() {
    // The Secrets are in east, which is a member itself.
    let (_kubernetes, east, west) = Kubernetes::start_two(["east", "west"])
        .await
        .expect("etcd and API servers start");
    let east_client = furnish(&east, "net1", "192.0.2.1").await;
    let west_client = furnish(&west, "net2", "192.0.2.2").await;
    run_pod(&east_client, "web-1", "10.1.0.1", true).await;
    run_pod(&west_client, "web-1", "10.2.0.1", true).await;
    let kubeconfig = BTreeMap::from([("east", east.kubeconfig()), ("west", west.kubeconfig())]);
    let kubeconfig = |name: &str| kubeconfig[name].as_ref().expect("it can be read").clone();
    let secrets: Api<Secret> = Api::namespaced(east_client.clone(), "istio-system");
    create(&secrets, secret("east", &kubeconfig("east"))).await;

    let settings = format!("memberSecrets:\n  kubeconfig: {}\n", east.kubeconfig_path().display());
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    let mut envoys = Envoys::start(&control_plane, "east", "10.1.0.50").await;
    envoys.hold(&[EAST]).await;
    let gateway = |weight| format!("192.0.2.2:15443*{weight}@net2/z1");

    // Join by what Istio's own tool prints. The member says nothing of its network itself, so the Secret places it.
    let namespaces: Api<Namespace> = Api::all(west_client.clone());
    let unlabelled = json!({"metadata": {"labels": {"topology.istio.io/network": null}}});
    namespaces
        .patch("istio-system", &PatchParams::default(), &Patch::Merge(unlabelled))
        .await
        .expect("it is taken");
    let printed = printed_remote_secret("west", &kubeconfig("west"), "net2").expect("it is a kubeconfig");
    apply_text(&east_client, &printed).await.expect("it is taken");
    envoys.hold(&[EAST, &gateway(1)]).await;
    // By annotation or by label, and anew when that changes.
    let place = async |annotation: Value, label: Value| {
        let key = "topology.istio.io/network";
        let change = json!({"metadata": {"annotations": {key: annotation}, "labels": {key: label}}});
        let (name, params) = ("istio-remote-secret-west", PatchParams::default());
        let changed = secrets.patch(name, &params, &Patch::Merge(change)).await;
        changed.expect("it is taken");
    };
    place(json!("net1"), Value::Null).await;
    envoys.hold(&[EAST, "10.2.0.1:8080*1@net2/z1"]).await;
    place(Value::Null, json!("net2")).await;
    envoys.hold(&[EAST, &gateway(1)]).await;

    // A Secret that is of no use says why, and is nobody's business but its own.
    create(&secrets, secret("north", "kind: [Config, s3cret")).await;
    let said = control_plane.says(&["get", "members"], "north is connecting").await;
    assert!(said.contains("there is no usable kubeconfig"), "{said}");

    // Rotations that must not be: credentials that are refused, and a kubeconfig of another cluster.
    let rotate = async |name: &str, kubeconfig: String| {
        let change = json!({"stringData": {name: kubeconfig}});
        let secret = format!("istio-remote-secret-{name}");
        secrets
            .patch(&secret, &PatchParams::default(), &Patch::Merge(change))
            .await
            .expect("it is taken");
    };
    let (watched, begun) = (watch(Fault::RotationRefused, &mut envoys).await, Instant::now());
    rotate("west", kubeconfig("west").replace(west.token(), "expired-token")).await;
    control_plane
        .says(&["get", "members"], "the one before stays in use")
        .await;
    record_unseen(watched, begun, "the one before stays in use: a change arrives").await;
    run_pod(&west_client, "web-2", "10.2.0.2", true).await;
    envoys.hold(&[EAST, &gateway(2)]).await;
    let (watched, begun) = (watch(Fault::RotationElsewhere, &mut envoys).await, Instant::now());
    rotate("west", kubeconfig("east")).await;
    control_plane
        .says(&["get", "members"], "leads to another cluster")
        .await;
    record_unseen(watched, begun, "the one before stays in use: a change arrives").await;
    run_pod(&west_client, "web-3", "10.2.0.3", true).await;
    envoys.hold(&[EAST, &gateway(3)]).await;

    // One that may be: the same cluster through a proxy. Nothing is lost on the way.
    let (proxy, asked) = proxy().await;
    let mut through: serde_json::Value = serde_json::from_str(&kubeconfig("west")).expect("it is JSON");
    through["clusters"][0]["cluster"]["proxy-url"] = json!(proxy);
    let (watched, begun) = (watch(Fault::Rotation, &mut envoys).await, Instant::now());
    rotate("west", through.to_string()).await;
    let done = "going on with the new kubeconfig";
    control_plane.logs(done).await;
    record_unseen(watched, begun, "the new one is in use: a change arrives").await;
    run_pod(&west_client, "web-4", "10.2.0.4", true).await;
    envoys.hold(&[EAST, &gateway(4)]).await;
    let expected = west.server_url().replace("https://", "CONNECT ");
    assert!(
        asked
            .lock()
            .expect("nobody panicked")
            .iter()
            .all(|line| *line == format!("{expected} HTTP/1.1"))
    );
    assert!(!asked.lock().expect("nobody panicked").is_empty());
    let said = control_plane.say(&["get", "members"]);
    assert!(!said.contains("stays in use"), "{said}");

    // Leave: just what was its own.
    secrets
        .delete("istio-remote-secret-west", &DeleteParams::default())
        .await
        .expect("it is deleted");
    envoys.hold(&[EAST]).await;
    let said = control_plane.say(&["get", "members"]);
    assert!(!said.contains("west"), "{said}");
    envoys.are_content().await;
    let log = std::fs::read_to_string(control_plane.process.log()).expect("there is a log");
    for word in [east.token(), "s3cret", "expired-token"] {
        assert!(!log.contains(word), "{word} is in the log");
    }
}
