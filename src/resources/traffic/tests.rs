//! What Envoys read: clusters with mutual TLS, listeners, routes, decoded as they would.

use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{CommonTlsContext, UpstreamTlsContext};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::google::protobuf::Any;
use prost::Message;

use super::*;
use crate::model::{InboundPolicy, MtlsMode, Probe, ProbeQuestion, ServiceKey};
use crate::resources::{ClusterName, Resource};

pub(super) fn settings() -> TrafficSettings {
    TrafficSettings {
        domain: "cluster.local".into(),
        trust_domains: vec!["cluster.local".into(), "old.example".into()],
        certificates: Some(CertificateSource::Ads),
        outside: Outside::Block,
        application: Application::PodIp,
        requests_per_connection: 7,
        connection_age: std::time::Duration::from_secs(10),
        dns: true,
        access_log: None,
        outlier: Outlier {
            failure_percentage: 90,
            minimum_requests: 5,
            consecutive: 20,
            interval: std::time::Duration::from_secs(2),
            ejection: std::time::Duration::from_secs(15),
        },
    }
}

pub(super) fn read<T: Message + Default>(resource: &Resource) -> T {
    let any = Any::decode(resource.any.clone()).unwrap();
    T::decode(&*any.value).unwrap()
}

pub(super) fn cluster(settings: TrafficSettings) -> Cluster {
    let name = ClusterName {
        service: ServiceKey::new("shop", "web"),
        port: 80,
    };
    let settings = Arc::new(settings);
    read(&SidecarClusterSpec { name, settings }.encode())
}

fn sans(context: &CommonTlsContext) -> Vec<String> {
    let Some(ValidationContextType::CombinedValidationContext(both)) = &context.validation_context_type else {
        panic!("the roots come by SDS")
    };
    let own = both.default_validation_context.as_ref().unwrap();
    let matchers = own.match_typed_subject_alt_names.iter();
    let prefix = |matcher: &envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher| match &matcher.match_pattern {
        Some(MatchPattern::Prefix(prefix)) => prefix.clone(),
        other => panic!("{other:?}"),
    };
    matchers
        .map(|matcher| prefix(matcher.matcher.as_ref().unwrap()))
        .collect()
}

/// By the number of requests and by age, or never.
#[test]
fn connections_are_replaced() {
    for (requests, age, expected) in [(7, 10, (Some(7), Some(10))), (0, 0, (None, None))] {
        let cluster = cluster(TrafficSettings {
            requests_per_connection: requests,
            connection_age: std::time::Duration::from_secs(age),
            ..settings()
        });
        let options = cluster.typed_extension_protocol_options.values().next().unwrap();
        let options = HttpProtocolOptions::decode(&*options.value).unwrap();
        let common = options.common_http_protocol_options.unwrap();
        let seen = (
            common.max_requests_per_connection.map(|limit| limit.value),
            common.max_connection_duration.map(|age| age.seconds),
        );
        assert_eq!(seen, expected);
    }
}

#[test]
fn a_sidecar_speaks_mutual_tls_with_pods_of_the_services_namespace() {
    let cluster = cluster(settings());
    let Some(ConfigType::TypedConfig(any)) = cluster.transport_socket.unwrap().config_type else {
        panic!("it is TLS")
    };
    let context = UpstreamTlsContext::decode(&*any.value).unwrap();
    assert_eq!(context.sni, "outbound_.80_._.web.shop.svc.cluster.local");
    let common = context.common_tls_context.unwrap();
    assert_eq!(
        sans(&common),
        ["spiffe://cluster.local/ns/shop/", "spiffe://old.example/ns/shop/"]
    );
    // As a client an Envoy would offer 1.2 at most.
    let versions = common.tls_params.unwrap();
    assert_eq!(versions.tls_maximum_protocol_version, i32::from(TlsProtocol::TlSv13));
    // Only what says that it is plaintext gets plaintext.
    let matches: Vec<_> = cluster.transport_socket_matches.iter().map(|one| &*one.name).collect();
    assert_eq!(matches, ["plaintext"]);
}

