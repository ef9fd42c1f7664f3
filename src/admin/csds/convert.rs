//! One connected proxy as a CSDS message. Pure but for reading the table.

use std::sync::Arc;

use envoy_types::pb::envoy::admin::v3::{ClientResourceStatus, UpdateFailureState};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::status::v3::client_config::GenericXdsConfig;
use envoy_types::pb::envoy::service::status::v3::{ClientConfig, ConfigStatus};
use envoy_types::pb::google::protobuf::Any;
use prost::Message as _;

use crate::model::ViewKey;
use crate::push::resource_spec;
use crate::resources::{Resource, ResourceType};
use crate::table::EndpointTable;
use crate::xds::{ResourceState, ResourceStatus, StreamInfo, TypeInfo};

/// Where the contents of resources come from. Only what views have now is at hand, so a proxy's resource is shown where that
/// is what it accepted: equal versions mean equal content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contents<'a> {
    pub(super) table: &'a EndpointTable,
    pub(super) domain: &'a str,
}

/// What one proxy has, with the resources themselves where `contents` are given.
pub(super) fn client(stream: &StreamInfo, contents: Option<&Contents<'_>>) -> ClientConfig {
    let view = &stream.standpoint.whole_key();
    let mut configs = Vec::new();
    for info in &stream.types {
        configs.extend(
            info.resources
                .iter()
                .map(|status| resource(view, info, status, contents)),
        );
    }
    ClientConfig {
        node: Some(Node {
            id: stream.node.id.to_string(),
            ..Node::default()
        }),
        generic_xds_configs: configs,
        ..ClientConfig::default()
    }
}

fn resource(
    view: &ViewKey,
    info: &TypeInfo,
    status: &ResourceStatus,
    contents: Option<&Contents<'_>>,
) -> GenericXdsConfig {
    let kind = info.status.kind;
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
            .then(|| error_state(info, status))
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

fn error_state(info: &TypeInfo, status: &ResourceStatus) -> Option<UpdateFailureState> {
    info.status.last_nack.as_ref().map(|nack| UpdateFailureState {
        details: nack.message.clone(),
        version_info: status.sent.clone(),
        ..UpdateFailureState::default()
    })
}

impl Contents<'_> {
    /// A resource as a view has it now.
    fn of(&self, view: &ViewKey, kind: ResourceType, name: &Arc<str>) -> Option<Resource> {
        resource_spec(self.table, self.domain, view, kind, name).map(|spec| spec.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::debug::samples;
    use super::*;
    use crate::resources::Version;
    use crate::table::testing::{joined, listed, table, web};
    use crate::xds::Nack;

    const WEB: &str = "outbound|80||web.shop.svc.cluster.local";

    #[test]
    fn each_resource_has_its_state_and_a_refusal_its_words() {
        let mut stream = samples::stream("a", 1);
        let mut info = samples::settled(ResourceType::Cluster);
        info.status.last_nack = Some(Nack {
            version: Version::of(&1),
            code: 3,
            message: "no such filter".to_owned(),
        });
        let states = [
            ResourceState::Synced,
            ResourceState::Stale,
            ResourceState::Nacked,
            ResourceState::NotSent,
        ];
        info.resources = states.map(|state| samples::resource("a", state)).into();
        stream.types = vec![info];
        let client = client(&stream, None);
        assert_eq!(
            client.node.unwrap().id,
            "sidecar~10.1.0.9~a.shop~shop.svc.cluster.local"
        );
        let states: Vec<_> = client
            .generic_xds_configs
            .iter()
            .map(GenericXdsConfig::config_status)
            .collect();
        assert_eq!(
            states,
            [
                ConfigStatus::Synced,
                ConfigStatus::Stale,
                ConfigStatus::Error,
                ConfigStatus::NotSent
            ]
        );
        let refused = &client.generic_xds_configs[2];
        assert_eq!(refused.client_status(), ClientResourceStatus::Nacked);
        let error = refused.error_state.as_ref().unwrap();
        assert_eq!(
            (&*error.details, &*error.version_info, &*refused.version_info),
            ("no such filter", "2", "1")
        );
        assert!(
            client
                .generic_xds_configs
                .iter()
                .all(|config| config.xds_config.is_none())
        );
        assert!(client.generic_xds_configs[0].error_state.is_none());
    }

    #[test]
    fn content_is_shown_where_it_is_what_was_accepted() {
        let table = table();
        table.apply(joined("west", "net1"));
        table.apply(listed("west", web(&["10.1.0.1"])));
        let contents = Contents {
            table: &table,
            domain: "cluster.local",
        };
        let mut stream = samples::stream("a", 1);
        let held = contents
            .of(&stream.standpoint.key, ResourceType::ClusterLoadAssignment, &WEB.into())
            .unwrap();
        let mut info = samples::settled(ResourceType::ClusterLoadAssignment);
        info.resources = vec![
            samples::resource(WEB, ResourceState::Synced),
            samples::resource(WEB, ResourceState::Stale),
        ];
        info.resources[0].acked = held.version.to_string();
        stream.types = vec![info];
        let shown = client(&stream, Some(&contents)).generic_xds_configs;
        let any = shown[0].xds_config.as_ref().unwrap();
        assert_eq!(any.type_url, ResourceType::ClusterLoadAssignment.url());
        assert!(shown[1].xds_config.is_none(), "what it has is older");
        let hidden = client(&stream, None).generic_xds_configs;
        assert!(hidden[0].xds_config.is_none());
    }
}
