//! When a machine falls silent, which closes no connection, whoever waits for it is told after 25 s. The system's own 2 hours, and
//! 15 minutes, are no use.

use envoy_types::pb::envoy::config::core::v3::socket_option::{SocketState, Value};
use envoy_types::pb::envoy::config::core::v3::{SocketOption, TcpKeepalive};

use super::filters::uint;

/// Probes tell where nothing is on its way: after `TIME` + `PROBES` * `INTERVAL` seconds.
const TIME: u32 = 10;
const INTERVAL: u32 = 5;
const PROBES: u32 = 3;

/// The same where something is on its way.
const USER_TIMEOUT_MS: u32 = (TIME + PROBES * INTERVAL) * 1000;

/// Linux's numbers: of the level of sockets and that of TCP, and of their options.
const SOL_SOCKET: i64 = 1;
const SO_KEEPALIVE: i64 = 9;
const IPPROTO_TCP: i64 = 6;
const TCP_KEEPIDLE: i64 = 4;
const TCP_KEEPINTVL: i64 = 5;
const TCP_KEEPCNT: i64 = 6;
const TCP_USER_TIMEOUT: i64 = 18;

/// For connections that an Envoy makes.
pub(super) fn keepalive() -> TcpKeepalive {
    TcpKeepalive {
        keepalive_probes: uint(PROBES),
        keepalive_time: uint(TIME),
        keepalive_interval: uint(INTERVAL),
    }
}

/// For connections that an Envoy makes.
pub(super) fn user_timeout() -> SocketOption {
    option("TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
}

/// The probes for connections that arrive, which have them from the socket that listens. Without the timeout: Linux also counts it
/// while the other side answers but reads nothing, and a client that pauses a download is not gone.
pub(super) fn of_listener() -> Vec<SocketOption> {
    vec![
        option("SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, 1),
        option("TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, TIME),
        option("TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, INTERVAL),
        option("TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, PROBES),
    ]
}

fn option(description: &str, level: i64, name: i64, value: u32) -> SocketOption {
    SocketOption {
        description: description.to_owned(),
        level,
        name,
        state: SocketState::StatePrebind.into(),
        value: Some(Value::IntValue(value.into())),
        ..SocketOption::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use envoy_types::pb::envoy::config::cluster::v3::Cluster;

    use super::super::tests::{cluster, inbound, read, settings};
    use super::super::{
        DirectClusterSpec, DirectName, FixedCluster, FixedClusterSpec, GatewayListenerSpec, HostClusterSpec, HostWay,
    };
    use crate::model::{AddressFamilies, MtlsMode, Schema, ServiceKey};
    use crate::resources::ClusterName;

    /// Whether the peers of a cluster's connections are seen to fall silent.
    fn is_watched(cluster: &Cluster) -> bool {
        let keepalive = cluster.upstream_connection_options.as_ref();
        let keepalive = keepalive.and_then(|options| options.tcp_keepalive.as_ref());
        let bound = cluster.upstream_bind_config.as_ref();
        let timeout = bound.is_some_and(|bind| {
            bind.socket_options
                .iter()
                .any(|option| (option.level, option.name) == (6, 18))
        });
        assert_eq!(keepalive.is_some(), timeout, "{}", cluster.name);
        timeout
    }

    #[test]
    fn who_falls_silent_is_noticed_whichever_way_it_was_found_and_whoever_connected() {
        assert!(is_watched(&cluster(settings())));
        let name = ClusterName {
            service: ServiceKey::new("shop", "web"),
            port: 80,
        };
        let direct = DirectClusterSpec {
            name: DirectName(name.clone()),
            port: None,
            settings: Arc::new(settings()),
        };
        assert!(is_watched(&read(&direct.encode())));
        let families = AddressFamilies::V4;
        for cluster in FixedCluster::ALL {
            let fixed: Cluster = read(&FixedClusterSpec { cluster, families }.encode());
            assert_eq!(
                is_watched(&fixed),
                cluster == FixedCluster::Passthrough,
                "{}",
                fixed.name
            );
        }
        for way in [
            HostWay::Original,
            HostWay::Names(Vec::new()),
            HostWay::Name(Vec::new()),
            HostWay::Endpoints,
        ] {
            let host = HostClusterSpec {
                name: name.clone(),
                namespace: "shop".into(),
                way,
                schema: Schema::Current,
                families,
                domain: "cluster.local".into(),
                settings: None,
            };
            assert!(is_watched(&read(&host.encode())));
        }
        let gateway = GatewayListenerSpec {
            families,
            hosts: Vec::new(),
            settings: Arc::new(settings()),
        };
        for listener in [read(&gateway.encode()), inbound(settings(), MtlsMode::Strict, &[], &[])] {
            let options = listener.socket_options.iter();
            let options: Vec<_> = options.map(|option| (option.level, option.name)).collect();
            assert_eq!(options, [(1, 9), (6, 4), (6, 5), (6, 6)], "{}", listener.name);
        }
    }
}