pub(super) fn inbound(
    settings: TrafficSettings,
    mode: MtlsMode,
    ports: &[(u16, MtlsMode)],
    probes: &[Probe],
) -> Listener {
    let policy = InboundPolicy::new(mode, ports.iter().copied().collect(), probes);
    read(
        &InboundSpec {
            families: crate::model::AddressFamilies::V4,
            policy: Arc::new(policy),
            settings: Arc::new(settings),
        }
        .encode(),
    )
}

/// The chains that take what comes without a certificate, but the one that leads nowhere.
fn open(listener: &Listener) -> Vec<&str> {
    let chains = listener.filter_chains.iter();
    let open = chains.filter(|chain| chain.transport_socket.is_none() && chain.name != "direct");
    open.map(|chain| &*chain.name).collect()
}

#[test]
fn where_there_are_no_certificates_nobody_speaks_mutual_tls_and_strict_lets_nothing_in() {
    let without = TrafficSettings {
        certificates: None,
        ..settings()
    };
    assert_eq!(cluster(without.clone()).transport_socket, None);
    let disabled = inbound(without.clone(), MtlsMode::Disable, &[], &[]);
    let names: Vec<_> = disabled.filter_chains.iter().map(|chain| &*chain.name).collect();
    assert_eq!(names, ["direct", "plain-http", "plain-bytes", "plain-tls"]);
    assert_eq!(inbound(without, MtlsMode::Strict, &[], &[]).filter_chains.len(), 1);
}

#[test]
fn strict_has_no_chain_without_a_certificate_but_those_that_ports_ask_for() {
    let strict = inbound(settings(), MtlsMode::Strict, &[], &[]);
    assert_eq!(open(&strict), <[&str; 0]>::default());
    assert_eq!(strict.default_filter_chain, None);
    assert!(!strict.continue_on_listener_filters_timeout);
    // A certificate may be late.
    assert_eq!(strict.listener_filters_timeout, None);

    let probe = Probe {
        port: 8080,
        question: ProbeQuestion::Http("/healthz?full=1".into()),
    };
    let probed = inbound(settings(), MtlsMode::Strict, &[], std::slice::from_ref(&probe));
    assert_eq!(open(&probed), ["probes-8080"]);
    // Where a port is named, Envoy looks at no chain without it: mutual TLS must be there again.
    let again = probed
        .filter_chains
        .iter()
        .filter(|chain| chain.name.ends_with("-8080"));
    assert_eq!(again.count(), 4);

    // A probe in TLS takes the place of mutual TLS that says nothing of what is inside.
    let in_tls = Probe {
        port: 8443,
        question: ProbeQuestion::Https("/healthz".into()),
    };
    let probed = inbound(settings(), MtlsMode::Strict, &[], &[in_tls]);
    assert_eq!(open(&probed), <[&str; 0]>::default());
    let of_port = probed.filter_chains.iter().map(|chain| &*chain.name);
    let of_port: Vec<_> = of_port.filter(|name| name.ends_with("-8443")).collect();
    assert_eq!(of_port, ["mtls-http-8443", "mtls-bytes-8443", "probes-tls-8443"]);

    let mixed = inbound(settings(), MtlsMode::Strict, &[(9000, MtlsMode::Permissive)], &[probe]);
    let of_9000 = ["plain-http-9000", "plain-bytes-9000", "plain-tls-9000"];
    assert_eq!(open(&mixed), [&["probes-8080"], &of_9000[..]].concat());
    assert!(mixed.continue_on_listener_filters_timeout);
    assert_eq!(mixed.listener_filters_timeout.map(|wait| wait.seconds), Some(1));
}

