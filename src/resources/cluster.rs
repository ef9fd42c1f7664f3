//! The Envoy cluster of one service port.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig};

use super::config_source::ads;
use super::{Resource, ResourceType, Version};

/// How long an Envoy tries to connect to an endpoint; Istio's default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that decides a cluster's content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterSpec {
    /// The cluster's name, and that of its assignment.
    pub name: Arc<str>,
}

impl ClusterSpec {
    /// The version of what [`ClusterSpec::encode`] gives.
    #[must_use]
    pub fn version(&self) -> Version {
        Version::of(self)
    }

    /// An EDS cluster whose endpoints come over the same ADS stream.
    #[must_use]
    pub fn encode(&self) -> Resource {
        let cluster = pb::envoy::config::cluster::v3::Cluster {
            name: self.name.to_string(),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
            eds_cluster_config: Some(EdsClusterConfig {
                eds_config: Some(ads()),
                ..EdsClusterConfig::default()
            }),
            connect_timeout: Some(duration(CONNECT_TIMEOUT)),
            ..pb::envoy::config::cluster::v3::Cluster::default()
        };
        Resource::encode(ResourceType::Cluster, Arc::clone(&self.name), self.version(), &cluster)
    }
}

fn duration(duration: Duration) -> pb::google::protobuf::Duration {
    pb::google::protobuf::Duration {
        seconds: i64::try_from(duration.as_secs()).expect("timeouts are below the range of i64"),
        nanos: i32::try_from(duration.subsec_nanos()).expect("a fraction of a second fits"),
    }
}
