//! The library's server in this process, on content that a test sets at will, and real Envoys at it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3 as endpoint;
use envoy_types::pb::google::protobuf::Duration;
use parallax::cache::{Cache, Source};
use parallax::model::{AddressFamilies, NetworkId, NetworkOrigin, Role, Standpoint, Vantage, ViewKey, Viewer};
use parallax::resources::ResourceType::{Cluster as CDS, ClusterLoadAssignment as EDS};
use parallax::resources::{Resource, ResourceType, Version};
use parallax::tls::{Acceptor, Listener};
use parallax::xds::{
    AdsServer, ConnectionMetrics, Detail, Streams, TypeStatus, XdsConfig, XdsMetrics, serve as serve_connections,
};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::envoys::DEADLINE;
use super::super::harness::{Dialect, Envoy, EnvoyOptions, eventually};

type Content = BTreeMap<(ResourceType, Arc<str>), Arc<Resource>>;

/// What there is, and the role of everybody.
#[derive(Debug)]
struct World(Mutex<Content>, Role);

impl Source for World {
    fn locate(&self, _: &Viewer) -> Standpoint {
        let network = NetworkId::new("net1").expect("a good name");
        Standpoint {
            key: ViewKey {
                role: self.1,
                ..ViewKey::endpoints(network, AddressFamilies::Dual)
            },
            inbound: (self.1 == Role::Sidecar).then(Arc::default),
            origin: NetworkOrigin::Default,
            contradiction: None,
            vantage: Vantage::default(),
        }
    }

    fn names(&self, _: &ViewKey, kind: ResourceType) -> Vec<Arc<str>> {
        let all = self.0.lock().expect("no panic before");
        all.keys()
            .filter(|(other, _)| *other == kind)
            .map(|(_, name)| Arc::clone(name))
            .collect()
    }

    fn covers(&self, _: ResourceType, _: &str) -> bool {
        true
    }

    fn build(&self, _: &ViewKey, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        self.0
            .lock()
            .expect("no panic before")
            .get(&(kind, name.into()))
            .cloned()
    }
}

/// One life of a server.
struct Life {
    streams: Arc<Streams>,
    cache: Arc<Cache>,
    metrics: XdsMetrics,
    _stop: DropGuard,
}

/// A server and its content, which outlives it.
pub(super) struct Lab {
    world: Arc<World>,
    address: SocketAddr,
    life: Option<Life>,
    folder: tempfile::TempDir,
}

impl Lab {
    pub(super) async fn start() -> Self {
        Self::of(Role::Endpoints).await
    }

    /// Whoever comes gets what is for this role.
    pub(super) async fn of(role: Role) -> Self {
        let listener = Listener::tcp(([127, 0, 0, 1], 0).into()).expect("a port");
        let mut lab = Self {
            world: Arc::new(World(Mutex::default(), role)),
            address: listener.local_addr().expect("an address"),
            life: None,
            folder: tempfile::tempdir().expect("a folder"),
        };
        lab.serve(listener);
        lab
    }

