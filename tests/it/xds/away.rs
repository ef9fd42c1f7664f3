//! Real Envoys that come back after something went: what they are told, and that nobody waits for what never comes.

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as http;
use envoy_types::pb::google::protobuf::Any;
use http::http_connection_manager::RouteSpecifier;
use parallax::model::Role;
use parallax::resources::ResourceType::{Listener as LDS, RouteConfiguration as RDS};
use parallax::resources::{Resource, Version};
use prost::Message;

use super::super::harness::{Dialect, Envoy, eventually};
use super::lab::Lab;
use super::warming::{SOON, holds};

const ROUTES: &str = "routes";

fn packed(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: message.encode_to_vec(),
    }
}

fn routes(cluster: &str) -> route::RouteConfiguration {
    let action = route::RouteAction {
        cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(cluster.to_owned())),
        ..route::RouteAction::default()
    };
    let all = route::RouteMatch {
        path_specifier: Some(route::route_match::PathSpecifier::Prefix("/".to_owned())),
        ..route::RouteMatch::default()
    };
    route::RouteConfiguration {
        name: ROUTES.to_owned(),
        virtual_hosts: vec![route::VirtualHost {
            name: "all".to_owned(),
            domains: vec!["*".to_owned()],
            routes: vec![route::Route {
                r#match: Some(all),
                action: Some(route::route::Action::Route(action)),
                ..route::Route::default()
            }],
            ..route::VirtualHost::default()
        }],
        ..route::RouteConfiguration::default()
    }
}

/// What of an Envoy names clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Routes that its listener has it ask for.
    Routes,
    /// Its listener.
    Listener,
    /// Nothing of ours.
    Nothing,
}

/// A listener that sends all to a cluster.
fn lead_to(lab: &Lab, by: Names, cluster: &str) {
    let ads = core::ConfigSource {
        resource_api_version: core::ApiVersion::V3.into(),
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            core::AggregatedConfigSource {},
        )),
        ..core::ConfigSource::default()
    };
    let (specifier, version) = match by {
        Names::Nothing => return,
        Names::Listener => (RouteSpecifier::RouteConfig(routes(cluster)), Version::of(&cluster)),
        Names::Routes => {
            let mut resource = Resource::encode(RDS, ROUTES.into(), Version::of(&cluster), &routes(cluster));
            resource.clusters = [cluster.into()].into();
            lab.change(RDS, ROUTES, Some(resource));
            let rds = http::Rds {
                config_source: Some(ads),
                route_config_name: ROUTES.to_owned(),
            };
            (RouteSpecifier::Rds(rds), Version::of(&ROUTES))
        }
    };
    let router = packed("envoy.extensions.filters.http.router.v3.Router", &Router::default());
    let manager = http::HttpConnectionManager {
        stat_prefix: "all".to_owned(),
        route_specifier: Some(specifier),
        http_filters: vec![http::HttpFilter {
            name: "router".to_owned(),
            config_type: Some(http::http_filter::ConfigType::TypedConfig(router)),
            ..http::HttpFilter::default()
        }],
        ..http::HttpConnectionManager::default()
    };
    let manager = packed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        &manager,
    );
    let message = listener::Listener {
        name: "all".to_owned(),
        address: Some(core::Address {
            address: Some(core::address::Address::SocketAddress(core::SocketAddress {
                address: "127.0.0.1".to_owned(),
                port_specifier: Some(core::socket_address::PortSpecifier::PortValue(0)),
                ..core::SocketAddress::default()
            })),
        }),
        filter_chains: vec![listener::FilterChain {
            filters: vec![listener::Filter {
                name: "http".to_owned(),
                config_type: Some(listener::filter::ConfigType::TypedConfig(manager)),
            }],
            ..listener::FilterChain::default()
        }],
        ..listener::Listener::default()
    };
    let mut resource = Resource::encode(LDS, "all".into(), version, &message);
    match by {
        Names::Routes => resource.asks_for_routes = true,
        _ => resource.clusters = [cluster.into()].into(),
    }
    lab.change(LDS, "all", Some(resource));
}

/// Waits until the Envoy's listener, or its routes, lead to a cluster.
async fn leads_to(envoy: &Envoy, by: Names, cluster: &str) {
    let dump = match by {
        Names::Nothing => return,
        Names::Listener => "dynamic_listeners",
        Names::Routes => "dynamic_route_configs",
    };
    let look = async || {
        let text = serde_json::to_string(&envoy.config_dump(dump).await.map_err(|error| format!("{error:#}"))?);
        let text = text.expect("JSON");
        let found = text.contains(&format!("\"cluster\":\"{cluster}\"")) && !text.contains("warming_state");
        if found { Ok(()) } else { Err(text) }
    };
    let led = eventually(&format!("a way to {cluster}"), SOON, look).await;
    led.unwrap_or_else(|error| panic!("{error:#}"));
}

#[tokio::test]
async fn r68_r72_a_cluster_that_went_while_the_server_was_away_goes_when_it_can_and_by_no_deadline() {
    for (role, by) in [
        (Role::Sidecar, Names::Routes),
        (Role::Sidecar, Names::Listener),
        (Role::Gateway, Names::Listener),
        (Role::Endpoints, Names::Nothing),
    ] {
        let mut lab = Lab::of(role).await;
        for name in ["a", "gone"] {
            lab.cluster(name, 1);
            lab.assignment(name, &[1001]);
        }
        lead_to(&lab, by, "gone");
        let mut envoy = lab.envoy(Dialect::Delta).await;
        for name in ["a", "gone"] {
            holds(&mut envoy, name, &[1001]).await;
        }
        leads_to(&envoy, by, "gone").await;
        lab.settled().await;
        lab.stop().await;
        lab.no_cluster("gone");
        lab.no_assignment("gone");
        lead_to(&lab, by, "a");
        lab.restart().await;
        leads_to(&envoy, by, "a").await;
        let gone = envoy.wait_for("gone to be gone", SOON, |held| !held.contains_key("gone"));
        gone.await.unwrap_or_else(|error| panic!("{role} {by:?}: {error:#}"));
        assert_eq!(lab.given_up(), "0", "{role} {by:?}");
    }
}
