//! The listener that answers for names which the local DNS does not know, and asks that for all others.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::address::Address as AddressOneof;
use envoy_types::pb::envoy::config::core::v3::socket_address::Protocol;
use envoy_types::pb::envoy::config::core::v3::{
    Address, DnsResolverOptions, SocketAddress, TypedExtensionConfig, UdpSocketConfig,
};
use envoy_types::pb::envoy::config::listener::v3::{
    AdditionalAddress, Listener, ListenerFilter, UdpListenerConfig, listener_filter,
};
use envoy_types::pb::envoy::data::dns::v3::DnsTable;
use envoy_types::pb::envoy::data::dns::v3::dns_table::dns_endpoint::EndpointConfig;
use envoy_types::pb::envoy::data::dns::v3::dns_table::{AddressList, DnsEndpoint, DnsVirtualDomain};
use envoy_types::pb::envoy::extensions::filters::udp::dns_filter::v3::DnsFilterConfig;
use envoy_types::pb::envoy::extensions::filters::udp::dns_filter::v3::dns_filter_config::server_context_config::ConfigSource;
use envoy_types::pb::envoy::extensions::filters::udp::dns_filter::v3::dns_filter_config::{
    ClientContextConfig, ServerContextConfig,
};
use envoy_types::pb::envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig;
use envoy_types::pb::google::protobuf::UInt64Value;

use super::DNS_LISTENER;
use super::filters::{duration, packed, socket_address};
use super::settings::TrafficSettings;
use crate::model::AddressFamilies;
use crate::resources::{Resource, ResourceType, Version};

/// The port that rules redirect questions to, as in Istio.
const PORT: u16 = 15053;
/// What Envoy allows at least.
const TTL: Duration = Duration::from_secs(30);
/// How long the local DNS may take; what a resolver waits by itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// Questions on their way to the local DNS; more are not answered.
const PENDING: u64 = 1024;
/// What clients with EDNS send at most.
const DATAGRAM: u64 = 4096;
/// Envoy answers with this many at most.
const ADDRESSES: usize = 8;

/// A name, and what it leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName {
    /// In lower case, since Envoys look it up letter by letter.
    pub name: String,
    /// None where nobody answers for the name, and none may who comes later with the same.
    pub addresses: Vec<IpAddr>,
}

impl DnsName {
    /// Whether it can be asked for in DNS. One that can't would make an Envoy refuse all of them, or would be there in vain.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        let part = |part: &str| {
            (1..=63).contains(&part.len()) && part.chars().all(plain) && !part.starts_with('-') && !part.ends_with('-')
        };
        self.name.len() <= 253 && self.name.split('.').all(part)
    }

    /// IPv4 addresses also as IPv6 ones, which lead to the same: for a name with only one family an Envoy says of the other that
    /// there is no such name, and then some resolvers (musl) don't believe the first.
    fn texts(&self) -> Vec<String> {
        let v4 = self.addresses.iter().filter_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        });
        let has_v6 = self.addresses.iter().any(IpAddr::is_ipv6);
        let mapped = v4.filter(|_| !has_v6).map(|v4: Ipv4Addr| v4.to_ipv6_mapped());
        let own = self.addresses.iter().map(IpAddr::to_string);
        own.chain(mapped.map(|v6| v6.to_string())).collect()
    }
}

/// Everything that decides the content of the DNS listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DnsSpec {
    /// All names, in order, each once.
    names: Vec<DnsName>,
    families: AddressFamilies,
    settings: Arc<TrafficSettings>,
}

impl DnsSpec {
    /// Of valid names that lead somewhere; of equal ones the first counts.
    #[must_use]
    pub fn new(mut names: Vec<DnsName>, families: AddressFamilies, settings: Arc<TrafficSettings>) -> Self {
        for name in &mut names {
            name.name.make_ascii_lowercase();
            name.addresses.truncate(ADDRESSES);
        }
        names.sort_by(|a, b| a.name.cmp(&b.name));
        names.dedup_by(|later, earlier| later.name == earlier.name);
        names.retain(|name| name.is_valid() && !name.addresses.is_empty());
        Self {
            names,
            families,
            settings,
        }
    }

    pub(in crate::resources) fn version(&self) -> Version {
        Version::of(&(DNS_LISTENER, self))
    }