    fn serve(&mut self, listener: Listener) {
        let cache = Cache::new(Arc::clone(&self.world) as Arc<dyn Source>);
        let (trigger, watcher) = parallax::lifecycle::drain();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            stopped.await;
            trigger.begin();
        });
        let xds_metrics = XdsMetrics::new();
        let ads = AdsServer::new(
            Arc::clone(&cache),
            XdsConfig {
                drain_spread: std::time::Duration::ZERO,
                ..XdsConfig::default()
            },
            xds_metrics.clone(),
            || true,
            watcher.token(),
        );
        let streams = ads.streams();
        let incoming = Acceptor::new(listener, None).incoming();
        let metrics = ConnectionMetrics::default();
        tokio::spawn(async move { serve_connections(incoming, ads, metrics, usize::MAX, &watcher).await });
        self.life = Some(Life {
            streams,
            cache,
            metrics: xds_metrics,
            _stop: stop.drop_guard(),
        });
    }

    /// Ends the server with all its connections; changes are possible meanwhile.
    pub(super) async fn stop(&mut self) {
        let life = self.life.take().expect("it runs");
        let streams = Arc::clone(&life.streams);
        drop(life);
        eventually("all streams to end", DEADLINE, async || {
            if streams.is_empty() {
                Ok(())
            } else {
                Err(streams.len().to_string())
            }
        })
        .await
        .expect("they end");
    }

    pub(super) async fn restart(&mut self) {
        let address = self.address;
        let bind = async || Listener::tcp(address).map_err(|error| error.to_string());
        let listener = eventually("the port to be free", DEADLINE, bind)
            .await
            .expect("it is free");
        self.serve(listener);
    }

    pub(super) async fn envoy(&self, dialect: Dialect) -> Envoy {
        let name = format!("{dialect:?}").to_lowercase();
        let folder = self.folder.path().join(&name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let id = format!("sidecar~10.1.0.50~{name}.shop~shop.svc.cluster.local");
        let mut options = EnvoyOptions::new(id, self.address, folder);
        options.dialect = dialect;
        options.listeners = self.world.1 != Role::Endpoints;
        let options = options.with_metadata("CLUSTER_ID", "east");
        Envoy::start(options).await.expect("Envoy starts")
    }

    pub(super) fn change(&self, kind: ResourceType, name: &str, resource: Option<Resource>) {
        let name: Arc<str> = name.into();
        let mut world = self.world.0.lock().expect("no panic before");
        match resource {
            Some(resource) => world.insert((kind, Arc::clone(&name)), Arc::new(resource)),
            None => world.remove(&(kind, Arc::clone(&name))),
        };
        drop(world);
        if let Some(life) = &self.life {
            for view in life.cache.live_views() {
                view.refresh(kind, [&name]);
            }
        }
    }

    /// A cluster with this timeout to connect, in seconds: what can be changed in it here.
    pub(super) fn cluster(&self, name: &str, timeout: i64) {
        let ads = core::ConfigSource {
            resource_api_version: core::ApiVersion::V3.into(),
            config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
                core::AggregatedConfigSource {},
            )),
            ..core::ConfigSource::default()
        };
        let cluster = Cluster {
            name: name.to_owned(),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
            eds_cluster_config: Some(EdsClusterConfig {
                eds_config: Some(ads),
                ..EdsClusterConfig::default()
            }),
            connect_timeout: Some(Duration {
                seconds: timeout,
                nanos: 0,
            }),
            ..Cluster::default()
        };
        let version = Version::of(&(name, timeout));
        self.change(CDS, name, Some(Resource::encode(CDS, name.into(), version, &cluster)));
    }

    /// An assignment with these ports of loopback.
    pub(super) fn assignment(&self, name: &str, ports: &[u32]) {
        let host = |port: &u32| endpoint::LbEndpoint {
            host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(endpoint::Endpoint {
                address: Some(core::Address {
                    address: Some(core::address::Address::SocketAddress(core::SocketAddress {
                        address: "127.0.0.1".to_owned(),
                        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(*port)),
                        ..core::SocketAddress::default()
                    })),
                }),
                ..endpoint::Endpoint::default()
            })),
            ..endpoint::LbEndpoint::default()
        };
        let message = endpoint::ClusterLoadAssignment {
            cluster_name: name.to_owned(),
            endpoints: vec![endpoint::LocalityLbEndpoints {
                lb_endpoints: ports.iter().map(host).collect(),
                ..endpoint::LocalityLbEndpoints::default()
            }],
            ..endpoint::ClusterLoadAssignment::default()
        };
        let version = Version::of(&(name, ports));
        self.change(EDS, name, Some(Resource::encode(EDS, name.into(), version, &message)));
    }

    pub(super) fn no_cluster(&self, name: &str) {
        self.change(CDS, name, None);
    }

    pub(super) fn no_assignment(&self, name: &str) {
        self.change(EDS, name, None);
    }

    /// How often this life of the server gave up waiting for its order.
    pub(super) fn given_up(&self) -> String {
        let mut registry = Registry::default();
        self.life.as_ref().expect("it runs").metrics.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a String takes everything");
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix("xds_order_given_up_total "));
        value.expect("it is told").to_owned()
    }

    /// What the session of the one stream knows of CDS and EDS.
    pub(super) fn status(&self) -> Option<(TypeStatus, TypeStatus)> {
        let streams = self.life.as_ref()?.streams.list(Detail::Summary);
        let of = |kind| {
            let mut types = streams.first()?.types.iter();
            types
                .find(|info| info.status.kind == kind)
                .map(|info| info.status.clone())
        };
        Some((of(CDS)?, of(EDS)?))
    }

    /// Waits until the Envoy has taken all there is.
    pub(super) async fn settled(&self) -> (TypeStatus, TypeStatus) {
        let look = async || {
            let status = self.status();
            let quiet = |status: &TypeStatus| status.in_flight.is_none() && status.pending == 0 && status.pushes > 0;
            match status {
                Some((clusters, assignments)) if quiet(&clusters) && quiet(&assignments) => Ok((clusters, assignments)),
                status => Err(format!("{status:?}")),
            }
        };
        eventually("everything to be acknowledged", DEADLINE, look)
            .await
            .expect("it settles")
    }
}
