//! The listener of one service port as a gRPC client asks for it, and its name.
//!
//! Nothing listens there: a client with xDS built in asks for the name it was told to dial, and finds in it which routes to
//! use. An Envoy has no use for such a listener, so `*` never covers it.

use std::sync::Arc;

use envoy_types::pb::envoy::config::listener::v3::{ApiListener, Listener};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds,
};
use envoy_types::pb::google::protobuf::Any;
use prost::Message;

use super::config_source::ads;
use super::name::port_number;
use super::{Resource, ResourceType, Version};
use crate::model::ServiceKey;

const MANAGER_URL: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER_URL: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";

/// `HOST:PORT`, where the host is as a person dials it: `web.shop`, `web.shop.svc` or `web.shop.svc.DOMAIN`. The bare
/// `web` depends on who asks, and names are the same for all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListenerName {
    /// The service.
    pub service: ServiceKey,
    /// The service port's number.
    pub port: u16,
}

impl ListenerName {
    /// Every spelling on the wire.
    #[must_use]
    pub fn spellings(&self, domain: &str) -> [String; 3] {
        let Self { service, port } = self;
        [
            format!("{service}:{port}"),
            format!("{service}.svc:{port}"),
            format!("{}:{port}", service.host(domain)),
        ]
    }

    /// Reads any spelling from the wire; none of ours gives `None`.
    #[must_use]
    pub fn parse(text: &str, domain: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port_number(port)?;
        let service = ServiceKey::from_host(host, domain).or_else(|| {
            let parts: Vec<_> = host.split('.').collect();
            match parts[..] {
                [name, namespace] | [name, namespace, "svc"] if !name.is_empty() && !namespace.is_empty() => {
                    Some(ServiceKey::new(namespace, name))
                }
                _ => None,
            }
        })?;
        Some(Self { service, port })
    }
}

/// Everything that decides a listener's content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListenerSpec {
    /// The name as it was asked for.
    pub name: Arc<str>,
    /// The name of its routes.
    pub routes: Arc<str>,
}

impl ListenerSpec {
    /// The version of what [`ListenerSpec::encode`] gives.
    #[must_use]
    pub fn version(&self) -> Version {
        Version::of(self)
    }

    /// An API listener whose routes come over the same ADS stream.
    #[must_use]
    pub fn encode(&self) -> Resource {
        // A gRPC client refuses a chain of filters that does not end with a router.
        let router = HttpFilter {
            name: "envoy.filters.http.router".to_owned(),
            config_type: Some(ConfigType::TypedConfig(packed(ROUTER_URL, &Router::default()))),
            ..HttpFilter::default()
        };
        let manager = HttpConnectionManager {
            http_filters: vec![router],
            route_specifier: Some(RouteSpecifier::Rds(Rds {
                config_source: Some(ads()),
                route_config_name: self.routes.to_string(),
            })),
            ..HttpConnectionManager::default()
        };
        let listener = Listener {
            name: self.name.to_string(),
            api_listener: Some(ApiListener {
                api_listener: Some(packed(MANAGER_URL, &manager)),
            }),
            ..Listener::default()
        };
        Resource::encode(
            ResourceType::Listener,
            Arc::clone(&self.name),
            self.version(),
            &listener,
        )
        .asking_for_routes()
    }
}

fn packed(url: &str, message: &impl Message) -> Any {
    Any {
        type_url: url.to_owned(),
        value: message.encode_to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_reads_back_and_others_are_none() {
        let name = ListenerName {
            service: ServiceKey::new("shop", "web"),
            port: 80,
        };
        let spellings = name.spellings("cluster.local");
        assert_eq!(
            spellings,
            ["web.shop:80", "web.shop.svc:80", "web.shop.svc.cluster.local:80"]
        );
        for text in spellings {
            assert_eq!(
                ListenerName::parse(&text, "cluster.local"),
                Some(name.clone()),
                "{text}"
            );
        }
        for wrong in [
            "",
            "web.shop",
            "web:80",
            ".shop:80",
            "web.:80",
            "web.shop:0",
            "web.shop:080",
            "web.shop:70000",
            "web.shop.svc.example.org:80",
            "a.web.shop:80",
            "outbound|80||web.shop.svc.cluster.local",
        ] {
            assert_eq!(ListenerName::parse(wrong, "cluster.local"), None, "{wrong}");
        }
    }

    #[test]
    fn a_listener_names_its_routes_and_ends_with_a_router() {
        let spec = ListenerSpec {
            name: "web.shop:80".into(),
            routes: "outbound|80||web.shop.svc.cluster.local".into(),
        };
        let any = Any::decode(spec.encode().any).unwrap();
        assert_eq!(any.type_url, ResourceType::Listener.url());
        let listener = Listener::decode(&*any.value).unwrap();
        assert_eq!(listener.name, "web.shop:80");
        assert_eq!(listener.address, None);
        let manager = listener.api_listener.unwrap().api_listener.unwrap();
        assert_eq!(manager.type_url, MANAGER_URL);
        let manager = HttpConnectionManager::decode(&*manager.value).unwrap();
        let Some(RouteSpecifier::Rds(rds)) = manager.route_specifier else {
            panic!("routes come by RDS")
        };
        assert_eq!(rds.route_config_name, "outbound|80||web.shop.svc.cluster.local");
        let Some(ConfigType::TypedConfig(last)) = &manager.http_filters.last().unwrap().config_type else {
            panic!("a filter has its settings")
        };
        assert_eq!(last.type_url, ROUTER_URL);
    }
}
