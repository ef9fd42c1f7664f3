//! gRPC, which is HTTP/2 all the way: through sidecars and gateways, one request here and the next there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hyper_util::rt::TokioIo;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::client;
use super::manifests;
use super::space::{Space, need_namespaces};
use super::world::{DEADLINE, GATEWAY_2, WEB_IN_EAST, WEB_IN_WEST, World, spiffe_id};

/// Where applications speak it.
pub(crate) const PORT: u16 = 8083;
/// The port of the Service.
const OF_SERVICE: u16 = 83;
const PODS: [&str; 4] = ["web-1", "web-2", "web-3", "web-4"];

/// Who asked, as the sidecar says, for each request.
pub(crate) type Asked = Arc<Mutex<Vec<String>>>;

/// The health service of gRPC, as an application that speaks HTTP/2 without TLS.
pub(crate) fn health_service(space: &Space) -> Asked {
    let listener = space
        .within(|| std::net::TcpListener::bind(("0.0.0.0", PORT)))
        .expect("the port is free");
    listener.set_nonblocking(true).expect("it can be set");
    let listener = tokio::net::TcpListener::from_std(listener).expect("there is a runtime");
    let (_, service) = tonic_health::server::health_reporter();
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let service = InterceptedService::new(service, move |request: tonic::Request<()>| {
        let peer = request.metadata().get("x-forwarded-client-cert");
        let peer = peer.and_then(|peer| peer.to_str().ok()).unwrap_or_default();
        noted.lock().expect("nobody panicked").push(peer.to_owned());
        Ok(request)
    });
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    asked
}

/// A client of it with one connection, that calls it by this name.
pub(crate) async fn health_client(space: &Space, to: SocketAddr, host: &str) -> std::io::Result<HealthClient<Channel>> {
    let stream = space.within(|| client::connect(to))?;
    stream.set_nonblocking(true)?;
    let mut stream = Some(tokio::net::TcpStream::from_std(stream)?);
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().map(TokioIo::new);
        async move { stream.ok_or_else(|| std::io::Error::other("one connection is all there is")) }
    });
    let endpoint = Endpoint::from_shared(format!("http://{host}")).map_err(std::io::Error::other)?;
    let endpoint = endpoint.timeout(DEADLINE);
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map(HealthClient::new).map_err(std::io::Error::other)
}

impl World {
    async fn check(&self, count: usize) -> Result<(), String> {
        let to = (WEB_IN_EAST, OF_SERVICE).into();
        let connected = health_client(&self.pods["client-1"].space, to, "web").await;
        let mut client = connected.map_err(|error| error.to_string())?;
        for _ in 0..count {
            let answer = client.check(HealthCheckRequest::default()).await;
            answer.map_err(|status| status.to_string())?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_of_grpc_reaches_every_pod() {
    need_namespaces();
    let world = World::usual("  mtls: strict\n").await;
    // A gateway chooses a pod for each connection, so the cap decides how soon the other one is asked.
    world.change_settings(|text| {
        text.replace(
            "requestsPerConnection: 1\n",
            "requestsPerConnection: 10\n  connectionAge: 0s\n",
        )
    });
    let web = world.web();
    for (member, ip) in [("east", WEB_IN_EAST), ("east2", WEB_IN_EAST), ("west", WEB_IN_WEST)] {
        let here: Vec<_> = web.iter().filter(|pod| pod.member == member).collect();
        let ports = [("http", 80, 8080), ("grpc", OF_SERVICE, PORT)];
        let text = manifests::service("web", &ip.to_string(), &ports, &here);
        world.say(member, "web.yaml", &text);
    }
    let asked: BTreeMap<&str, Asked> = PODS
        .into_iter()
        .map(|pod| (pod, health_service(&world.pods[pod].space)))
        .collect();
    let count = |pod: &str| asked[pod].lock().expect("nobody panicked").len();
    // Who connected before its sidecar knew of the Service stays outside, hence a connection each time.
    let look = async || {
        world.check(20).await?;
        let silent: Vec<_> = PODS.into_iter().filter(|pod| count(pod) == 0).collect();
        if silent.is_empty() {
            Ok(())
        } else {
            Err(format!("{silent:?}"))
        }
    };
    world.until("every pod to answer gRPC", look).await;
    let capped = async || match world.stat("client-1", &["|83||web.shop", "upstream_cx_max_requests"]) {
        0 => world.check(20).await.and(Err("no connection was replaced".to_owned())),
        _ => Ok(()),
    };
    world.until("connections of ten requests", capped).await;

    let before: BTreeMap<_, _> = PODS.into_iter().map(|pod| (pod, count(pod))).collect();
    world.check(200).await.expect("none fails");
    let shares: BTreeMap<_, _> = PODS.into_iter().map(|pod| (pod, count(pod) - before[pod])).collect();
    assert!(
        shares.values().sum::<usize>() == 200 && shares.values().all(|share| (40..=60).contains(share)),
        "{shares:?}\n{}",
        world.everything()
    );
    // It is HTTP/2 between the sidecars, who asked arrives, and the way to the other network is its gateway.
    let stat = |name| world.stat("client-1", &["cluster.outbound|83||web.shop", name]);
    assert_eq!(stat("upstream_cx_http1_total"), 0);
    assert_ne!(stat("upstream_cx_http2_total"), 0);
    let peer = format!("URI={}", spiffe_id("client-1"));
    for (pod, asked) in &asked {
        let asked = asked.lock().expect("nobody panicked");
        assert!(asked.iter().all(|from| from.contains(&peer)), "{pod}: {asked:?}");
    }
    world.logged("client-1", &format!("upstream={GATEWAY_2}:15443")).await;
    world.nobody_refused_anything();
}
