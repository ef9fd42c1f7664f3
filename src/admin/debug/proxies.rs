//! Connected proxies and how far each is, as messages.

use std::collections::BTreeSet;

use super::super::progress::{Latest, progress};
use super::{v1, viewer, words};
use crate::resources::ResourceType;
use crate::xds::{Dialect, NameReport, StreamReport, TypeReport};

/// All open streams, by node id and age.
pub(super) fn proxies(mut streams: Vec<StreamReport>, latest: &mut Latest<'_>) -> Vec<v1::Proxy> {
    streams.sort_by(|a, b| a.node_id.cmp(&b.node_id).then(a.connected_at.cmp(&b.connected_at)));
    streams.iter().map(|stream| proxy(stream, latest)).collect()
}

fn proxy(stream: &StreamReport, latest: &mut Latest<'_>) -> v1::Proxy {
    let types = stream.types.iter().map(|(kind, report)| of_type(stream, *kind, report, latest));
    v1::Proxy {
        id: stream.node_id.to_string(),
        viewer: Some(viewer::of_stream(stream)),
        dialect: match stream.dialect {
            Dialect::Sotw => "sotw".to_owned(),
            Dialect::Delta => "delta".to_owned(),
        },
        peer: stream.peer.clone(),
        connected_at: words::time(stream.connected_at),
        types: types.collect(),
    }
}

fn of_type(stream: &StreamReport, kind: ResourceType, report: &TypeReport, latest: &mut Latest<'_>) -> v1::ProxyType {
    let mut names: BTreeSet<_> = report.names.keys().cloned().collect();
    if report.wildcard {
        names.extend(latest.all(kind));
    }
    let nothing = NameReport::default();
    let behind = names.iter().filter(|name| {
        let has = report.names.get(*name).unwrap_or(&nothing);
        !progress(report, has, latest.version(&stream.standpoint.key, kind, name)).is_settled()
    });
    let behind = behind.count();
    let state = match (&report.nack, behind) {
        (Some(_), _) => "nack",
        (None, 0) => "synced",
        (None, _) => "behind",
    };
    v1::ProxyType {
        type_url: kind.url().to_owned(),
        r#type: kind.short().to_owned(),
        state: state.to_owned(),
        subscribed: words::count(names.len()),
        wildcard: report.wildcard,
        behind: words::count(behind),
        in_flight_since: report.in_flight_since.map(words::time).unwrap_or_default(),
        nack: report.nack.as_ref().map(|nack| v1::Nack { at: words::time(nack.at), message: nack.message.clone() }),
    }
}
