//! The one listener of an east-west gateway. It reads the SNI and passes the rest through: which services there are shows in
//! its clusters only, so it never changes with them; only hosts that are not below the domain of the mesh are named one by one.

use std::sync::Arc;

use envoy_types::pb::envoy::config::listener::v3::{FilterChain, FilterChainMatch, Listener};
use envoy_types::pb::envoy::extensions::filters::network::sni_cluster::v3::SniCluster;

use super::GATEWAY_LISTENER;
use super::alive;
use super::cluster::FixedCluster;
use super::filters::{any_address, chain, network_filter, packed, tcp_proxy_to_service, tls_inspector};
use super::settings::TrafficSettings;
use crate::model::AddressFamilies;
use crate::resources::{Resource, ResourceType, Version};

/// The port of an east-west gateway, as in Istio.
const PORT: u16 = 15443;

/// Everything that decides the content of a gateway's listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GatewayListenerSpec {
    /// What the viewer listens on.
    pub families: AddressFamilies,
    /// The names of clusters that are of hosts outside of the domain, sorted.
    pub hosts: Vec<Arc<str>>,
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
        let by_sni = |name: &str, server_names: Vec<String>| FilterChain {
            filter_chain_match: Some(FilterChainMatch {
                transport_protocol: "tls".to_owned(),
                server_names,
                ..FilterChainMatch::default()
            }),
            ..chain(
                name,
                vec![
                    network_filter("sni_cluster", packed(&SniCluster {})),
                    tcp_proxy_to_service(settings, "gateway", FixedCluster::BlackHole.name()),
                ],
            )
        };
        let mut chains = vec![by_sni("sni", vec![format!("*.{}", settings.domain)])];
        if !self.hosts.is_empty() {
            // One by one: a name that is let in must be that of a cluster for it, and never of another one of this Envoy. In a
            // chain of their own, so that connections of the other one don't notice when they come and go.
            let names = self.hosts.iter().map(|name| name.to_string());
            chains.push(by_sni("hosts", names.collect()));
        }
        let listener = Listener {
            name: GATEWAY_LISTENER.to_owned(),
            address: Some(any_address(self.families, PORT)),
            listener_filters: vec![tls_inspector()],
            socket_options: alive::of_listener(),
            filter_chains: chains,
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
