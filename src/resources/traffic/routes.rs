//! The routes of one port: by the name that a request gives, whichever of a service's names a person uses.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::retry_policy::{
    RetryHostPredicate, RetryPriority, retry_host_predicate, retry_priority,
};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, HeaderMatcher, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};

use super::cluster::FixedCluster;
use super::destination::Destination;
use super::filters::{duration, packed, uint};
use super::settings::{Outside, TrafficSettings};
use crate::model::{ProbeQuestion, ServiceKey};
use crate::resources::{Resource, ResourceType, Version};

/// What is tried again: only what surely did not reach an application, for a request may do something that must not be done
/// twice. An answer, 503 or gRPC's UNAVAILABLE among them, says nothing about that: it may come after the work was done.
const RETRY_ON: &str = "connect-failure,refused-stream,reset-before-request";
/// What of requests that only ask, in whose nature it is that they may be done twice: also what broke off before an answer, as
/// when a pod or a gateway dies, and 503, which is what a sidecar says for an application that it can't reach.
const RETRY_SAFE_ON: &str = "connect-failure,refused-stream,reset,retriable-status-codes";
/// How often, at least.
const RETRIES: u32 = 2;
/// The methods that only ask (RFC 9110, 9.2.1) and that applications use.
const SAFE: &str = "GET|HEAD|OPTIONS";

/// A service as routes know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VirtualService {
    /// The service.
    pub service: ServiceKey,
    /// Its addresses where the routes are used.
    pub addresses: Vec<IpAddr>,
    /// Where requests to it go.
    pub to: Destination,
    /// How many steps there are from its nearest endpoints to any others; 0 where all are alike.
    pub steps: usize,
}

impl VirtualService {
    /// Every name that a request may give, in the order of preference.
    fn names(&self, namespace: &str, domain: &str) -> Vec<String> {
        if self.service.is_outside() {
            return std::iter::once(self.service.host(domain))
                .chain(self.addresses.iter().map(authority))
                .collect();
        }
        let ServiceKey {
            namespace: own, name, ..
        } = &self.service;
        let mut names = vec![
            self.service.host(domain),
            format!("{name}.{own}.svc"),
            format!("{name}.{own}"),
            format!("{name}.{own}.global"),
            format!("{name}.{own}.svc.clusterset.local"),
        ];
        if **own == *namespace {
            names.push(name.to_string());
        }
        names.extend(self.addresses.iter().map(authority));
        names
    }
}

/// An address as a request names it.
fn authority(ip: &IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Everything that decides the routes of one port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoutesSpec {
    /// The port.
    pub port: u16,
    /// The namespace in which bare names are looked up.
    pub namespace: Arc<str>,
    /// The services with that port which may speak HTTP, by name.
    pub services: Vec<VirtualService>,
    /// The settings.
    pub settings: Arc<TrafficSettings>,
}

impl RoutesSpec {
    pub(in crate::resources) fn version(&self) -> Version {
        Version::of(self)
    }

    pub(in crate::resources) fn encode(&self) -> Resource {
        let domain = &self.settings.domain;
        // Envoy refuses all routes of a configuration in which one name is there twice.
        let mut taken = BTreeSet::new();
        let mut clusters = Vec::new();
        let hosts = self.services.iter().filter_map(|service| {
            let names = service.names(&self.namespace, domain);
            let domains: Vec<String> = names
                .into_iter()
                .map(|name| name.to_ascii_lowercase())
                .filter(|name| is_host(name) && taken.insert(name.clone()))
                .collect();
            (!domains.is_empty()).then(|| {
                let cluster = service.to.cluster(domain);
                clusters.push(Arc::from(cluster.as_str()));
                VirtualHost {
                    name: format!("{}:{}", service.service.host(domain), self.port),
                    domains,
                    routes: to_service(&cluster, service.steps).into(),
                    ..VirtualHost::default()
                }
            })
        });
        let mut virtual_hosts: Vec<_> = hosts.collect();
        virtual_hosts.push(VirtualHost {
            name: "outside".to_owned(),
            domains: vec!["*".to_owned()],
            routes: vec![outside(self.settings.outside)],
            ..VirtualHost::default()
        });
        let name: Arc<str> = self.port.to_string().into();
        let routes = RouteConfiguration {
            name: name.to_string(),
            virtual_hosts,
            // So that each name counts with its port and without.
            ignore_port_in_host_matching: true,
            ..RouteConfiguration::default()
        };
        Resource::encode(ResourceType::RouteConfiguration, name, self.version(), &routes).leading_to(clusters)
    }
}

/// What Envoy takes as a name: an address, or letters, digits, dots and hyphens, maybe behind a star for all below a domain.
fn is_host(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    !name.is_empty() && (name.starts_with('[') || name.chars().all(plain))
}

fn everything(action: Action) -> Route {
    Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix("/".to_owned())),
            ..RouteMatch::default()
        }),
        action: Some(action),
        ..Route::default()
    }
}

