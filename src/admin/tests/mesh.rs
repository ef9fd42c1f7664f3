//! The mesh that the tests look into: three members on three networks, one of which has a gateway.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::super::{AdminState, ServeError, serve};
use crate::cache::Cache;
use crate::config::SettingsStanding;
use crate::lifecycle::{BlockReady, Readiness};
use crate::push::{Builder, PushMetrics, Pusher};
use crate::registry::{Hosts, Members};
use crate::table::testing::{gateway, joined, listed, service_record, table, web};
use crate::table::{EventSink as _, Record};
use crate::telemetry::Metrics;
use crate::tls::{Acceptor, Listener};
use crate::xds::{AdsServer, ConnectionMetrics, XdsConfig, XdsMetrics};

/// A server over the mesh; stops when dropped.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) pusher: Arc<Pusher>,
    /// Where proxies connect.
    pub(super) xds: SocketAddr,
    block: Mutex<Option<BlockReady>>,
    cancel: CancellationToken,
    server: JoinHandle<Result<(), ServeError>>,
    pushing: JoinHandle<()>,
}

impl Running {
    /// Starts one that is not ready yet.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut running = Self::start_on(listener).await;
        running.address = address;
        running
    }

    /// The same on a listener of any kind; `address` is of no use then.
    pub(super) async fn start_on<L>(listener: L) -> Self
    where
        L: axum::serve::Listener,
        L::Addr: std::fmt::Debug,
    {
        let table = Arc::new(table());
        let mut metrics = Metrics::new();
        let push_metrics = PushMetrics::default();
        push_metrics.register(metrics.registry());
        let builder = Builder::new(Arc::clone(&table), "cluster.local", push_metrics.clone());
        let cache = Cache::new(Arc::clone(&builder) as _);
        let pusher = Arc::new(Pusher::new(
            Arc::clone(&table),
            builder,
            Arc::clone(&cache),
            push_metrics,
        ));
        fill(&pusher);
        let cancel = CancellationToken::new();
        let metrics_of_xds = XdsMetrics::new();
        let ads = AdsServer::new(cache, XdsConfig::default(), metrics_of_xds, || true, cancel.clone());
        let streams = ads.streams();
        let xds_listener = Listener::tcp(([127, 0, 0, 1], 0).into()).unwrap();
        let xds = xds_listener.local_addr().unwrap();
        let incoming = Acceptor::new(xds_listener, None).incoming();
        let proxies = async move {
            let (_trigger, watcher) = crate::lifecycle::drain();
            crate::xds::serve(incoming, ads, ConnectionMetrics::default(), 100, &watcher).await;
        };
        tokio::spawn(cancel.clone().run_until_cancelled_owned(proxies));
        let readiness = Readiness::new();
        let block = readiness.block("member north");
        let state = AdminState {
            table,
            members: Members::default(),
            hosts: Hosts::default(),
            settings: SettingsStanding::new(None),
            streams,
            pusher: Arc::clone(&pusher),
            readiness,
            metrics: Arc::new(metrics),
            domain: "cluster.local".into(),
        };
        let server = tokio::spawn(serve(listener, state, cancel.clone()));
        let pushing = tokio::spawn({
            let pusher = Arc::clone(&pusher);
            async move { pusher.run().await }
        });
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            pusher,
            xds,
            block: Mutex::new(Some(block)),
            cancel,
            server,
            pushing,
        }
    }

    pub(super) fn become_ready(&self) {
        self.block.lock().unwrap().take();
    }

    pub(super) async fn channel(&self) -> Channel {
        connect(self.address).await
    }

    pub(super) async fn stop(mut self) -> Result<(), ServeError> {
        self.cancel.cancel();
        (&mut self.server).await.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel.cancel();
        self.pushing.abort();
    }
}

/// `web.shop`, port 80: one pod in west, two in east behind a gateway, one in north without one; `cart.shop` with two ports.
fn fill(pusher: &Pusher) {
    let ports = [(80, "http"), (9090, "metrics")].map(|(number, name)| crate::table::testing::port(number, name));
    let cart = Record::Service(service_record("cart", ports.into()));
    let east = [gateway("eastwest", "net2", &["203.0.113.7"])];
    for (name, network, addresses, more) in [
        ("west", "net1", &["10.1.0.1"][..], vec![cart]),
        ("east", "net2", &["10.2.0.1", "10.2.0.2"], east.into()),
        ("north", "net3", &["10.3.0.1"], Vec::new()),
    ] {
        pusher.apply(joined(name, network));
        pusher.apply(listed(name, web(addresses).into_iter().chain(more)));
    }
}

/// A connection to one of its two ports.
pub(super) async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    soon(endpoint.connect()).await.unwrap()
}

/// Waits for something that must come soon.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what)
        .await
        .expect("it comes within 10 s")
}
