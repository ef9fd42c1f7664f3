//! Who looks: a connected proxy, or somebody who only names a network or a member. Pure but for reading the table.

use super::target::shorten;
use super::{Unanswerable, v1};
use crate::model::{
    AddressFamilies, ClusterId, EnvoyVersion, NetworkId, ObjectName, Role, Standpoint, ViewKey, Viewer,
};
use crate::table::EndpointTable;
use crate::xds::StreamInfo;

/// At most this many proxies go into a message.
const LISTED: usize = 5;

/// Finds out where somebody stands.
pub(super) fn resolve(
    wanted: Option<&v1::ViewerRef>,
    table: &EndpointTable,
    streams: &[StreamInfo],
) -> Result<(ViewKey, v1::Viewer), Unanswerable> {
    let wanted = wanted.ok_or(Unanswerable::NoViewer)?;
    if !wanted.proxy.is_empty() {
        if !(wanted.network.is_empty() && wanted.member.is_empty() && wanted.families.is_empty()) {
            return Err(Unanswerable::TwoViewers);
        }
        let stream = find(&wanted.proxy, streams)?;
        return Ok((stream.standpoint.whole_key(), of_stream(stream, table)));
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
    if standpoint.contradiction.is_none() && !is_known(&standpoint.key.network, table) {
        let network = &standpoint.key.network;
        standpoint.contradiction = Some(format!(
            "no member, endpoint or gateway is on network {network}; is it misspelt?"
        ));
    }
    standpoint.key.families = families(&wanted.families)?;
    let message = message("", &viewer, &standpoint, table);
    Ok((standpoint.whole_key(), message))
}

/// Where a connected proxy stands.
pub(super) fn of_stream(stream: &StreamInfo, table: &EndpointTable) -> v1::Viewer {
    let mut message = message(&stream.node.id, &stream.node.viewer, &stream.standpoint, table);
    let version = EnvoyVersion::of_agent(&stream.node.agent);
    let is_older = version.is_some_and(|version| version < EnvoyVersion::OLDEST_TRIED);
    if stream.standpoint.key.role != Role::Endpoints && is_older {
        let older = format!(
            "runs {}; nothing older than {} was tried",
            stream.node.agent,
            EnvoyVersion::OLDEST_TRIED
        );
        message.contradiction = match &*message.contradiction {
            "" => older,
            other => format!("{other}; {older}"),
        };
    }
    message
}

fn message(proxy: &str, viewer: &Viewer, standpoint: &Standpoint, table: &EndpointTable) -> v1::Viewer {
    let asks = standpoint.inbound.as_ref().and_then(|_| table.inbound(viewer));
    let (inbound, inbound_origin) = asks
        .map(|(policy, says)| (policy.to_string(), says))
        .unwrap_or_default();
    v1::Viewer {
        inbound,
        inbound_origin,
        proxy: proxy.to_owned(),
        member: viewer.member.as_ref().map(ToString::to_string).unwrap_or_default(),
        network: standpoint.key.network.to_string(),
        network_origin: standpoint.origin.to_string(),
        families: standpoint.key.families.to_string(),
        contradiction: standpoint.contradiction.clone().unwrap_or_default(),
    }
}

/// Whether anything is on a network. A viewer may stand on one where nothing else is, but most likely it was misspelt.
fn is_known(network: &NetworkId, table: &EndpointTable) -> bool {
    let of_services = || {
        let services = table.services();
        let mut ports = services.iter().flat_map(|service| &service.ports);
        ports.any(|port| port.groups().keys().any(|key| key.network == *network))
    };
    table.members().iter().any(|member| member.network == *network)
        || !table.gateways().of(network).is_empty()
        || of_services()
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
        "any" => Ok(AddressFamilies::Unknown),
        other => Err(Unanswerable::NotFamilies(shorten(other))),
    }
}

/// The one proxy of this name: its node id or its pod, else the only one whose id or pod begins so.
fn find<'a>(name: &str, streams: &'a [StreamInfo]) -> Result<&'a StreamInfo, Unanswerable> {
    let is = |stream: &&StreamInfo| *stream.node.id == *name || pod_names(stream).any(|pod| pod == name);
    let begins =
        |stream: &&StreamInfo| stream.node.id.starts_with(name) || pod_names(stream).any(|pod| pod.starts_with(name));
    let mut matching: Vec<_> = streams.iter().filter(is).collect();
    if matching.is_empty() {
        matching = streams.iter().filter(begins).collect();
    }
    // A proxy that just reconnected has two streams for a moment; the newest is the one that counts.
    matching.sort_by(|a, b| a.node.id.cmp(&b.node.id).then(b.connected_at.cmp(&a.connected_at)));
    matching.dedup_by(|a, b| a.node.id == b.node.id);
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