#[test]
fn where_applications_listen_on_localhost_nobody_gets_to_what_envoy_has_there() {
    for (application, expected) in [(Application::Localhost, Some(1)), (Application::PodIp, None)] {
        let localhost = TrafficSettings {
            application,
            ..settings()
        };
        let listener = inbound(localhost, MtlsMode::Strict, &[(15000, MtlsMode::Disable)], &[]);
        let of_admin = listener.filter_chains.iter().filter(|chain| {
            let matched = chain.filter_chain_match.as_ref();
            matched
                .and_then(|matched| matched.destination_port.as_ref())
                .is_some_and(|port| port.value == 15000)
        });
        let of_admin: Vec<_> = of_admin.collect();
        let closed = of_admin.iter().filter(|chain| chain.name == "admin");
        assert_eq!(closed.count(), expected.unwrap_or(0));
        if expected.is_some() {
            assert_eq!(of_admin.len(), 1);
            let proxy = &format!("{:?}", of_admin[0].filters);
            assert!(
                !proxy.contains("set_filter_state") && of_admin[0].filters.len() == 1,
                "{proxy}"
            );
        }
    }
}

/// Envoy looks for the transport, then for what is spoken in it, and never goes back a step: where there is a chain for a transport,
/// all that comes in it needs one that asks for no more.
#[test]
fn whatever_comes_in_plaintext_finds_a_chain_where_that_is_taken() {
    for mode in [MtlsMode::Permissive, MtlsMode::Disable] {
        let listener = inbound(settings(), mode, &[(9000, mode), (9001, MtlsMode::Strict)], &[]);
        for transport in ["raw_buffer", "tls"] {
            let chains = listener.filter_chains.iter().filter(|chain| {
                let matched = chain.filter_chain_match.clone().unwrap_or_default();
                matched.transport_protocol == transport
                    && matched.application_protocols.is_empty()
                    && matched.destination_port.is_none()
                    && chain.transport_socket.is_none()
            });
            assert_eq!(chains.count(), 1, "{mode} {transport}");
        }
    }
}

/// Envoy refuses all routes for one name that is there twice.
#[test]
fn a_name_that_two_services_claim_is_the_first_ones() {
    let service = |name: &str, namespace: &str, ip: &str| VirtualService {
        service: ServiceKey::new(namespace, name),
        addresses: vec![ip.parse().unwrap()],
        to: Destination::Endpoints(ClusterName {
            service: ServiceKey::new(namespace, name),
            port: 80,
        }),
        steps: 0,
    };
    let spec = RoutesSpec {
        port: 80,
        namespace: "shop".into(),
        services: vec![
            service("web", "shop", "10.96.0.1"),
            service("WEB", "shop", "10.96.0.1"),
            service("a*b", "shop", "fd00::1"),
        ],
        settings: Arc::new(settings()),
    };
    let routes: RouteConfiguration = read(&spec.encode());
    let mut all: Vec<_> = routes.virtual_hosts.iter().flat_map(|host| &host.domains).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
    let hosts = routes
        .virtual_hosts
        .iter()
        .map(|host| (&*host.name, host.domains.len()));
    let expected = [
        ("web.shop.svc.cluster.local:80", 7),
        ("a*b.shop.svc.cluster.local:80", 1),
        ("outside", 1),
    ];
    assert_eq!(hosts.collect::<Vec<_>>(), expected);
}

/// What only asks may be asked again after it broke off; what does something may not.
#[test]
fn only_requests_that_ask_are_repeated_after_they_broke_off() {
    let spec = RoutesSpec {
        port: 80,
        namespace: "shop".into(),
        services: vec![VirtualService {
            service: ServiceKey::new("shop", "web"),
            addresses: Vec::new(),
            to: Destination::Endpoints(ClusterName {
                service: ServiceKey::new("shop", "web"),
                port: 80,
            }),
            steps: 0,
        }],
        settings: Arc::new(settings()),
    };
    let routes: RouteConfiguration = read(&spec.encode());
    let repeated = routes.virtual_hosts[0].routes.iter().map(|route| {
        let Some(Action::Route(action)) = &route.action else {
            panic!("it leads to a cluster")
        };
        let retries = action.retry_policy.as_ref().unwrap();
        let methods = route.r#match.as_ref().unwrap().headers.len();
        (
            methods,
            retries.retry_on.contains("reset,"),
            retries.retriable_status_codes.clone(),
        )
    });
    assert_eq!(
        repeated.collect::<Vec<_>>(),
        [(1, true, vec![503]), (0, false, Vec::new())]
    );
}