    pub(in crate::resources) fn encode(&self) -> Resource {
        let domains = self.names.iter().map(|name| DnsVirtualDomain {
            name: name.name.clone(),
            answer_ttl: Some(duration(TTL)),
            endpoint: Some(DnsEndpoint {
                endpoint_config: Some(EndpointConfig::AddressList(AddressList { address: name.texts() })),
            }),
        });
        let table = DnsTable {
            external_retry_count: 1,
            virtual_domains: domains.collect(),
            ..DnsTable::default()
        };
        let filter = DnsFilterConfig {
            stat_prefix: "dns".to_owned(),
            server_config: Some(ServerContextConfig {
                config_source: Some(ConfigSource::InlineDnsTable(table)),
            }),
            client_config: Some(ClientContextConfig {
                resolver_timeout: Some(duration(PATIENCE)),
                typed_dns_resolver_config: Some(local_dns()),
                max_pending_lookups: PENDING,
                ..ClientContextConfig::default()
            }),
            ..DnsFilterConfig::default()
        };
        let at = |ip| SocketAddress {
            protocol: Protocol::Udp.into(),
            ..socket_address(ip, PORT)
        };
        // Where ip6tables redirects to is ::1.
        let (address, more) = match self.families {
            AddressFamilies::V4 | AddressFamilies::Unknown => (at("127.0.0.1"), None),
            AddressFamilies::V6 => (at("::1"), None),
            AddressFamilies::Dual => (at("127.0.0.1"), Some(at("::1"))),
        };
        let address_of = |address| Address {
            address: Some(AddressOneof::SocketAddress(address)),
        };
        let listener = Listener {
            name: DNS_LISTENER.to_owned(),
            address: Some(address_of(address)),
            additional_addresses: more
                .map(|address| AdditionalAddress {
                    address: Some(address_of(address)),
                    ..AdditionalAddress::default()
                })
                .into_iter()
                .collect(),
            udp_listener_config: Some(UdpListenerConfig {
                downstream_socket_config: Some(UdpSocketConfig {
                    max_rx_datagram_size: Some(UInt64Value { value: DATAGRAM }),
                    ..UdpSocketConfig::default()
                }),
                ..UdpListenerConfig::default()
            }),
            listener_filters: vec![ListenerFilter {
                name: "envoy.filters.udp.dns_filter".to_owned(),
                config_type: Some(listener_filter::ConfigType::TypedConfig(packed(&filter))),
                ..ListenerFilter::default()
            }],
            ..Listener::default()
        };
        Resource::encode(ResourceType::Listener, DNS_LISTENER.into(), self.version(), &listener)
    }
}

/// What the pod's own `resolv.conf` names, asked for names as they are: whoever asks has added its search path already.
fn local_dns() -> TypedExtensionConfig {
    let resolver = CaresDnsResolverConfig {
        dns_resolver_options: Some(DnsResolverOptions {
            no_default_search_domain: true,
            ..DnsResolverOptions::default()
        }),
        ..CaresDnsResolverConfig::default()
    };
    TypedExtensionConfig {
        name: "envoy.network.dns_resolver.cares".to_owned(),
        typed_config: Some(packed(&resolver)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str, addresses: &[&str]) -> DnsName {
        DnsName {
            name: name.to_owned(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_name_that_dns_does_not_have_is_left_out() {
        let long = format!("{}.{}", ["a"; 120].join("."), "b".repeat(20));
        for wrong in [
            "",
            "a..b",
            "-a.b",
            "a b",
            &long,
            &format!("{}.b", "a".repeat(64)),
            "a.b.",
        ] {
            assert!(!name(wrong, &[]).is_valid(), "{wrong}");
        }
        for right in ["web", "web.shop.svc.cluster.local", "a_b.c-1"] {
            assert!(name(right, &[]).is_valid(), "{right}");
        }
    }

    #[test]
    fn a_name_is_the_firsts_even_where_that_leads_nowhere() {
        let given = vec![
            name("b.x", &["10.0.0.1"]),
            name("a.x", &[]),
            name("B.x", &["10.0.0.2"]),
            name("a.x", &["10.0.0.3"]),
        ];
        let settings = Arc::new(super::super::tests::settings());
        let spec = DnsSpec::new(given, AddressFamilies::V4, settings);
        assert_eq!(spec.names, [name("b.x", &["10.0.0.1"])]);
    }

    #[test]
    fn a_name_has_both_families() {
        let texts = |addresses: &[&str]| name("a", addresses).texts();
        assert_eq!(texts(&["240.0.0.5"]), ["240.0.0.5", "::ffff:240.0.0.5"]);
        assert_eq!(texts(&["10.0.0.1", "fd00::1"]), ["10.0.0.1", "fd00::1"]);
        assert_eq!(texts(&["fd00::1"]), ["fd00::1"]);
    }
}
