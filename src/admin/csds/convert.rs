//! One connected proxy as a CSDS message.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use envoy_types::pb::envoy::admin::v3::{ClientResourceStatus, UpdateFailureState};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::status::v3::client_config::GenericXdsConfig;
use envoy_types::pb::envoy::service::status::v3::{ClientConfig, ConfigStatus};
use envoy_types::pb::google::protobuf::{Any, Timestamp};
use prost::Message as _;

use super::super::progress::{Latest, Progress, progress};
use crate::resources::{ResourceType, Version};
use crate::xds::{NameReport, StreamReport, TypeReport};

/// Whether an answer carries the resources themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contents {
    /// Only names, versions and states.
    Excluded,
    /// The resources too, where what the proxy accepted is what its view has now; older content is not kept.
    Included,
}

/// What one proxy has.
pub(super) fn client(stream: &StreamReport, contents: Contents, latest: &mut Latest<'_>) -> ClientConfig {
    let mut configs = Vec::new();
    for (kind, report) in &stream.types {
        let mut names: BTreeSet<Arc<str>> = report.names.keys().cloned().collect();
        if report.wildcard {
            names.extend(latest.all(*kind));
        }
        configs.extend(names.iter().map(|name| resource(stream, *kind, report, name, contents, latest)));
    }
    ClientConfig {
        node: Some(Node { id: stream.node_id.to_string(), ..Node::default() }),
        generic_xds_configs: configs,
        ..ClientConfig::default()
    }
}

fn resource(
    stream: &StreamReport,
    kind: ResourceType,
    report: &TypeReport,
    name: &Arc<str>,
    contents: Contents,
    latest: &mut Latest<'_>,
) -> GenericXdsConfig {
    let has = report.names.get(name).cloned().unwrap_or_default();
    let now = latest.version(&stream.standpoint.key, kind, name);
    let progress = progress(report, &has, now);
    let (config_status, client_status) = statuses(progress);
    let held = contents == Contents::Included && has.acked.is_some() && has.acked == now;
    let held = held.then(|| latest.resource(&stream.standpoint.key, kind, name)).flatten();
    GenericXdsConfig {
        type_url: kind.url().to_owned(),
        name: name.to_string(),
        version_info: version(has.acked),
        xds_config: held.and_then(|resource| Any::decode(resource.any).ok()),
        config_status: config_status.into(),
        client_status: client_status.into(),
        error_state: (progress == Progress::Refused).then(|| error_state(report, &has)).flatten(),
        ..GenericXdsConfig::default()
    }
}

fn statuses(progress: Progress) -> (ConfigStatus, ClientResourceStatus) {
    match progress {
        Progress::Synced => (ConfigStatus::Synced, ClientResourceStatus::Acked),
        Progress::Absent => (ConfigStatus::NotSent, ClientResourceStatus::DoesNotExist),
        Progress::NotSent => (ConfigStatus::NotSent, ClientResourceStatus::Requested),
        Progress::Behind => (ConfigStatus::Stale, ClientResourceStatus::Requested),
        Progress::Refused => (ConfigStatus::Error, ClientResourceStatus::Nacked),
    }
}

fn error_state(report: &TypeReport, has: &NameReport) -> Option<UpdateFailureState> {
    report.nack.as_ref().map(|nack| UpdateFailureState {
        last_update_attempt: Some(timestamp(nack.at)),
        details: nack.message.clone(),
        version_info: version(has.sent),
        ..UpdateFailureState::default()
    })
}

fn version(version: Option<Version>) -> String {
    version.map(|version| version.to_string()).unwrap_or_default()
}

fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).expect("a fraction of a second fits"),
    }
}
