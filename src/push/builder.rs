//! The source of the cache: builds one resource of one view from the table as it is now.

use std::sync::Arc;

use super::PushMetrics;
use super::interner::Interner;
use super::spec::resource_spec;
use crate::cache::Source;
use crate::model::{Standpoint, ViewKey, Viewer};
use crate::resources::{ClusterName, ListenerName, Resource, ResourceType};
use crate::table::EndpointTable;

/// Builds resources.
#[derive(Debug)]
pub struct Builder {
    table: Arc<EndpointTable>,
    /// The domain in host names, `cluster.local`.
    domain: Arc<str>,
    interner: Interner,
    metrics: PushMetrics,
}

impl Builder {
    /// Builds from this table, with host names in this domain.
    #[must_use]
    pub fn new(table: Arc<EndpointTable>, domain: &str, metrics: PushMetrics) -> Arc<Self> {
        Arc::new(Self {
            table,
            domain: domain.into(),
            interner: Interner::default(),
            metrics,
        })
    }

    pub(super) fn encode_name(&self, name: &ClusterName) -> Arc<str> {
        name.encode(&self.domain).into()
    }

    pub(super) fn parse_name(&self, name: &str) -> Option<ClusterName> {
        ClusterName::parse(name, &self.domain)
    }

    pub(super) fn listener_names(&self, name: ClusterName) -> impl Iterator<Item = Arc<str>> {
        let ClusterName { service, port } = name;
        ListenerName { service, port }
            .spellings(&self.domain)
            .into_iter()
            .map(Arc::from)
    }
}

impl Source for Builder {
    fn locate(&self, viewer: &Viewer) -> Standpoint {
        self.table.locate(viewer)
    }

    fn names(&self, _key: &ViewKey, kind: ResourceType) -> Vec<Arc<str>> {
        match kind {
            ResourceType::Cluster => self
                .table
                .services()
                .iter()
                .flat_map(|service| {
                    let names = service.ports.iter().map(|port| ClusterName {
                        service: service.key.clone(),
                        port: port.port.number,
                    });
                    names.map(|name| self.encode_name(&name)).collect::<Vec<_>>()
                })
                .collect(),
            // What a sidecar asks for by `*` holds nothing yet: the listeners that there are belong to gRPC clients.
            ResourceType::Listener => Vec::new(),
            // No types that can be asked for as a whole.
            ResourceType::ClusterLoadAssignment | ResourceType::RouteConfiguration => Vec::new(),
            // Of no view: each stream has its own.
            ResourceType::Secret => Vec::new(),
        }
    }

    fn covers(&self, kind: ResourceType, _name: &str) -> bool {
        kind != ResourceType::Listener
    }

    fn build(&self, key: &ViewKey, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        let name: Arc<str> = name.into();
        let spec = resource_spec(&self.table, &self.domain, key, kind, &name)?;
        let version = spec.version();
        Some(self.interner.get_or_encode(kind, &name, version, || {
            self.metrics.encoded(kind);
            spec.encode_as(version)
        }))
    }
}
