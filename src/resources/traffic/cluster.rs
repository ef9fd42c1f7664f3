//! Clusters of sidecars and gateways.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbConfig, LbPolicy, OriginalDstLbConfig,
    TransportSocketMatch,
};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster, UpstreamConnectionOptions};
use envoy_types::pb::envoy::config::core::v3::{
    BindConfig, ExtraSourceAddress, Http1ProtocolOptions, Http2ProtocolOptions,
    HttpProtocolOptions as CommonHttpOptions,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    UpstreamProtocolOptions, UseDownstreamHttpConfig,
};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Any, Struct, Value};

use super::super::config_source::ads;
use super::alive;
use super::destination::DirectName;
use super::filters::{duration, packed, socket_address, uint};
use super::names::SniName;
use super::outlier;
use super::settings::{Outlier, TrafficSettings};
use super::tls;
use crate::model::AddressFamilies;
use crate::resources::{ClusterName, Resource, ResourceType, Version};

/// How long an Envoy tries to connect to where a connection was going anyway; Istio's default for all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The same with an endpoint, where another may be tried. A lost SYN is sent again after 1 s.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(3);
/// Where a sidecar connects to its own application from: rules that capture traffic let these addresses pass, as Istio's do.
/// That of IPv6 is there only where somebody gave it to the loopback interface.
const INBOUND_SOURCE: &str = "127.0.0.6";
const INBOUND_SOURCE_V6: &str = "::6";

/// A cluster that leads to no service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FixedCluster {
    /// Where the connection was going anyway.
    Passthrough,
    /// Nowhere.
    BlackHole,
    /// The application beside the sidecar.
    Inbound,
    /// The same, where it speaks TLS: whatever certificate it shows.
    InboundTls,
}

impl FixedCluster {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Passthrough, Self::BlackHole, Self::Inbound, Self::InboundTls];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Passthrough => "PassthroughCluster",
            Self::BlackHole => "BlackHoleCluster",
            Self::Inbound => "InboundPassthroughCluster",
            Self::InboundTls => "InboundTlsCluster",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fixed| fixed.name() == name)
    }
}

/// Everything that decides the content of such a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FixedClusterSpec {
    /// Which one.
    pub cluster: FixedCluster,
    /// What the viewer's application is called by.
    pub families: AddressFamilies,
}

impl FixedClusterSpec {
    pub(in crate::resources) fn version(&self) -> Version {
        Version::of(self)
    }

    pub(in crate::resources) fn encode(&self) -> Resource {
        let name: Arc<str> = self.cluster.name().into();
        let kind = match self.cluster {
            FixedCluster::BlackHole => DiscoveryType::Static,
            FixedCluster::Passthrough | FixedCluster::Inbound | FixedCluster::InboundTls => DiscoveryType::OriginalDst,
        };
        let mut cluster = match self.cluster {
            FixedCluster::Passthrough => base(&name),
            // On this machine, or nowhere: nothing falls silent there.
            FixedCluster::BlackHole | FixedCluster::Inbound | FixedCluster::InboundTls => unwatched(&name),
        };
        cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(kind.into()));
        if kind == DiscoveryType::OriginalDst {
            cluster.lb_policy = LbPolicy::ClusterProvided.into();
            cluster.typed_extension_protocol_options = as_downstream(None);
        }
        if matches!(self.cluster, FixedCluster::Inbound | FixedCluster::InboundTls) {
            cluster.upstream_bind_config = Some(inbound_source(self.families));
        }
        if self.cluster == FixedCluster::InboundTls {
            cluster.transport_socket = Some(tls::believing());
        }
        Resource::encode(ResourceType::Cluster, name, self.version(), &cluster)
    }
}

/// Envoy takes that of the family that it connects by, of two.
fn inbound_source(families: AddressFamilies) -> BindConfig {
    let (first, second) = match families {
        AddressFamilies::V4 | AddressFamilies::Unknown => (INBOUND_SOURCE, None),
        AddressFamilies::V6 => (INBOUND_SOURCE_V6, None),
        AddressFamilies::Dual => (INBOUND_SOURCE, Some(INBOUND_SOURCE_V6)),
    };
    let extra = second.map(|ip| ExtraSourceAddress {
        address: Some(socket_address(ip, 0)),
        ..ExtraSourceAddress::default()
    });
    BindConfig {
        source_address: Some(socket_address(first, 0)),
        extra_source_addresses: extra.into_iter().collect(),
        ..BindConfig::default()
    }
}

/// Everything that decides a sidecar's cluster of one service port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SidecarClusterSpec {
    /// The service port.
    pub name: ClusterName,
    /// The settings.
    pub settings: Arc<TrafficSettings>,
}

impl SidecarClusterSpec {
    pub(in crate::resources) fn version(&self) -> Version {
        Version::of(self)
    }

    /// Mutual TLS to every endpoint but those of which plaintext is said. What is asked of the other side's certificate depends
    /// on the service only, so pods come and go without a word about their cluster.
    pub(in crate::resources) fn encode(&self) -> Resource {
        let settings = &*self.settings;
        let name: Arc<str> = self.name.encode(&settings.domain).into();
        let mut cluster = eds(&name);
        outlier::detect(&mut cluster, &settings.outlier);
        cluster.typed_extension_protocol_options = as_downstream(Some(settings));
        speak_mutual_tls(&mut cluster, settings, &self.name, &self.name.service.namespace);
        Resource::encode(ResourceType::Cluster, name, self.version(), &cluster)
    }
}

