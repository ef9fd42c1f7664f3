//! What one workload has of its own on the way in: probes of a kubelet past mutual TLS, and policies.

use std::io::Write;
use std::net::SocketAddr;

use rustls::pki_types::CertificateDer;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

use super::client::{self, Answer, get_over};
use super::grpc;
use super::harness::eventually;
use super::manifests;
use super::own_tls;
use super::space::need_namespaces;
use super::tls::{first_byte, open};
use super::world::{DEADLINE, WEB_IN_EAST, World, told, workload};

const POD: [u8; 4] = [10, 1, 0, 20];
const GRPC: u16 = grpc::PORT;

fn pod(port: u16) -> SocketAddr {
    (POD, port).into()
}

impl World {
    /// A plaintext request from a machine without a sidecar, as a kubelet makes them.
    fn ask(&self, request: &str, port: u16) -> std::io::Result<Answer> {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let forged = "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/shop/sa/admin\r\n";
        self.pods["kubelet"].space.within(|| {
            let mut stream = client::connect(pod(port))?;
            if method != "GET" {
                // The first line only differs.
                write!(
                    stream,
                    "{method} {path} HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n"
                )?;
                return client::read_answer(stream);
            }
            get_over(stream, "web", path, forged)
        })
    }

    async fn ask_grpc(&self) -> HealthClient<Channel> {
        let client = grpc::health_client(&self.pods["kubelet"].space, pod(GRPC), "web").await;
        client.expect("it connects")
    }

    /// `web` with one pod, whose containers are probed so.
    pub(super) fn say_probed(&self, path: &str) {
        let web = self.web();
        let ports = [
            ("http", 80, 8080),
            ("tcp-first", 9000, 9000),
            ("grpc", 83, GRPC),
            ("https", 443, own_tls::PORT),
        ];
        let text = manifests::service("web", &WEB_IN_EAST.to_string(), &ports, &[&web[0]]);
        let own = own_tls::PORT;
        let spec = format!(
            "spec:
  containers:
    - name: app
      ports: [{{name: web, containerPort: 8080}}]
      readinessProbe: {{httpGet: {{path: '{path}', port: web}}}}
      livenessProbe: {{grpc: {{port: {GRPC}}}}}
      startupProbe: {{tcpSocket: {{port: 9000}}}}
    - name: own
      readinessProbe: {{httpGet: {{path: /own, port: {own}, scheme: HTTPS}}}}
status:
  phase"
        );
        let text = text.replace("status:\n  phase", &spec);
        self.say(
            "east",
            "web.yaml",
            &text.replace("  labels:\n    security", "  labels:\n    app: web\n    security"),
        );
    }

    pub(super) async fn answers(&self, request: &str, status: u16) {
        let what = format!("{request} to be answered with {status}");
        let look = async || match self.ask(request, 8080) {
            Ok(answer) if answer.status == status => Ok(()),
            other => Err(format!("{other:?}")),
        };
        self.until(&what, look).await;
    }
}

impl World {
    fn ask_in_tls(&self, path: &str) -> std::io::Result<(CertificateDer<'static>, Answer)> {
        let ask = || own_tls::ask(pod(own_tls::PORT), "web", path);
        self.pods["kubelet"].space.within(ask)
    }

    /// Under STRICT a kubelet's probe in TLS ends at the sidecar, whose certificate it believes as any, and goes on from there. All else
    /// that shows no certificate is refused; sidecars get through to the application, whose certificate is shown.
    pub(super) fn probes_in_tls_pass(&self, own: &CertificateDer<'_>) {
        let (shown, answer) = self.ask_in_tls("/own").expect("it passes");
        assert_eq!((answer.status, &*answer.body), (200, "web-1 GET /own HTTP/1.1"));
        assert_ne!(shown, *own);
        for other in ["/", "/own?x=1", "/healthz?full=1"] {
            let (_, answer) = self.ask_in_tls(other).expect("the sidecar answers");
            assert_eq!((answer.status, &*answer.body), (403, ""), "{other}");
        }
        let ask = || own_tls::ask((WEB_IN_EAST, 443).into(), "web", "/anything");
        let (shown, answer) = self.pods["client-1"].space.within(ask).expect("it answers");
        assert_eq!((&shown, &*answer.body), (own, "web-1 GET /anything HTTP/1.1"));
        let plain = self.pods["kubelet"]
            .space
            .within(|| client::get(pod(own_tls::PORT), "own", "/own"));
        plain.expect_err("in plaintext");
    }

    fn say_policy(&self, name: &str, namespace: &str, spec: &str) {
        let text = format!(
            "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
"
        );
        self.say("east", &format!("{namespace}-{name}.yaml"), &text);
    }

    fn unsay_policy(&self, name: &str, namespace: &str) {
        let file = self
            .path("members")
            .join("east")
            .join(format!("{namespace}-{name}.yaml"));
        std::fs::remove_file(file).expect("it was there");
    }

