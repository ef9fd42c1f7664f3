//! The listeners that take captured connections over, by where they were going.

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch, Listener};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::Rds;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::google::protobuf::BoolValue;

use super::super::config_source::ads;
use super::destination::Destination;
use super::filters::{
    address, any_address, chain, duration, http, http_inspector, manager, set_state, tcp_proxy, tcp_proxy_to_service,
    tls_inspector,
};
use super::names::OutboundListener;
use super::settings::TrafficSettings;
use super::tls::{BYTES_INSIDE, HTTP_INSIDE, PLAIN_HTTP, SNIFFING};
use crate::model::AddressFamilies;
use crate::resources::{ClusterName, Resource, ResourceType, Version};

/// What overrides a cluster's ALPN for one connection.
const ALPN: &str = "envoy.network.application_protocols";

/// What such a listener is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OutboundTarget {
    /// All services of its port that speak HTTP, by the name that a request gives. What is no HTTP goes outside.
    Names,
    /// One service port by its address, as bytes. Nothing looks at them, so a server may speak first.
    Bytes(Destination),
    /// One service port by its address; HTTP goes by its name.
    Sniffed(Destination),
}

/// What the listener of all addresses of a port knows of hosts outside of Kubernetes, beside names that HTTP requests give.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct OutsideHosts {
    /// By the name that a TLS client gives, sorted.
    pub by_sni: Vec<ClusterName>,
    /// All else; it goes outside, as the settings have it, where there is none.
    pub rest: Option<ClusterName>,
}

impl OutsideHosts {
    /// The clusters of all of them.
    fn clusters(&self, domain: &str) -> impl Iterator<Item = Arc<str>> {
        let all = self.by_sni.iter().chain(&self.rest);
        all.map(|cluster| cluster.encode(domain).into())
    }
}

/// Everything that decides the content of an outbound listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OutboundSpec {
    /// What the viewer listens on.
    pub families: AddressFamilies,
    /// Where the connections were going.
    pub listener: OutboundListener,
    /// What it is for.
    pub target: OutboundTarget,
    /// What it knows of hosts, where it is the one of all addresses.
    pub hosts: OutsideHosts,
    /// The settings.
    pub settings: Arc<TrafficSettings>,
}

impl OutboundSpec {
    pub(in crate::resources) fn version(&self) -> Version {
        Version::of(self)
    }

    pub(in crate::resources) fn encode(&self) -> Resource {
        let settings = &*self.settings;
        let OutboundListener { address: ip, port } = self.listener;
        let name = self.listener.encode();
        let mut listener = Listener {
            name: name.clone(),
            address: Some(ip.map_or_else(|| any_address(self.families, port), |ip| address(&ip.to_string(), port))),
            // Connections are handed over by the capturing listener and never arrive on their own.
            bind_to_port: Some(BoolValue { value: false }),
            traffic_direction: TrafficDirection::Outbound.into(),
            ..Listener::default()
        };
        let bytes = |to: &Destination| {
            let cluster = to.cluster(&settings.domain);
            vec![
                set_state(ALPN, &BYTES_INSIDE.join(",")),
                tcp_proxy_to_service(settings, "outbound", &cluster),
            ]
        };
        let of_host = |cluster: &ClusterName| bytes(&Destination::Endpoints(cluster.clone()));
        let outside = || vec![tcp_proxy(settings, "outbound", settings.outside.cluster().name())];
        match &self.target {
            OutboundTarget::Bytes(to) => listener.filter_chains = vec![chain("bytes", bytes(to))],
            OutboundTarget::Sniffed(to) => self.sniff(&mut listener, bytes(to)),
            OutboundTarget::Names => {
                let rest = self.hosts.rest.as_ref().map_or_else(outside, of_host);
                self.sniff(&mut listener, rest);
                let by_sni = self.hosts.by_sni.iter().map(|cluster| {
                    let host = cluster.service.host(&settings.domain);
                    FilterChain {
                        filter_chain_match: Some(FilterChainMatch {
                            transport_protocol: "tls".to_owned(),
                            server_names: vec![host.clone()],
                            ..FilterChainMatch::default()
                        }),
                        ..chain(&host, of_host(cluster))
                    }
                });
                listener.filter_chains.extend(by_sni);
            }
        }
        let to = match &self.target {
            OutboundTarget::Bytes(to) | OutboundTarget::Sniffed(to) => Some(to),
            OutboundTarget::Names => None,
        };
        let to = to.map(|to| to.cluster(&settings.domain).into());
        let clusters = to.into_iter().chain(self.hosts.clusters(&settings.domain));
        let resource =
            Resource::encode(ResourceType::Listener, name.into(), self.version(), &listener).leading_to(clusters);
        match &self.target {
            OutboundTarget::Bytes(_) => resource,
            OutboundTarget::Names | OutboundTarget::Sniffed(_) => resource.asking_for_routes(),
        }
    }

    fn sniff(&self, listener: &mut Listener, otherwise: Vec<Filter>) {
        listener.listener_filters = vec![tls_inspector(), http_inspector()];
        listener.listener_filters_timeout = Some(duration(SNIFFING));
        listener.continue_on_listener_filters_timeout = true;
        listener.filter_chains = vec![self.names()];
        listener.default_filter_chain = Some(chain("bytes", otherwise));
    }

    fn names(&self) -> FilterChain {
        let routes = self.listener.port.to_string();
        let prefix = format!("outbound_{}", self.listener.encode());
        let manager = manager(
            &self.settings,
            "outbound",
            &prefix,
            RouteSpecifier::Rds(Rds {
                config_source: Some(ads()),
                route_config_name: routes,
            }),
        );
        FilterChain {
            filter_chain_match: Some(FilterChainMatch {
                transport_protocol: "raw_buffer".to_owned(),
                application_protocols: PLAIN_HTTP.map(str::to_owned).into(),
                ..FilterChainMatch::default()
            }),
            ..chain("http", vec![set_state(ALPN, &HTTP_INSIDE.join(",")), http(&manager)])
        }
    }
}