#[test]
fn what_fails_goes_by_how_much_of_it_failed_and_all_of_it_may_go() {
    let cluster = cluster(settings());
    let detection = cluster.outlier_detection.expect("it is on");
    let number = |value: Option<envoy_types::pb::google::protobuf::UInt32Value>| value.expect("it is said").value;
    assert_eq!(number(detection.max_ejection_percent), 100);
    assert_eq!(number(detection.failure_percentage_threshold), 90);
    assert!(detection.split_external_local_origin_errors);
    for on in [
        detection.enforcing_failure_percentage,
        detection.enforcing_failure_percentage_local_origin,
        detection.enforcing_consecutive_5xx,
        detection.enforcing_consecutive_local_origin_failure,
    ] {
        assert_eq!(number(on), 100);
    }
    for off in [
        detection.enforcing_success_rate,
        detection.enforcing_local_origin_success_rate,
    ] {
        assert_eq!(number(off), 0, "a gateway is not like pods");
    }
    let panic = cluster.common_lb_config.unwrap().healthy_panic_threshold.unwrap().value;
    assert!(panic > 0.0 && panic <= 1.0, "only where nothing is left: {panic}");
    let mut off = settings();
    (off.outlier.failure_percentage, off.outlier.consecutive) = (0, 0);
    let detection = self::cluster(off).outlier_detection.expect("all of it is off");
    assert_eq!(number(detection.enforcing_failure_percentage), 0);
    assert_eq!(number(detection.enforcing_consecutive_5xx), 0);
}

fn sockets(listener: Listener) -> Vec<(String, bool)> {
    use envoy_types::pb::envoy::config::core::v3::address::Address;
    let more = listener.additional_addresses.into_iter().map(|more| more.address);
    let all = std::iter::once(listener.address).chain(more);
    all.map(|address| match address.unwrap().address.unwrap() {
        Address::SocketAddress(socket) => (socket.address, socket.ipv4_compat),
        other => panic!("{other:?}"),
    })
    .collect()
}

#[test]
fn listeners_are_there_for_the_families_of_the_viewer() {
    use crate::model::AddressFamilies::{Dual, Unknown, V4, V6};
    let settings = Arc::new(settings());
    for (families, all, local) in [
        (V4, ("0.0.0.0", false), &["127.0.0.1"][..]),
        (Unknown, ("0.0.0.0", false), &["127.0.0.1"]),
        (V6, ("::", true), &["::1"]),
        (Dual, ("::", true), &["127.0.0.1", "::1"]),
    ] {
        let capture = super::capture::CaptureSpec {
            families,
            settings: Arc::clone(&settings),
        };
        let all = (all.0.to_owned(), all.1);
        assert_eq!(sockets(read(&capture.encode())), [all], "{families}");
        let dns = super::dns::DnsSpec::new(Vec::new(), families, Arc::clone(&settings));
        let local: Vec<_> = local.iter().map(|ip| ((*ip).to_owned(), false)).collect();
        assert_eq!(sockets(read(&dns.encode())), local, "{families}");
    }
}

#[test]
fn an_application_is_called_from_an_address_of_each_family() {
    use super::cluster::{FixedCluster, FixedClusterSpec};
    use crate::model::AddressFamilies::{Dual, Unknown, V4, V6};
    for (families, sources) in [
        (V4, &["127.0.0.6"][..]),
        (Unknown, &["127.0.0.6"]),
        (V6, &["::6"]),
        (Dual, &["127.0.0.6", "::6"]),
    ] {
        let bind = |cluster| {
            let cluster: Cluster = read(&FixedClusterSpec { cluster, families }.encode());
            cluster.upstream_bind_config
        };
        let bound = bind(FixedCluster::Inbound).unwrap();
        let extra = bound.extra_source_addresses.into_iter().map(|extra| extra.address);
        let all = std::iter::once(bound.source_address).chain(extra);
        let all: Vec<_> = all.map(|socket| socket.unwrap().address).collect();
        assert_eq!(all, sources, "{families}");
        assert_eq!(
            bind(FixedCluster::Passthrough).unwrap().source_address,
            None,
            "{families}"
        );
    }
}
