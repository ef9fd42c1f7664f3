//! The service over loopback: real connections, a real client, and a world that the test changes by hand.

mod admission;
mod bad_clients;
mod client;
mod fuzz;
mod hard;
mod instructions;
mod lifecycle;
mod messages;
mod serving;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::Locality;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, LocalityLbEndpoints};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::*;
use crate::cache::{Cache, Source};
use crate::model::{AddressFamilies, NetworkId, NetworkOrigin, Role, Standpoint, Vantage, ViewKey, Viewer};
use crate::resources::{
    Resource,
    ResourceType::{self, Cluster as CDS, ClusterLoadAssignment as EDS},
    Version,
};
use crate::tls::{Acceptor, Listener};
use client::Client;

/// Far more than anything here takes; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whoever asks for this finds a mistake of ours.
const PANIC: &str = "a-panic";

/// The network whose proxies get listeners.
const CAPTURED: &str = "captured";

/// The member of which nothing is known yet.
const NOT_KNOWN: &str = "not-known";

/// The member that goes as soon as anybody has looked at it.
const GOES: &str = "goes";

const BOTH: [Dialect; 2] = [Dialect::StateOfTheWorld, Dialect::Delta];

type Resources = BTreeMap<(ResourceType, Arc<str>), Arc<Resource>>;

/// What exists, and how often something of it was asked for.
#[derive(Debug, Default)]
struct World {
    resources: Mutex<Resources>,
    builds: AtomicUsize,
    looks: AtomicUsize,
}

impl Source for World {
    fn locate(&self, viewer: &Viewer) -> Standpoint {
        let default = NetworkId::new("default").unwrap();
        let network = viewer.network.clone().unwrap_or(default);
        let captures = network.as_str() == CAPTURED;
        let families = AddressFamilies::of(viewer.addresses.iter().copied());
        let is_known = viewer.member.as_ref().is_none_or(|member| match member.as_str() {
            NOT_KNOWN => false,
            GOES => self.looks.fetch_add(1, Ordering::Relaxed) == 0,
            _ => true,
        });
        Standpoint {
            key: ViewKey {
                role: if captures { viewer.role } else { Role::Endpoints },
                ..ViewKey::endpoints(network, families)
            },
            inbound: (captures && is_known).then(Arc::default),
            origin: NetworkOrigin::Metadata,
            contradiction: None,
            vantage: Vantage::default(),
        }
    }

    fn names(&self, _: &ViewKey, kind: ResourceType) -> Vec<Arc<str>> {
        let all = self.resources.lock().unwrap();
        let names = all.keys().filter(|(other, _)| *other == kind);
        names.map(|(_, name)| Arc::clone(name)).collect()
    }

    fn covers(&self, _: ResourceType, _: &str) -> bool {
        true
    }

    fn build(&self, _: &ViewKey, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        self.builds.fetch_add(1, Ordering::Relaxed);
        assert_ne!(name, PANIC, "as a test wants");
        self.resources.lock().unwrap().get(&(kind, name.into())).cloned()
    }
}

/// A running server.
struct Bench {
    world: Arc<World>,
    cache: Arc<Cache>,
    ads: AdsServer,
    metrics: XdsMetrics,
    drain: CancellationToken,
    ready: Arc<std::sync::atomic::AtomicBool>,
    uri: String,
    _stop: DropGuard,
}

impl Bench {
    async fn start(config: XdsConfig) -> Self {
        let world = Arc::new(World::default());
        let cache = Cache::new(Arc::clone(&world) as Arc<dyn Source>);
        let metrics = XdsMetrics::new();
        let drain = CancellationToken::new();
        let ready = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let is_ready = Arc::clone(&ready);
        let ads = AdsServer::new(
            Arc::clone(&cache),
            config,
            metrics.clone(),
            move || is_ready.load(std::sync::atomic::Ordering::Relaxed),
            drain.clone(),
        );
        let listener = Listener::tcp(([127, 0, 0, 1], 0).into()).unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let (incoming, server) = (Acceptor::new(listener, None).incoming(), ads.clone());
        let serving = async move {
            // The drain of connections is not begun here; that of streams is.
            let (_trigger, watcher) = crate::lifecycle::drain();
            serve(incoming, server, ConnectionMetrics::default(), usize::MAX, &watcher).await;
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(serving));
        Self {
            world,
            cache,
            ads,
            metrics,
            drain,
            ready,
            uri,
            _stop: stop.drop_guard(),
        }
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.uri.clone()).unwrap();
        endpoint
            .initial_stream_window_size(Some(65_535))
            .connect()
            .await
            .unwrap()
    }

    async fn connect(&self, dialect: Dialect) -> Client {
        Client::open(self.channel().await, dialect).await.unwrap()
    }

    /// The code that a new stream is refused with.
    async fn refused(&self, dialect: Dialect) -> Code {
        let refused = Client::open(self.channel().await, dialect).await;
        refused.err().expect("it is refused").code()
    }

    fn change(&self, kind: ResourceType, name: &str, resource: Option<Resource>) {
        let name: Arc<str> = name.into();
        let key = (kind, Arc::clone(&name));
        let mut world = self.world.resources.lock().unwrap();
        match resource {
            Some(resource) => drop(world.insert(key, Arc::new(resource))),
            None => drop(world.remove(&key)),
        }
        drop(world);
        for view in self.cache.live_views() {
            view.refresh(kind, [&name]);
        }
    }

    /// A cluster and an assignment of this name.
    fn put(&self, name: &str, content: u32) {
        self.change(CDS, name, Some(cluster(name)));
        self.change(EDS, name, Some(assignment(name, content, 0)));
    }

    /// The sum of a metric's values over its labels, as it is shown.
    fn metric(&self, name: &str) -> f64 {
        let mut registry = prometheus_client::registry::Registry::default();
        self.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{')).then_some(value)
        });
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    /// The one open stream.
    fn only(&self, detail: Detail) -> StreamInfo {
        let mut all = self.ads.streams().list(detail);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    /// Waits until something is true.
    async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let poll = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, poll).await;
        waited.unwrap_or_else(|_| panic!("never: {what}"));
    }
}

fn cluster(name: &str) -> Resource {
    let message = Cluster {
        name: name.to_owned(),
        ..Cluster::default()
    };
    Resource::encode(CDS, name.into(), Version::of(&(CDS, name)), &message)
}

/// An assignment that is told from others by its priority, and as large as it should be.
fn assignment(name: &str, content: u32, bytes: usize) -> Resource {
    let endpoints = LocalityLbEndpoints {
        priority: content,
        locality: Some(Locality {
            region: "x".repeat(bytes),
            ..Locality::default()
        }),
        ..LocalityLbEndpoints::default()
    };
    let message = ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: vec![endpoints],
        ..ClusterLoadAssignment::default()
    };
    let version = Version::of(&(EDS, name, content, bytes));
    Resource::encode(EDS, name.into(), version, &message)
}

fn type_info(stream: &StreamInfo, kind: ResourceType) -> &TypeInfo {
    let mut types = stream.types.iter();
    types.find(|info| info.status.kind == kind).unwrap()
}
