//! The source of the cache: builds one resource of one view from the table as it is now.

use std::sync::Arc;

use super::PushMetrics;
use super::interner::Interner;
use crate::cache::Source;
use crate::model::{Standpoint, ViewKey, Viewer};
use crate::resources::{AssignmentSpec, ClusterName, ClusterSpec, Resource, ResourceType};
use crate::table::EndpointTable;
use crate::view::assign;

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

    fn intern(
        &self,
        kind: ResourceType,
        name: &Arc<str>,
        version: crate::resources::Version,
        encode: impl FnOnce() -> Resource,
    ) -> Arc<Resource> {
        self.interner.get_or_encode(kind, name, version, || {
            self.metrics.encoded(kind);
            encode()
        })
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
            // Not a type that can be asked for as a whole.
            ResourceType::ClusterLoadAssignment => Vec::new(),
        }
    }

    fn build(&self, key: &ViewKey, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        let parsed = self.parse_name(name)?;
        let service = self.table.service(&parsed.service)?;
        let port = service.port(parsed.port)?;
        let name: Arc<str> = name.into();
        Some(match kind {
            ResourceType::Cluster => {
                let spec = ClusterSpec {
                    name: Arc::clone(&name),
                };
                self.intern(kind, &name, spec.version(), || spec.encode())
            }
            ResourceType::ClusterLoadAssignment => {
                let assignment = assign(key, port, &self.table.gateways());
                let spec = AssignmentSpec {
                    name: Arc::clone(&name),
                    assignment,
                };
                self.intern(kind, &name, spec.version(), || spec.encode())
            }
        })
    }
}
