//! Where connections to a captured workload arrive. Workloads that ask the same of who connects share one listener: which port was
//! meant, the connection says; whether HTTP is inside, the other sidecar says by ALPN, and a look at the first bytes where there is
//! none.

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch, Listener};
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    ForwardClientCertDetails, RouteSpecifier, SetCurrentClientCertDetails,
};

use super::INBOUND_LISTENER;
use super::alive;
use super::cluster::FixedCluster;
use super::filters::{
    any_address, chain, direct, duration, http, http_inspector, manager, original_dst, set_state, tcp_proxy,
    tls_inspector, uint, yes,
};
use super::routes;
use super::settings::{Application, TrafficSettings};
use super::tls::{self, BYTES_INSIDE, HTTP_INSIDE, PLAIN_HTTP, SNIFFING};
use crate::model::{AddressFamilies, InboundPolicy, MtlsMode, ProbeQuestion};
use crate::resources::{Resource, ResourceType, Version};

/// The port that rules redirect incoming connections to, as in Istio.
const PORT: u16 = 15006;
/// The port of Envoy's own admin interface, as in Istio and in the bootstraps that we write.
const ADMIN: u16 = 15000;
/// What overrides where a connection goes that keeps its destination.
const DESTINATION: &str = "envoy.network.transport_socket.original_dst_address";

/// Everything that decides the content of the inbound listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InboundSpec {
    /// What the viewer listens on.
    pub families: AddressFamilies,
    /// What the workload asks of who connects.
    pub policy: Arc<InboundPolicy>,
    /// The settings.
    pub settings: Arc<TrafficSettings>,
}

/// Whose connection a chain is for.
#[derive(Debug, Clone, Copy)]
enum Peer {
    /// One that showed its certificate.
    Known,
    /// Anybody.
    Anybody,
}

impl InboundSpec {
    pub(in crate::resources) fn version(&self) -> Version {
        Version::of(&(INBOUND_LISTENER, self))
    }

    pub(in crate::resources) fn encode(&self) -> Resource {
        let settings = &*self.settings;
        let mut chains = vec![direct(settings, "inbound", PORT)];
        chains.extend(self.chains_of(None));
        // Whoever connects to the listener's own port would come back here, again and again.
        let mut closed = vec![PORT];
        if settings.application == Application::Localhost {
            // On 127.0.0.1 Envoy listens too, for whoever owns the pod. Not all rules that capture traffic leave the port out.
            closed.push(ADMIN);
            chains.push(FilterChain {
                name: "admin".to_owned(),
                ..direct(settings, "inbound", ADMIN)
            });
        }
        for port in self
            .policy
            .own_ports()
            .into_iter()
            .filter(|port| !closed.contains(port))
        {
            chains.extend(self.chains_of(Some(port)));
        }
        let takes_plaintext = self.policy.modes().any(|mode| mode != MtlsMode::Strict);
        let mut listener_filters = vec![original_dst(), tls_inspector()];
        if takes_plaintext {
            listener_filters.push(http_inspector());
        }
        let listener = Listener {
            name: INBOUND_LISTENER.to_owned(),
            address: Some(any_address(self.families, PORT)),
            listener_filters,
            // Who must speak TLS speaks first, however late its first bytes are: Envoy's own patience of 15 s is right.
            listener_filters_timeout: takes_plaintext.then(|| duration(SNIFFING)),
            continue_on_listener_filters_timeout: takes_plaintext,
            filter_chains: chains,
            socket_options: alive::of_listener(),
            traffic_direction: TrafficDirection::Inbound.into(),
            ..Listener::default()
        };
        Resource::encode(
            ResourceType::Listener,
            INBOUND_LISTENER.into(),
            self.version(),
            &listener,
        )
    }

