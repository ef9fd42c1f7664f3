//! Connected proxies and how far each is, as messages. Pure.

use std::time::SystemTime;

use super::{v1, viewer, words};
use crate::table::EndpointTable;
use crate::xds::{Dialect, ResourceState, StreamInfo, TypeInfo};

/// Whether a summary of a stream leaves open how many resources are behind.
pub(super) fn needs_detail(stream: &StreamInfo) -> bool {
    let open = |info: &TypeInfo| info.status.in_flight.is_some() || info.status.last_nack.is_some();
    stream.types.iter().any(open)
}

/// One open stream; the resources of each type are looked at where there are any.
pub(super) fn proxy(stream: &StreamInfo, table: &EndpointTable, now: SystemTime) -> v1::Proxy {
    let node = &stream.node;
    v1::Proxy {
        id: node.id.to_string(),
        viewer: Some(viewer::of_stream(stream, table)),
        dialect: match stream.dialect {
            Dialect::StateOfTheWorld => "sotw".to_owned(),
            Dialect::Delta => "delta".to_owned(),
        },
        peer: stream.peer.map(|peer| peer.to_string()).unwrap_or_default(),
        connected_at: words::time(stream.connected_at),
        types: stream.types.iter().map(|info| of_type(info, now)).collect(),
        pod: node.pod.to_string(),
        agent: node.agent.to_string(),
    }
}

fn of_type(info: &TypeInfo, now: SystemTime) -> v1::ProxyType {
    let status = &info.status;
    let unsettled = |state| matches!(state, ResourceState::Stale | ResourceState::Nacked);
    let unsettled = info.resources.iter().filter(|resource| unsettled(resource.state));
    // What waits to be sent may be among what was sent and is not settled: their sum could count a name twice. An answer that
    // only removes names leaves no resource to count.
    let waiting = usize::from(status.in_flight.is_some());
    let behind = unsettled.count().max(status.pending).max(waiting);
    let state = match (&status.last_nack, behind) {
        (Some(_), _) => "Nack",
        (None, 0) => "Synced",
        (None, _) => "Behind",
    };
    let nack = status.last_nack.as_ref().map(|nack| v1::Nack {
        version: nack.version.to_string(),
        message: nack.message.clone(),
        code: nack.code,
    });
    let since = info.in_flight_for.and_then(|waited| now.checked_sub(waited));
    v1::ProxyType {
        type_url: status.kind.url().to_owned(),
        r#type: status.kind.short().to_owned(),
        state: state.to_owned(),
        subscribed: words::count(status.subscribed),
        wildcard: status.wildcard,
        behind: words::count(behind),
        in_flight_since: since.map(words::time).unwrap_or_default(),
        nack,
        held: words::count(status.held),
        pushes: status.pushes,
        acks: status.acks,
        nacks: status.nacks,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::samples;
    use super::*;
    use crate::resources::{ResourceType, Version};
    use crate::table::testing;
    use crate::xds::Nack;

    #[test]
    fn a_proxy_is_synced_behind_or_refuses() {
        let mut late = samples::settled(ResourceType::ClusterLoadAssignment);
        late.status.in_flight = Some("7".to_owned());
        late.in_flight_for = Some(Duration::from_secs(3));
        let states = [
            ResourceState::Stale,
            ResourceState::Synced,
            ResourceState::Stale,
            ResourceState::NotSent,
        ];
        late.resources = states.map(|state| samples::resource("a", state)).into();
        let mut stream = samples::stream("a", 1);
        stream.types = vec![samples::settled(ResourceType::Cluster), late];
        assert!(needs_detail(&stream));
        let table = testing::table();
        let message = proxy(&stream, &table, UNIX_EPOCH + Duration::from_secs(10));
        assert_eq!(message.pod, "shop/a");
        assert_eq!(message.connected_at, "1970-01-01T00:00:01.000Z");
        assert_eq!(message.viewer.unwrap().network, "net1");
        let [clusters, assignments] = <[_; 2]>::try_from(message.types).unwrap();
        assert_eq!(
            (&*clusters.r#type, &*clusters.state, clusters.behind),
            ("CDS", "Synced", 0)
        );
        assert_eq!((&*assignments.state, assignments.behind), ("Behind", 2));
        assert_eq!(assignments.in_flight_since, "1970-01-01T00:00:07.000Z");

        let refused = &mut stream.types[0];
        refused.status.last_nack = Some(Nack {
            version: Version::of(&1),
            code: 3,
            message: "no".to_owned(),
        });
        refused.resources = vec![samples::resource("a", ResourceState::Nacked)];
        let message = proxy(&stream, &table, UNIX_EPOCH);
        assert_eq!((&*message.types[0].state, message.types[0].behind), ("Nack", 1));
        assert_eq!(message.types[0].nack.as_ref().unwrap().message, "no");
    }

    #[test]
    fn an_answer_that_only_removes_counts_too() {
        let mut stream = samples::stream("a", 1);
        stream.types = vec![samples::settled(ResourceType::Cluster)];
        assert!(!needs_detail(&stream));
        stream.types[0].status.in_flight = Some("1".to_owned());
        let message = proxy(&stream, &testing::table(), UNIX_EPOCH);
        assert_eq!((&*message.types[0].state, message.types[0].behind), ("Behind", 1));
    }
}
