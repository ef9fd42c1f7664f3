//! The one listener of an east-west gateway. It reads the SNI and passes the rest through: which services there are shows in
//! its clusters only, so it never changes with them.

use std::sync::Arc;

use envoy_types::pb::envoy::config::listener::v3::{FilterChain, FilterChainMatch, Listener};
use envoy_types::pb::envoy::extensions::filters::network::sni_cluster::v3::SniCluster;

use super::GATEWAY_LISTENER;
use super::cluster::FixedCluster;
use super::filters::{address, chain, network_filter, packed, tcp_proxy_to_service, tls_inspector};
use super::settings::TrafficSettings;
use crate::resources::{Resource, ResourceType, Version};

/// The port of an east-west gateway, as in Istio.
const PORT: u16 = 15443;

/// Everything that decides the content of a gateway's listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GatewayListenerSpec {
    /// The settings.
    pub settings: Arc<TrafficSettings>,
}

impl GatewayListenerSpec {
    pub(in crate::resources) fn version(&self) -> Version {
        Version::of(&(GATEWAY_LISTENER, self))
    }

    /// Plaintext and names of another domain match no chain and are refused; a name without a cluster finds no way.
    pub(in crate::resources) fn encode(&self) -> Resource {
        let settings = &*self.settings;
        let by_sni = FilterChain {
            filter_chain_match: Some(FilterChainMatch {
                transport_protocol: "tls".to_owned(),
                server_names: vec![format!("*.{}", settings.domain)],
                ..FilterChainMatch::default()
            }),
            ..chain(
                "sni",
                vec![
                    network_filter("sni_cluster", packed(&SniCluster {})),
                    tcp_proxy_to_service(settings, "gateway", FixedCluster::BlackHole.name()),
                ],
            )
        };
        let listener = Listener {
            name: GATEWAY_LISTENER.to_owned(),
            address: Some(address("0.0.0.0", PORT)),
            listener_filters: vec![tls_inspector()],
            filter_chains: vec![by_sni],
            ..Listener::default()
        };
        Resource::encode(
            ResourceType::Listener,
            GATEWAY_LISTENER.into(),
            self.version(),
            &listener,
        )
    }
}