    /// Waits until `web` tells of this peer (nobody, where there is none) when the client's sidecar calls it.
    async fn hears_of(&self, peer: &str) {
        let what = format!("web to hear of {peer:?}");
        let look = async || match self.get("client-1", (WEB_IN_EAST, 80), "web") {
            Ok(answer) if answer.status == 200 => {
                let told = told(&answer);
                let heard = told["peer"].as_str().unwrap_or_default();
                let is = if peer.is_empty() {
                    heard.is_empty()
                } else {
                    heard.contains(peer)
                };
                if is { Ok(()) } else { Err(heard.to_owned()) }
            }
            other => Err(format!("{other:?}")),
        };
        self.until(&what, look).await;
    }

    /// Waits until a command that a person types says all of this.
    async fn says(&self, arguments: &[&str], words: &[&str]) {
        let look = async || {
            let text = self.ask_by_command(arguments);
            if words.iter().all(|word| text.contains(word)) {
                Ok(())
            } else {
                Err(text)
            }
        };
        self.until(&format!("parallax {arguments:?} to say {words:?}"), look)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_has_a_way_in_of_its_own() {
    need_namespaces();
    let mut world = World::new("  mtls: strict\n").await;
    world.say_probed("/healthz?full=1");
    let mut kubelet = workload("kubelet", "east", "10.1.0.99");
    kubelet.sidecar = false;
    world.add(kubelet, "0.0.0.0").await;
    world.add(workload("client-1", "east", "10.1.0.10"), "0.0.0.0").await;
    // Listening at the address of the pod only.
    world.add(world.web()[0].clone(), "10.1.0.20").await;
    grpc::health_service(&world.pods["web-1"].space);
    let own = own_tls::application(&world.pods["web-1"].space, "web-1", "10.1.0.20");
    world.settled("client-1", (WEB_IN_EAST, 80), "web", "web-1").await;

    probes_pass_and_nothing_else(&world).await;
    world.probes_in_tls_pass(&own);
    a_changed_probe_changes_one_listener(&world).await;
    policies_count_and_clients_follow(&world, &own).await;
    settings_count_while_we_run(&world).await;
    world.nobody_refused_anything();
}

async fn probes_pass_and_nothing_else(world: &World) {
    let answer = world.ask("GET /healthz?full=1", 8080).expect("it passes");
    let told = told(&answer);
    assert_eq!((answer.status, told["peer"].as_str()), (200, Some("")), "{answer:?}");
    assert_eq!(told["asked"], "GET /healthz?full=1 HTTP/1.1");
    for other in [
        "GET /",
        "GET /healthz",
        "GET /healthz?full=1&x=1",
        "GET //healthz?full=1",
        "GET /x/../healthz?full=1",
        "GET /healthz%3Ffull=1",
        "POST /healthz?full=1",
        "DELETE /healthz?full=1",
    ] {
        let answer = world.ask(other, 8080).expect("the sidecar answers");
        assert_eq!((answer.status, &*answer.body), (403, ""), "{other}");
    }
    // A port that is not probed by request takes nothing.
    world.ask("GET /healthz?full=1", 9000).expect_err("in plaintext");
    // A kubelet's tcpSocket probe asks whether somebody accepts, and that is the sidecar, whatever runs behind it.
    for port in [9000, 4444] {
        let accepted = world.pods["kubelet"].space.within(|| client::connect(pod(port)));
        accepted.expect("the sidecar accepts");
    }

    let mut client = world.ask_grpc().await;
    let status = client
        .check(HealthCheckRequest::default())
        .await
        .expect("it passes")
        .into_inner()
        .status;
    assert_eq!(status, i32::from(ServingStatus::Serving));
    let watch = client
        .watch(HealthCheckRequest::default())
        .await
        .expect_err("another method");
    assert_eq!(watch.code(), Code::PermissionDenied);

    // On the same port: one of us gets in by mutual TLS, nobody else does.
    let ours = world.root.workload("spiffe://cluster.local/ns/other/sa/visitor");
    let knock = |credentials: Option<&_>| {
        let sni = "outbound_.80_._.web.shop.svc.cluster.local";
        let alpn = ["istio-http/1.1"];
        let knock = || first_byte(open(pod(8080), sni, &alpn, credentials)?);
        world.pods["kubelet"].space.within(knock)
    };
    assert_eq!(knock(Some(&ours)).expect("one of us"), b'H');
    knock(None).expect_err("it shows no certificate");
    let answer = world
        .get("client-1", (WEB_IN_EAST, 80), "web")
        .expect("mutual TLS is as it was");
    assert_eq!(answer.status, 200);
}

/// And of its proxy only.
async fn a_changed_probe_changes_one_listener(world: &World) {
    let updates = |pod: &str| world.stat(pod, &["listener_manager.lds.update_success"]);
    let changed = |pod: &str| {
        let stat = |name: &str| world.stat(pod, &[name]);
        (
            stat("listener_manager.listener_modified"),
            stat("listener_manager.listener_added"),
        )
    };
    let (before, others) = (changed("web-1"), updates("client-1"));
    world.say_probed("/ready");
    world.answers("GET /ready", 200).await;
    world.answers("GET /healthz?full=1", 403).await;
    assert_eq!(changed("web-1"), (before.0 + 1, before.1));
    assert_eq!(updates("client-1"), others, "nobody else is told anything");
}

/// Under settings that say strict.
async fn policies_count_and_clients_follow(world: &World, own: &CertificateDer<'_>) {
    let client = "spiffe://cluster.local/ns/shop/sa/client";
    world.hears_of(client).await;
    world.answers("GET /", 403).await;
    world
        .says(&["get", "proxies"], &["STRICT 8080+probes 8083+probes"])
        .await;

    // The namespace takes both: whoever has no sidecar gets in, and sidecars go on as before. So do probes, in the application's TLS.
    world.say_policy("both", "shop", "{mtls: {mode: PERMISSIVE}}");
    world.answers("GET /", 200).await;
    world.hears_of(client).await;
    let (shown, answer) = world.ask_in_tls("/own").expect("it passes");
    assert_eq!((&shown, answer.status), (own, 200), "the application's own");
    world
        .says(
            &["explain", "web.shop:80", "--as", "client-1.shop"],
            &["PERMISSIVE, by PeerAuthentication shop/both"],
        )
        .await;

    // One workload is strict again, but for a port that takes no mutual TLS: clients call that one in plaintext.
    world.say_policy(
        "web",
        "shop",
        "{selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}, portLevelMtls: {'8080': {mode: DISABLE}}}",
    );
    world.hears_of("").await;
    world.answers("GET /", 200).await;
    world
        .says(&["get", "proxies"], &["STRICT 8080=DISABLE 8083+probes"])
        .await;
    world
        .says(&["explain", "web.shop:80", "--network", "net2"], &["mtls_disabled"])
        .await;
    world.ask("GET /", 9000).expect_err("in plaintext");
    let said = || client::listen_to((WEB_IN_EAST, 9000).into());
    let said = world.pods["client-1"].space.within(said);
    assert_eq!(said.expect("mutual TLS goes there"), "web-1");

    // A word that nobody knows is read as the strictest, and told.
    world.say_policy(
        "web",
        "shop",
        "{selector: {matchLabels: {app: web}}, portLevelMtls: {'8080': {mode: MAYBE}}}",
    );
    world.hears_of(client).await;
    world.answers("GET /", 403).await;
    world.answers("GET /ready", 200).await;
    world
        .says(
            &["get", "members", "-o", "json"],
            &["PeerAuthentication shop/web", "MAYBE"],
        )
        .await;

    // Without them the settings count again. What is said of another member's workloads never did.
    world.unsay_policy("web", "shop");
    world.answers("GET /", 200).await;
    world.unsay_policy("both", "shop");
    world.answers("GET /", 403).await;
    world.hears_of(client).await;

    // Without mutual TLS at all, by one workload or by its namespace: clients know, and the port takes what comes.
    for spec in [
        "{selector: {matchLabels: {app: web}}, mtls: {mode: DISABLE}}",
        "{mtls: {mode: DISABLE}}",
    ] {
        world.say_policy("none", "shop", spec);
        world.hears_of("").await;
        world.answers("GET /", 200).await;
        world.says(&["get", "proxies"], &["DISABLE"]).await;
        world.unsay_policy("none", "shop");
        world.hears_of(client).await;
        world.answers("GET /", 403).await;
    }
}

async fn settings_count_while_we_run(world: &World) {
    let change = |from: &str, to: &str| {
        let file = world.path("parallax.yaml");
        let text = std::fs::read_to_string(&file).expect("it is there");
        assert!(text.contains(from));
        std::fs::write(file, text.replace(from, to)).expect("it can be written");
    };
    change("mtls: strict", "mtls: permissive");
    world.answers("GET /", 200).await;
    world.says(&["get", "proxies"], &["PERMISSIVE"]).await;
    // Of the listeners that go outwards too.
    let outside = |status: u16| async move {
        let look = async || match world.get("client-1", (WEB_IN_EAST, 80), "example.org") {
            Ok(answer) if answer.status == status => Ok(()),
            other => Err(format!("{other:?}")),
        };
        eventually("what is outside to be answered so", DEADLINE, look)
            .await
            .expect("it is");
    };
    outside(503).await;
    change("mtls: permissive", "mtls: strict\n  outside: block");
    outside(502).await;
    world.answers("GET /", 403).await;
    // Without mutual TLS in all of the mesh: its clients call it in plaintext, and other networks don't reach it.
    let client = "spiffe://cluster.local/ns/shop/sa/client";
    world.hears_of(client).await;
    change("mtls: strict", "mtls: disable");
    world.hears_of("").await;
    world.answers("GET /", 200).await;
    world.says(&["get", "proxies"], &["DISABLE"]).await;
    let far = ["explain", "web.shop:80", "--network", "net2"];
    world.says(&far, &["mtls_disabled"]).await;
    change("mtls: disable", "mtls: strict");
    world.hears_of(client).await;
    world.answers("GET /", 403).await;
    world.says(&["get", "settings"], &["in force   5"]).await;
}
