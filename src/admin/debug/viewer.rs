//! Who looks: a connected proxy, or somebody who only names a network or a member. Pure but for reading the table.

use super::target::shorten;
use super::{Unanswerable, v1};
use crate::model::{AddressFamilies, ClusterId, NetworkId, Standpoint, ViewKey, Viewer};
use crate::table::EndpointTable;
use crate::xds::StreamReport;

/// At most this many proxies go into a message.
const LISTED: usize = 5;

/// Finds out where somebody stands.
pub(super) fn resolve(
    wanted: Option<&v1::ViewerRef>,
    table: &EndpointTable,
    streams: &[StreamReport],
) -> Result<(ViewKey, v1::Viewer), Unanswerable> {
    let wanted = wanted.ok_or(Unanswerable::NoViewer)?;
    if !wanted.proxy.is_empty() {
        if !(wanted.network.is_empty() && wanted.member.is_empty() && wanted.families.is_empty()) {
            return Err(Unanswerable::TwoViewers);
        }
        let stream = find(&wanted.proxy, streams)?;
        return Ok((stream.standpoint.key.clone(), of_stream(stream)));
    }
    let mut viewer = Viewer::default();
    if !wanted.member.is_empty() {
        viewer.member = Some(known_member(&wanted.member, table)?);
    }
    if !wanted.network.is_empty() {
        viewer.network = Some(NetworkId::new(&wanted.network)?);
    }
    if viewer.member.is_none() && viewer.network.is_none() {
        return Err(Unanswerable::NoViewer);
    }
    let mut standpoint = table.locate(&viewer);
    standpoint.key.families = families(&wanted.families)?;
    let message = message("", viewer.member.as_ref(), &standpoint);
    Ok((standpoint.key, message))
}

/// Where a connected proxy stands.
pub(super) fn of_stream(stream: &StreamReport) -> v1::Viewer {
    message(&stream.node_id, stream.viewer.member.as_ref(), &stream.standpoint)
}

fn message(proxy: &str, member: Option<&ClusterId>, standpoint: &Standpoint) -> v1::Viewer {
    v1::Viewer {
        proxy: proxy.to_owned(),
        member: member.map(ToString::to_string).unwrap_or_default(),
        network: standpoint.key.network.to_string(),
        network_origin: standpoint.origin.to_string(),
        families: standpoint.key.families.to_string(),
        contradiction: standpoint.contradiction.clone().unwrap_or_default(),
    }
}

fn known_member(name: &str, table: &EndpointTable) -> Result<ClusterId, Unanswerable> {
    let wanted = ClusterId::new(name)?;
    let members = table.members();
    if members.iter().any(|member| member.name == wanted) {
        return Ok(wanted);
    }
    let known = members.iter().map(|member| member.name.to_string()).collect();
    Err(Unanswerable::NoSuchMember {
        name: wanted.to_string(),
        known,
    })
}

fn families(text: &str) -> Result<AddressFamilies, Unanswerable> {
    match text {
        "" | "dual" => Ok(AddressFamilies::Dual),
        "v4" => Ok(AddressFamilies::V4),
        "v6" => Ok(AddressFamilies::V6),
        other => Err(Unanswerable::NotFamilies(shorten(other))),
    }
}

/// The one proxy of this name: its node id or its pod's name, else the only one whose id or pod begins so.
fn find<'a>(name: &str, streams: &'a [StreamReport]) -> Result<&'a StreamReport, Unanswerable> {
    let is = |stream: &&StreamReport| *stream.node_id == *name || pod_names(&stream.node_id).any(|pod| pod == name);
    let begins = |stream: &&StreamReport| {
        stream.node_id.starts_with(name) || pod_names(&stream.node_id).any(|pod| pod.starts_with(name))
    };
    let mut matching: Vec<_> = streams.iter().filter(is).collect();
    if matching.is_empty() {
        matching = streams.iter().filter(begins).collect();
    }
    // A proxy that just reconnected has two streams for a moment; the newest is the one that counts.
    matching.sort_by(|a, b| a.node_id.cmp(&b.node_id).then(b.connected_at.cmp(&a.connected_at)));
    matching.dedup_by(|a, b| a.node_id == b.node_id);
    match matching.as_slice() {
        [one] => Ok(one),
        [] => {
            let (connected, more) = names(streams);
            Err(Unanswerable::NoSuchProxy {
                name: shorten(name),
                connected,
                more,
            })
        }
        several => {
            let (matching, more) = names(several.iter().copied());
            Err(Unanswerable::WhichProxy {
                name: shorten(name),
                matching,
                more,
            })
        }
    }
}

/// `pod`, `pod.namespace` and `namespace/pod` from a node id of the form `sidecar~ip~pod.namespace~domain`.
fn pod_names(node_id: &str) -> impl Iterator<Item = String> {
    let full = node_id.split('~').nth(2).unwrap_or_default().to_owned();
    // A namespace has no dots, a pod may.
    let parts = full
        .rsplit_once('.')
        .map(|(pod, namespace)| (pod.to_owned(), format!("{namespace}/{pod}")));
    let (pod, path) = parts.unzip();
    [Some(full), pod, path]
        .into_iter()
        .flatten()
        .filter(|name| !name.is_empty())
}

fn names<'a>(streams: impl IntoIterator<Item = &'a StreamReport>) -> (Vec<String>, usize) {
    let mut names: Vec<_> = streams.into_iter().map(|stream| shorten(&stream.node_id)).collect();
    names.sort();
    names.dedup();
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    (names, more)
}