    /// The chains of a port, or of all that have none of their own: where a port is named by any chain, Envoy looks at no chain
    /// without it.
    fn chains_of(&self, port: Option<u16>) -> Vec<FilterChain> {
        let mode = port.map_or(self.policy.mode(), |port| self.policy.mode_at(port));
        let probes = port.into_iter().flat_map(|port| self.policy.probes_at(port));
        let (in_tls, in_plaintext): (Vec<_>, Vec<_>) =
            probes.partition(|question| matches!(question, ProbeQuestion::Https(_)));
        let mut chains = Vec::new();
        if let Some(socket) = tls::downstream(&self.settings) {
            let mut of_sidecars = |name: &str, inside: &[&str], filters| {
                chains.push(FilterChain {
                    transport_socket: Some(socket.clone()),
                    ..matching(port, chain(name, filters), "tls", inside)
                });
            };
            // Where mutual TLS is disabled too: a sidecar that was not told so yet is not turned away.
            of_sidecars("mtls-http", &HTTP_INSIDE, self.http(Peer::Known, routes::inbound()));
            of_sidecars("mtls-bytes", &BYTES_INSIDE, self.bytes());
            if mode == MtlsMode::Strict && in_tls.is_empty() {
                // Whatever else comes encrypted must be mutual TLS too.
                of_sidecars("mtls-other", &[], self.bytes());
            }
        }
        if let Some(socket) = tls::shown(&self.settings).filter(|_| !in_tls.is_empty()) {
            // Where a kubelet asks in TLS, nothing else that shows no certificate gets past: it ends here, and begins anew.
            let filters = self.http(Peer::Anybody, routes::probes(in_tls.into_iter()));
            chains.push(FilterChain {
                transport_socket: Some(socket),
                ..matching(port, chain("probes-tls", filters), "tls", &[])
            });
        }
        match mode {
            MtlsMode::Strict => {
                if !in_plaintext.is_empty() {
                    let filters = self.http(Peer::Anybody, routes::probes(in_plaintext.into_iter()));
                    chains.push(matching(port, chain("probes", filters), "raw_buffer", &[]));
                }
            }
            // Other TLS is the application's own. Where Envoy knows a chain for what the transport is, it looks at no chain without
            // it: each needs one of its own.
            MtlsMode::Permissive | MtlsMode::Disable => chains.extend([
                matching(
                    port,
                    chain("plain-http", self.http(Peer::Anybody, routes::inbound())),
                    "raw_buffer",
                    &PLAIN_HTTP,
                ),
                matching(port, chain("plain-bytes", self.bytes()), "raw_buffer", &[]),
                matching(port, chain("plain-tls", self.bytes()), "tls", &[]),
            ]),
        }
        chains
    }

    /// Sends to 127.0.0.1, or ::1 where there is IPv6 only, instead of the pod's address, where applications listen there only.
    fn destination(&self) -> Vec<Filter> {
        match self.settings.application {
            Application::PodIp => Vec::new(),
            Application::Localhost => {
                let local = match self.families {
                    AddressFamilies::V6 => "[::1]",
                    AddressFamilies::V4 | AddressFamilies::Dual | AddressFamilies::Unknown => "127.0.0.1",
                };
                vec![set_state(DESTINATION, &format!("{local}:%DOWNSTREAM_LOCAL_PORT%"))]
            }
        }
    }

    fn bytes(&self) -> Vec<Filter> {
        let mut filters = self.destination();
        filters.push(tcp_proxy(&self.settings, "inbound", FixedCluster::Inbound.name()));
        filters
    }

    fn http(&self, peer: Peer, routes: RouteConfiguration) -> Vec<Filter> {
        let (details, current) = match peer {
            // Only what this connection proved: what a peer says about others before it nobody checked.
            Peer::Known => (
                ForwardClientCertDetails::SanitizeSet,
                Some(SetCurrentClientCertDetails {
                    subject: yes(),
                    uri: true,
                    ..SetCurrentClientCertDetails::default()
                }),
            ),
            Peer::Anybody => (ForwardClientCertDetails::Sanitize, None),
        };
        let routes = RouteSpecifier::RouteConfig(routes);
        let manager = HttpConnectionManager {
            forward_client_cert_details: details.into(),
            set_current_client_cert_details: current,
            ..manager(&self.settings, "inbound", "inbound", routes)
        };
        let mut filters = self.destination();
        filters.push(http(&manager));
        filters
    }
}

/// Of a chain for one port the name says which.
fn matching(port: Option<u16>, chain: FilterChain, transport: &str, inside: &[&str]) -> FilterChain {
    FilterChain {
        filter_chain_match: Some(FilterChainMatch {
            destination_port: port.and_then(|port| uint(port.into())),
            transport_protocol: transport.to_owned(),
            application_protocols: inside.iter().map(|protocol| (*protocol).to_owned()).collect(),
            ..FilterChainMatch::default()
        }),
        name: match port {
            Some(port) => format!("{}-{port}", chain.name),
            None => chain.name,
        },
        ..chain
    }
}
