//! The routes of one service port, for gRPC clients: everything goes to its cluster.

use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost};

use super::{Resource, ResourceType, Version};

/// Everything that decides the content of routes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouteSpec {
    /// Their name, which is the cluster's.
    pub name: Arc<str>,
}

impl RouteSpec {
    /// The version of what [`RouteSpec::encode`] gives.
    #[must_use]
    pub fn version(&self) -> Version {
        Version::of(self)
    }

    /// The `RouteConfiguration`.
    #[must_use]
    pub fn encode(&self) -> Resource {
        let to_cluster = Route {
            r#match: Some(RouteMatch {
                path_specifier: Some(PathSpecifier::Prefix(String::new())),
                ..RouteMatch::default()
            }),
            action: Some(Action::Route(RouteAction {
                cluster_specifier: Some(ClusterSpecifier::Cluster(self.name.to_string())),
                ..RouteAction::default()
            })),
            ..Route::default()
        };
        let routes = RouteConfiguration {
            name: self.name.to_string(),
            virtual_hosts: vec![VirtualHost {
                name: self.name.to_string(),
                // Only listeners of this service port lead here, in whatever spelling.
                domains: vec!["*".to_owned()],
                routes: vec![to_cluster],
                ..VirtualHost::default()
            }],
            ..RouteConfiguration::default()
        };
        Resource::encode(
            ResourceType::RouteConfiguration,
            Arc::clone(&self.name),
            self.version(),
            &routes,
        )
        .leading_to([Arc::clone(&self.name)])
    }
}
