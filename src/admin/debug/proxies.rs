//! Connected proxies and how far each is, as messages. Pure.

use super::{v1, viewer, words};
use crate::xds::{Dialect, ResourceState, StreamReport, TypeReport};

/// All open streams, by node id and age.
pub(super) fn proxies(mut streams: Vec<StreamReport>) -> Vec<v1::Proxy> {
    streams.sort_by(|a, b| a.node_id.cmp(&b.node_id).then(a.connected_at.cmp(&b.connected_at)));
    streams.iter().map(proxy).collect()
}

fn proxy(stream: &StreamReport) -> v1::Proxy {
    v1::Proxy {
        id: stream.node_id.to_string(),
        viewer: Some(viewer::of_stream(stream)),
        dialect: match stream.dialect {
            Dialect::StateOfTheWorld => "sotw".to_owned(),
            Dialect::Delta => "delta".to_owned(),
        },
        peer: stream.peer.clone(),
        connected_at: words::time(stream.connected_at),
        types: stream.types.iter().map(of_type).collect(),
    }
}

fn of_type(report: &TypeReport) -> v1::ProxyType {
    let status = &report.status;
    let unsettled = |state| matches!(state, ResourceState::Stale | ResourceState::Nacked);
    let unsettled = report
        .resources
        .iter()
        .filter(|resource| unsettled(resource.state))
        .count();
    // What waits to be sent may be among what was sent and is not settled, so the sum could count a name twice.
    let behind = unsettled.max(status.pending);
    let state = match (&status.last_nack, behind) {
        (Some(_), _) => "Nack",
        (None, 0) => "Synced",
        (None, _) => "Behind",
    };
    let nack = status.last_nack.as_ref().map(|nack| v1::Nack {
        at: report.nacked_at.map(words::time).unwrap_or_default(),
        message: nack.message.clone(),
        version: nack.version.to_string(),
    });
    v1::ProxyType {
        type_url: status.kind.url().to_owned(),
        r#type: status.kind.short().to_owned(),
        state: state.to_owned(),
        subscribed: words::count(status.subscribed),
        wildcard: status.wildcard,
        behind: words::count(behind),
        in_flight_since: report.in_flight_since.map(words::time).unwrap_or_default(),
        nack,
        held: words::count(status.held),
        pushes: status.pushes,
        acks: status.acks,
        nacks: status.nacks,
    }
}