fn to_cluster(cluster: String, retry_policy: Option<RetryPolicy>) -> Route {
    everything(Action::Route(RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster)),
        // How long an answer may take is the application's business.
        timeout: Some(duration(Duration::ZERO)),
        retry_policy,
        ..RouteAction::default()
    }))
}

/// First those that only ask, then all others.
fn to_service(cluster: &str, steps: usize) -> [Route; 2] {
    let elsewhere = RetryHostPredicate {
        name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
        config_type: Some(retry_host_predicate::ConfigType::TypedConfig(packed(
            &PreviousHostsPredicate {},
        ))),
    };
    let retries = RetryPolicy {
        retry_on: RETRY_ON.to_owned(),
        // Each time in the next priority: a region that dies may be several, one after the other.
        num_retries: uint(u32::try_from(steps).unwrap_or(RETRIES).max(RETRIES)),
        retry_host_predicate: vec![elsewhere],
        // Where all that is near is dead, as a zone may be, another of it is no better.
        retry_priority: Some(RetryPriority {
            name: "envoy.retry_priorities.previous_priorities".to_owned(),
            config_type: Some(retry_priority::ConfigType::TypedConfig(packed(
                &PreviousPrioritiesConfig { update_frequency: 1 },
            ))),
        }),
        host_selection_retry_max_attempts: 5,
        ..RetryPolicy::default()
    };
    let of_safe = RetryPolicy {
        retry_on: RETRY_SAFE_ON.to_owned(),
        retriable_status_codes: vec![503],
        ..retries.clone()
    };
    let mut safe = to_cluster(cluster.to_owned(), Some(of_safe));
    if let Some(matched) = &mut safe.r#match {
        matched.headers = vec![HeaderMatcher {
            name: ":method".to_owned(),
            header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(StringMatcher {
                match_pattern: Some(MatchPattern::SafeRegex(RegexMatcher {
                    regex: SAFE.to_owned(),
                    ..RegexMatcher::default()
                })),
                ..StringMatcher::default()
            })),
            ..HeaderMatcher::default()
        }];
    }
    [safe, to_cluster(cluster.to_owned(), Some(retries))]
}

pub(super) fn outside(outside: Outside) -> Route {
    match outside {
        Outside::Passthrough => to_cluster(FixedCluster::Passthrough.name().to_owned(), None),
        // Said at once, and not as a failure that could be tried again.
        Outside::Block => everything(Action::DirectResponse(DirectResponseAction {
            status: 502,
            ..DirectResponseAction::default()
        })),
    }
}

/// All requests to the application beside the sidecar.
pub(super) fn inbound() -> RouteConfiguration {
    inward(vec![to_application(FixedCluster::Inbound)])
}

/// These questions of a kubelet only. Everything else is refused by the sidecar and reaches no application.
pub(super) fn probes<'a>(questions: impl Iterator<Item = &'a ProbeQuestion>) -> RouteConfiguration {
    let mut routes: Vec<_> = questions
        .map(|question| {
            let (method, path, to) = match question {
                ProbeQuestion::Http(path) => ("GET", &**path, FixedCluster::Inbound),
                ProbeQuestion::Https(path) => ("GET", &**path, FixedCluster::InboundTls),
                ProbeQuestion::Grpc => ("POST", "/grpc.health.v1.Health/Check", FixedCluster::Inbound),
            };
            let mut route = to_application(to);
            let matched = route.r#match.as_mut().expect("each route matches something");
            // The whole of it with the query, and as it came: whatever could be read as another path differs.
            matched.headers = vec![exactly(":method", method), exactly(":path", path)];
            route
        })
        .collect();
    routes.push(everything(Action::DirectResponse(DirectResponseAction {
        status: 403,
        ..DirectResponseAction::default()
    })));
    inward(routes)
}

fn exactly(header: &str, value: &str) -> HeaderMatcher {
    HeaderMatcher {
        name: header.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(value.to_owned())),
            ..StringMatcher::default()
        })),
        ..HeaderMatcher::default()
    }
}

fn to_application(by: FixedCluster) -> Route {
    to_cluster(by.name().to_owned(), None)
}

fn inward(routes: Vec<Route>) -> RouteConfiguration {
    RouteConfiguration {
        name: "inbound".to_owned(),
        virtual_hosts: vec![VirtualHost {
            name: "inbound".to_owned(),
            domains: vec!["*".to_owned()],
            routes,
            ..VirtualHost::default()
        }],
        ..RouteConfiguration::default()
    }
}
