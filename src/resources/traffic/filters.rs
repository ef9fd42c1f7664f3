//! The filters that listeners are made of.

use std::time::Duration;

use envoy_types::pb;
use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressOneof;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::substitution_format_string::Format;
use envoy_types::pb::envoy::config::core::v3::{Address, DataSource, SocketAddress, SubstitutionFormatString};
use envoy_types::pb::envoy::config::listener::v3::{
    Filter, FilterChain, FilterChainMatch, ListenerFilter, filter, listener_filter,
};
use envoy_types::pb::envoy::extensions::access_loggers::file::v3::FileAccessLog;
use envoy_types::pb::envoy::extensions::access_loggers::file::v3::file_access_log::AccessLogFormat;
use envoy_types::pb::envoy::extensions::filters::common::set_filter_state::v3::FilterStateValue;
use envoy_types::pb::envoy::extensions::filters::common::set_filter_state::v3::filter_state_value::{Key, Value};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use envoy_types::pb::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    RouteSpecifier, ServerHeaderTransformation, UpgradeConfig,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter,
};
use envoy_types::pb::envoy::extensions::filters::network::set_filter_state::v3::Config as SetFilterState;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;
use envoy_types::pb::google::protobuf::{Any, BoolValue, UInt32Value};

use super::cluster::FixedCluster;
use super::settings::TrafficSettings;
use crate::model::AddressFamilies;

/// In the order of a sentence: when, which way, who, what, how it ended, where it went.
const HTTP_FORMAT: &str = "[%START_TIME%] DIRECTION http %DOWNSTREAM_REMOTE_ADDRESS% peer=%DOWNSTREAM_PEER_URI_SAN% \
    \"%REQ(:METHOD)% %REQ(:AUTHORITY)%%REQ(:PATH)%\" status=%RESPONSE_CODE% flags=%RESPONSE_FLAGS% \
    to=%DOWNSTREAM_LOCAL_ADDRESS% cluster=%UPSTREAM_CLUSTER% upstream=%UPSTREAM_HOST% sni=%REQUESTED_SERVER_NAME% \
    attempts=%UPSTREAM_REQUEST_ATTEMPT_COUNT% took=%DURATION%ms bytes=%BYTES_RECEIVED%/%BYTES_SENT% \
    why=%UPSTREAM_TRANSPORT_FAILURE_REASON%\n";
const TCP_FORMAT: &str = "[%START_TIME%] DIRECTION tcp %DOWNSTREAM_REMOTE_ADDRESS% peer=%DOWNSTREAM_PEER_URI_SAN% \
    flags=%RESPONSE_FLAGS% to=%DOWNSTREAM_LOCAL_ADDRESS% cluster=%UPSTREAM_CLUSTER% upstream=%UPSTREAM_HOST% \
    sni=%REQUESTED_SERVER_NAME% took=%DURATION%ms bytes=%BYTES_RECEIVED%/%BYTES_SENT% \
    why=%UPSTREAM_TRANSPORT_FAILURE_REASON%\n";

/// What sort of connection a line of the log is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Logged {
    Http,
    Tcp,
}

/// A message with its type, which is spelled out by the type itself.
pub(super) fn packed(message: &impl prost::Name) -> Any {
    fn url<T: prost::Name>(_: &T) -> String {
        T::type_url()
    }
    Any {
        type_url: url(message),
        value: message.encode_to_vec(),
    }
}

pub(super) fn duration(duration: Duration) -> pb::google::protobuf::Duration {
    pb::google::protobuf::Duration {
        seconds: i64::try_from(duration.as_secs()).expect("timeouts are below the range of i64"),
        nanos: i32::try_from(duration.subsec_nanos()).expect("a fraction of a second fits"),
    }
}

pub(super) fn uint(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

pub(super) fn yes() -> Option<BoolValue> {
    Some(BoolValue { value: true })
}

pub(super) fn socket_address(address: &str, port: u16) -> SocketAddress {
    SocketAddress {
        address: address.to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port.into())),
        ..SocketAddress::default()
    }
}

pub(super) fn address(ip: &str, port: u16) -> Address {
    Address {
        address: Some(AddressOneof::SocketAddress(socket_address(ip, port))),
    }
}

/// All addresses of a port, of the families that the viewer has: where it has IPv6, one socket for both.
pub(super) fn any_address(families: AddressFamilies, port: u16) -> Address {
    if !families.listens_on_v6() {
        return address("0.0.0.0", port);
    }
    Address {
        address: Some(AddressOneof::SocketAddress(SocketAddress {
            ipv4_compat: true,
            ..socket_address("::", port)
        })),
    }
}

fn text(format: String) -> SubstitutionFormatString {
    SubstitutionFormatString {
        format: Some(Format::TextFormatSource(DataSource {
            specifier: Some(Specifier::InlineString(format)),
            ..DataSource::default()
        })),
        ..SubstitutionFormatString::default()
    }
}