/// The pod as people name it: `pod`, `pod.namespace` and `namespace/pod`.
fn pod_names(stream: &StreamInfo) -> impl Iterator<Item = String> {
    let ObjectName { namespace, name } = &stream.node.pod;
    let names = (!name.is_empty()).then(|| {
        [
            name.to_string(),
            format!("{name}.{namespace}"),
            format!("{namespace}/{name}"),
        ]
    });
    names.into_iter().flatten()
}

fn names<'a>(streams: impl IntoIterator<Item = &'a StreamInfo>) -> (Vec<String>, usize) {
    let mut names: Vec<_> = streams.into_iter().map(|stream| shorten(&stream.node.id)).collect();
    names.sort();
    names.dedup();
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    (names, more)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_proxy_is_named_by_its_id_its_pod_or_the_beginning_of_one() {
        let streams = [
            samples::stream("a-1", 1),
            samples::stream("a-10", 2),
            samples::stream("b", 3),
        ];
        for (name, pod) in [
            ("sidecar~10.1.0.9~a-1.shop~shop.svc.cluster.local", "a-1"),
            ("a-1", "a-1"),
            ("a-10.shop", "a-10"),
            ("shop/b", "b"),
            ("a-10.s", "a-10"),
            ("sidecar~10.1.0.9~b", "b"),
        ] {
            assert_eq!(&*find(name, &streams).unwrap().node.pod.name, pod, "{name}");
        }
        let several = find("a", &streams).unwrap_err().to_string();
        assert!(
            several.contains("any of 2 proxies") && several.contains("a-10.shop"),
            "{several}"
        );
        let none = find("c", &streams).unwrap_err().to_string();
        assert!(none.contains("connected are sidecar~"), "{none}");
    }

    #[test]
    fn of_two_streams_of_one_proxy_the_newest_counts() {
        let mut older = samples::stream("a", 1);
        older.standpoint.key.network = samples::network("net1");
        let mut newer = samples::stream("a", 2);
        newer.standpoint.key.network = samples::network("net2");
        let found = find("a", &[older, newer]).map(|stream| stream.standpoint.key.network.to_string());
        assert_eq!(found.unwrap(), "net2");
    }

    #[test]
    fn a_viewer_is_one_thing_only() {
        let table = crate::table::testing::table();
        let of = |proxy: &str, network: &str, families: &str| {
            let wanted = v1::ViewerRef {
                proxy: proxy.to_owned(),
                network: network.to_owned(),
                families: families.to_owned(),
                member: String::new(),
            };
            resolve(Some(&wanted), &table, &[samples::stream("a", 1)])
        };
        assert_eq!(
            of("a", "", "").unwrap().1.proxy,
            "sidecar~10.1.0.9~a.shop~shop.svc.cluster.local"
        );
        assert_eq!(of("", "net7", "any").unwrap().0.to_string(), "net7/any");
        let (key, viewer) = of("", "net7", "v6").unwrap();
        assert_eq!(key.to_string(), "net7/v6");
        assert!(viewer.contradiction.contains("misspelt"), "{viewer:?}");
        for (proxy, network, families, says) in [
            ("", "", "", "who looks?"),
            ("a", "net1", "", "says itself"),
            ("", "net1", "v5", "v4, v6, dual and any"),
            ("", "-", "", "network name"),
        ] {
            let error = of(proxy, network, families).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn an_envoy_that_is_older_than_was_tried_is_named() {
        let mut stream = samples::stream("a", 1);
        std::sync::Arc::make_mut(&mut stream.node).agent = "envoy/1.30.1".into();
        stream.standpoint.contradiction = None;
        let table = crate::table::testing::table();
        assert_eq!(
            of_stream(&stream, &table).contradiction,
            "",
            "clusters are as they were"
        );
        stream.standpoint.key.role = Role::Sidecar;
        let contradiction = of_stream(&stream, &table).contradiction;
        assert_eq!(contradiction, "runs envoy/1.30.1; nothing older than 1.36 was tried");
    }
}
