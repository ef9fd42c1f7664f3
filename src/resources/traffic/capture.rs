//! Where captured connections of a workload arrive, and where those go that no service claims.

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::Listener;

use super::CAPTURE_LISTENER;
use super::cluster::FixedCluster;
use super::filters::{any_address, chain, direct, tcp_proxy, yes};
use super::settings::{Outside, TrafficSettings};
use crate::model::AddressFamilies;
use crate::resources::{Resource, ResourceType, Version};

/// The port that rules redirect outgoing connections to, as in Istio.
const PORT: u16 = 15001;

impl Outside {
    /// The cluster for what no service claims.
    pub(super) fn cluster(self) -> FixedCluster {
        match self {
            Self::Passthrough => FixedCluster::Passthrough,
            Self::Block => FixedCluster::BlackHole,
        }
    }
}

/// Everything that decides the content of the capturing listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CaptureSpec {
    /// What the viewer listens on.
    pub families: AddressFamilies,
    /// The settings.
    pub settings: Arc<TrafficSettings>,
}

impl CaptureSpec {
    pub(in crate::resources) fn version(&self) -> Version {
        Version::of(&(CAPTURE_LISTENER, self))
    }

    /// It hands connections to the listener of the address they were going to, if there is one.
    pub(in crate::resources) fn encode(&self) -> Resource {
        let settings = &*self.settings;
        let outside = settings.outside.cluster().name();
        let listener = Listener {
            name: CAPTURE_LISTENER.to_owned(),
            address: Some(any_address(self.families, PORT)),
            use_original_dst: yes(),
            filter_chains: vec![
                direct(settings, "outbound", PORT),
                chain("outside", vec![tcp_proxy(settings, "outbound", outside)]),
            ],
            traffic_direction: TrafficDirection::Outbound.into(),
            ..Listener::default()
        };
        Resource::encode(
            ResourceType::Listener,
            CAPTURE_LISTENER.into(),
            self.version(),
            &listener,
        )
    }
}