pub(super) fn access_log(settings: &TrafficSettings, direction: &str, what: Logged) -> Vec<AccessLog> {
    let format = match what {
        Logged::Http => HTTP_FORMAT,
        Logged::Tcp => TCP_FORMAT,
    };
    let logs = settings.access_log.iter().map(|path| AccessLog {
        name: "envoy.access_loggers.file".to_owned(),
        config_type: Some(pb::envoy::config::accesslog::v3::access_log::ConfigType::TypedConfig(
            packed(&FileAccessLog {
                path: path.to_string(),
                access_log_format: Some(AccessLogFormat::LogFormat(text(format.replace("DIRECTION", direction)))),
            }),
        )),
        ..AccessLog::default()
    });
    logs.collect()
}

fn listener_filter(name: &str, config: Any) -> ListenerFilter {
    ListenerFilter {
        name: format!("envoy.filters.listener.{name}"),
        config_type: Some(listener_filter::ConfigType::TypedConfig(config)),
        ..ListenerFilter::default()
    }
}

pub(super) fn original_dst() -> ListenerFilter {
    listener_filter("original_dst", packed(&OriginalDst::default()))
}

pub(super) fn tls_inspector() -> ListenerFilter {
    listener_filter("tls_inspector", packed(&TlsInspector::default()))
}

pub(super) fn http_inspector() -> ListenerFilter {
    listener_filter("http_inspector", packed(&HttpInspector::default()))
}

pub(super) fn network_filter(name: &str, config: Any) -> Filter {
    Filter {
        name: format!("envoy.filters.network.{name}"),
        config_type: Some(filter::ConfigType::TypedConfig(config)),
    }
}

/// Sets something of a connection that later parts read, by one of Envoy's well-known keys.
pub(super) fn set_state(key: &str, value: &str) -> Filter {
    network_filter(
        "set_filter_state",
        packed(&SetFilterState {
            on_new_connection: vec![FilterStateValue {
                key: Some(Key::ObjectKey(key.to_owned())),
                value: Some(Value::FormatString(text(value.to_owned()))),
                ..FilterStateValue::default()
            }],
            ..SetFilterState::default()
        }),
    )
}

/// How often one connection is tried to endpoints of a service. Nothing has been sent before it is there, so another may take it.
const CONNECT_ATTEMPTS: u32 = 3;

/// To where a connection was going, or nowhere.
pub(super) fn tcp_proxy(settings: &TrafficSettings, direction: &str, cluster: &str) -> Filter {
    network_filter("tcp_proxy", packed(&proxy(settings, direction, cluster)))
}

/// To one of the endpoints of a service, or that which an earlier filter chose.
pub(super) fn tcp_proxy_to_service(settings: &TrafficSettings, direction: &str, cluster: &str) -> Filter {
    let proxy = TcpProxy {
        max_connect_attempts: uint(CONNECT_ATTEMPTS),
        ..proxy(settings, direction, cluster)
    };
    network_filter("tcp_proxy", packed(&proxy))
}

fn proxy(settings: &TrafficSettings, direction: &str, cluster: &str) -> TcpProxy {
    TcpProxy {
        stat_prefix: cluster.to_owned(),
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
        // What a connection lives for is the application's business.
        idle_timeout: Some(duration(Duration::ZERO)),
        access_log: access_log(settings, direction, Logged::Tcp),
        ..TcpProxy::default()
    }
}

/// An HTTP connection manager with what both directions share; the rest is the caller's.
pub(super) fn manager(
    settings: &TrafficSettings,
    direction: &str,
    stat_prefix: &str,
    routes: RouteSpecifier,
) -> HttpConnectionManager {
    let router = HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(packed(&Router::default()))),
        ..HttpFilter::default()
    };
    HttpConnectionManager {
        stat_prefix: stat_prefix.to_owned(),
        http_filters: vec![router],
        route_specifier: Some(routes),
        // Streams may be silent for as long as applications like.
        stream_idle_timeout: Some(duration(Duration::ZERO)),
        access_log: access_log(settings, direction, Logged::Http),
        http_protocol_options: Some(pb::envoy::config::core::v3::Http1ProtocolOptions {
            accept_http_10: true,
            ..pb::envoy::config::core::v3::Http1ProtocolOptions::default()
        }),
        server_header_transformation: ServerHeaderTransformation::PassThrough.into(),
        upgrade_configs: vec![UpgradeConfig {
            upgrade_type: "websocket".to_owned(),
            ..UpgradeConfig::default()
        }],
        ..HttpConnectionManager::default()
    }
}

pub(super) fn http(manager: &HttpConnectionManager) -> Filter {
    network_filter("http_connection_manager", packed(manager))
}

/// For connections to the listener's own port: whoever makes one would be sent back here, again and again.
pub(super) fn direct(settings: &TrafficSettings, direction: &str, port: u16) -> FilterChain {
    FilterChain {
        filter_chain_match: Some(FilterChainMatch {
            destination_port: uint(port.into()),
            ..FilterChainMatch::default()
        }),
        ..chain(
            "direct",
            vec![tcp_proxy(settings, direction, FixedCluster::BlackHole.name())],
        )
    }
}

pub(super) fn chain(name: &str, filters: Vec<Filter>) -> FilterChain {
    FilterChain {
        name: name.to_owned(),
        filters,
        ..FilterChain::default()
    }
}