/// Has a sidecar's cluster speak mutual TLS with workloads of a namespace, but with those of which plaintext is said.
pub(super) fn speak_mutual_tls(cluster: &mut Cluster, settings: &TrafficSettings, name: &ClusterName, namespace: &str) {
    let ClusterName { service, port } = name.clone();
    let sni = SniName { service, port }.encode(&settings.domain);
    if let Some(socket) = tls::upstream(settings, sni, namespace) {
        cluster.transport_socket = Some(socket);
        cluster.transport_socket_matches = vec![TransportSocketMatch {
            name: "plaintext".to_owned(),
            r#match: Some(plaintext()),
            transport_socket: Some(tls::plaintext()),
        }];
    }
}

/// Everything that decides a sidecar's cluster for connections to pods of a headless service's port themselves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DirectClusterSpec {
    /// The service port.
    pub name: DirectName,
    /// The port that its pods listen on, where it is another one.
    pub port: Option<u16>,
    /// The settings.
    pub settings: Arc<TrafficSettings>,
}

impl DirectClusterSpec {
    pub(in crate::resources) fn version(&self) -> Version {
        Version::of(self)
    }

    /// Which pod is meant, the connection says.
    pub(in crate::resources) fn encode(&self) -> Resource {
        let settings = &*self.settings;
        let name: Arc<str> = self.name.encode(&settings.domain).into();
        let mut cluster = base(&name);
        cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::OriginalDst.into()));
        cluster.lb_policy = LbPolicy::ClusterProvided.into();
        cluster.typed_extension_protocol_options = as_downstream(None);
        cluster.lb_config = self.port.map(|port| {
            LbConfig::OriginalDstLbConfig(OriginalDstLbConfig {
                upstream_port_override: uint(port.into()),
                ..OriginalDstLbConfig::default()
            })
        });
        let ClusterName { service, port } = self.name.0.clone();
        let sni = SniName { service, port }.encode(&settings.domain);
        cluster.transport_socket = tls::upstream(settings, sni, &self.name.0.service.namespace);
        Resource::encode(ResourceType::Cluster, name, self.version(), &cluster)
    }
}

/// Everything that decides a gateway's cluster of one service port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GatewayClusterSpec {
    /// Its name, which is the SNI.
    pub name: Arc<str>,
    /// When a pod that can't be reached is taken out; nothing else of the settings counts.
    pub outlier: Outlier,
}

impl GatewayClusterSpec {
    pub(in crate::resources) fn version(&self) -> Version {
        Version::of(self)
    }

    /// TLS passes through it as it is.
    pub(in crate::resources) fn encode(&self) -> Resource {
        let mut cluster = eds(&self.name);
        // It sees which of its pods can't be reached, and those who come through it don't.
        outlier::detect(&mut cluster, &self.outlier);
        Resource::encode(ResourceType::Cluster, Arc::clone(&self.name), self.version(), &cluster)
    }
}

/// Of what is on other machines, whichever way it is found.
pub(super) fn base(name: &str) -> Cluster {
    Cluster {
        upstream_bind_config: Some(BindConfig {
            socket_options: vec![alive::user_timeout()],
            ..BindConfig::default()
        }),
        upstream_connection_options: Some(UpstreamConnectionOptions {
            tcp_keepalive: Some(alive::keepalive()),
            ..UpstreamConnectionOptions::default()
        }),
        ..unwatched(name)
    }
}

fn unwatched(name: &str) -> Cluster {
    let unlimited = Thresholds {
        max_connections: uint(u32::MAX),
        max_pending_requests: uint(u32::MAX),
        max_requests: uint(u32::MAX),
        max_retries: uint(u32::MAX),
        ..Thresholds::default()
    };
    Cluster {
        name: name.to_owned(),
        connect_timeout: Some(duration(CONNECT_TIMEOUT)),
        // Envoy's own limit of 1024 would refuse requests that the application can take.
        circuit_breakers: Some(CircuitBreakers {
            thresholds: vec![unlimited],
            ..CircuitBreakers::default()
        }),
        ..Cluster::default()
    }
}

pub(super) fn eds(name: &str) -> Cluster {
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(ads()),
            ..EdsClusterConfig::default()
        }),
        connect_timeout: Some(duration(ENDPOINT_TIMEOUT)),
        ..base(name)
    }
}

/// HTTP goes on in the version that it came in. Settings are for whatever may be behind a gateway, which chooses a pod for each
/// connection: requests get around to all pods, and to those that are new, as connections are replaced.
pub(super) fn as_downstream(replaced: Option<&TrafficSettings>) -> std::collections::HashMap<String, Any> {
    let requests = replaced.map_or(0, |settings| settings.requests_per_connection);
    let age = replaced.map_or(Duration::ZERO, |settings| settings.connection_age);
    let options = HttpProtocolOptions {
        common_http_protocol_options: Some(CommonHttpOptions {
            max_requests_per_connection: match requests {
                0 => None,
                limit => uint(limit),
            },
            max_connection_duration: (!age.is_zero()).then(|| duration(age)),
            ..CommonHttpOptions::default()
        }),
        upstream_protocol_options: Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(
            UseDownstreamHttpConfig {
                http_protocol_options: Some(Http1ProtocolOptions::default()),
                http2_protocol_options: Some(Http2ProtocolOptions::default()),
                ..UseDownstreamHttpConfig::default()
            },
        )),
        ..HttpProtocolOptions::default()
    };
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    [(name.to_owned(), packed(&options))].into()
}

/// What an assignment says of endpoints without mutual TLS.
pub(super) fn plaintext() -> Struct {
    let disabled = Value {
        kind: Some(Kind::StringValue("disabled".to_owned())),
    };
    Struct {
        fields: [("tlsMode".to_owned(), disabled)].into(),
    }
}
