//! One connected proxy as a CSDS message. Pure but for reading the table.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use envoy_types::pb::envoy::admin::v3::{ClientResourceStatus, UpdateFailureState};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::status::v3::client_config::GenericXdsConfig;
use envoy_types::pb::envoy::service::status::v3::{ClientConfig, ConfigStatus};
use envoy_types::pb::google::protobuf::{Any, Timestamp};
use prost::Message as _;

use crate::model::ViewKey;
use crate::resources::{AssignmentSpec, ClusterName, ClusterSpec, Resource, ResourceType};
use crate::table::EndpointTable;
use crate::view::assign;
use crate::xds::{ResourceState, ResourceStatus, StreamReport, TypeReport};

/// Where the contents of resources come from. Only what views have now is at hand, so a proxy's resource is shown where that
/// is what it accepted: equal versions mean equal content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contents<'a> {
    pub(super) table: &'a EndpointTable,
    pub(super) domain: &'a str,
}

/// What one proxy has, with the resources themselves where `contents` are given.
pub(super) fn client(stream: &StreamReport, contents: Option<&Contents<'_>>) -> ClientConfig {
    let view = &stream.standpoint.key;
    let mut configs = Vec::new();
    for report in &stream.types {
        configs.extend(
            report
                .resources
                .iter()
                .map(|status| resource(view, report, status, contents)),
        );
    }
    ClientConfig {
        node: Some(Node {
            id: stream.node_id.to_string(),
            ..Node::default()
        }),
        generic_xds_configs: configs,
        ..ClientConfig::default()
    }
}

fn resource(
    view: &ViewKey,
    report: &TypeReport,
    status: &ResourceStatus,
    contents: Option<&Contents<'_>>,
) -> GenericXdsConfig {
    let kind = report.status.kind;
    let (config_status, client_status) = statuses(status.state);
    let held = contents.and_then(|contents| contents.of(view, kind, &status.name));
    let held = held.filter(|resource| resource.version.to_string() == status.acked);
    GenericXdsConfig {
        type_url: kind.url().to_owned(),
        name: status.name.to_string(),
        version_info: status.acked.clone(),
        xds_config: held.and_then(|resource| Any::decode(resource.any).ok()),
        config_status: config_status.into(),
        client_status: client_status.into(),
        error_state: (status.state == ResourceState::Nacked)
            .then(|| error_state(report, status))
            .flatten(),
        ..GenericXdsConfig::default()
    }
}

fn statuses(state: ResourceState) -> (ConfigStatus, ClientResourceStatus) {
    match state {
        ResourceState::Synced => (ConfigStatus::Synced, ClientResourceStatus::Acked),
        ResourceState::Stale => (ConfigStatus::Stale, ClientResourceStatus::Requested),
        ResourceState::Nacked => (ConfigStatus::Error, ClientResourceStatus::Nacked),
        ResourceState::NotSent => (ConfigStatus::NotSent, ClientResourceStatus::DoesNotExist),
    }
}

fn error_state(report: &TypeReport, status: &ResourceStatus) -> Option<UpdateFailureState> {
    report.status.last_nack.as_ref().map(|nack| UpdateFailureState {
        last_update_attempt: report.nacked_at.map(timestamp),
        details: nack.message.clone(),
        version_info: status.sent.clone(),
        ..UpdateFailureState::default()
    })
}

fn timestamp(at: SystemTime) -> Timestamp {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).expect("a fraction of a second fits"),
    }
}

impl Contents<'_> {
    /// A resource as a view has it now.
    fn of(&self, view: &ViewKey, kind: ResourceType, name: &Arc<str>) -> Option<Resource> {
        let parsed = ClusterName::parse(name, self.domain)?;
        let service = self.table.service(&parsed.service)?;
        let port = service.port(parsed.port)?;
        let name = Arc::clone(name);
        Some(match kind {
            ResourceType::Cluster => ClusterSpec { name }.encode(),
            ResourceType::ClusterLoadAssignment => AssignmentSpec {
                name,
                assignment: assign(view, port, &self.table.gateways()),
            }
            .encode(),
        })
    }
}
