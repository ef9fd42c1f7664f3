//! How far a proxy is with one resource: what it accepted, beside what its view has now. Pure but for reading the table.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::ViewKey;
use crate::resources::{AssignmentSpec, ClusterName, ClusterSpec, Resource, ResourceType, Version};
use crate::table::EndpointTable;
use crate::view::assign;
use crate::xds::{NameReport, TypeReport};

/// How far a proxy is with one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It accepted what its view has now.
    Synced,
    /// It asked for something that does not exist, and has nothing of that name.
    Absent,
    /// Nothing was sent yet.
    NotSent,
    /// It was sent something that it did not accept yet, or its view has something newer than what was sent.
    Behind,
    /// It refused what was sent last.
    Refused,
}

impl Progress {
    /// True where nothing is left to do.
    pub(super) fn is_settled(self) -> bool {
        matches!(self, Self::Synced | Self::Absent)
    }
}

/// Compares what a proxy has of one name with what its view has now.
pub(super) fn progress(of_type: &TypeReport, name: &NameReport, latest: Option<Version>) -> Progress {
    match (name.acked, latest) {
        (None, None) => Progress::Absent,
        (acked, latest) if acked == latest => Progress::Synced,
        _ if of_type.nack.is_some() && name.sent != name.acked => Progress::Refused,
        _ if name.sent.is_none() => Progress::NotSent,
        _ => Progress::Behind,
    }
}

/// What views have now. Thousands of proxies share a view, so each answer is worked out once.
#[derive(Debug)]
pub(super) struct Latest<'a> {
    table: &'a EndpointTable,
    domain: &'a str,
    versions: HashMap<(ViewKey, ResourceType, Arc<str>), Option<Version>>,
    clusters: Option<Vec<Arc<str>>>,
}

impl<'a> Latest<'a> {
    pub(super) fn new(table: &'a EndpointTable, domain: &'a str) -> Self {
        Self { table, domain, versions: HashMap::new(), clusters: None }
    }

    /// The version of a resource in a view, `None` where it does not exist.
    pub(super) fn version(&mut self, view: &ViewKey, kind: ResourceType, name: &Arc<str>) -> Option<Version> {
        let key = (view.clone(), kind, Arc::clone(name));
        if let Some(known) = self.versions.get(&key) {
            return *known;
        }
        let version = match kind {
            ResourceType::Cluster => self.cluster(name).map(|spec| spec.version()),
            ResourceType::ClusterLoadAssignment => self.assignment(view, name).map(|spec| spec.version()),
        };
        self.versions.insert(key, version);
        version
    }

    /// A resource as a view has it now.
    pub(super) fn resource(&self, view: &ViewKey, kind: ResourceType, name: &Arc<str>) -> Option<Resource> {
        match kind {
            ResourceType::Cluster => self.cluster(name).map(|spec| spec.encode()),
            ResourceType::ClusterLoadAssignment => self.assignment(view, name).map(|spec| spec.encode()),
        }
    }

    /// All names of a type that can be asked for as a whole.
    pub(super) fn all(&mut self, kind: ResourceType) -> Vec<Arc<str>> {
        if !kind.is_wildcard_capable() {
            return Vec::new();
        }
        let (table, domain) = (self.table, self.domain);
        let names = self.clusters.get_or_insert_with(|| {
            let mut names = Vec::new();
            for service in table.services() {
                for port in &service.ports {
                    let name = ClusterName { service: service.key.clone(), port: port.port.number };
                    names.push(name.encode(domain).into());
                }
            }
            names
        });
        names.clone()
    }

    fn cluster(&self, name: &Arc<str>) -> Option<ClusterSpec> {
        let parsed = ClusterName::parse(name, self.domain)?;
        let service = self.table.service(&parsed.service)?;
        service.port(parsed.port).map(|_| ClusterSpec { name: Arc::clone(name) })
    }

    fn assignment(&self, view: &ViewKey, name: &Arc<str>) -> Option<AssignmentSpec> {
        let parsed = ClusterName::parse(name, self.domain)?;
        let service = self.table.service(&parsed.service)?;
        let port = service.port(parsed.port)?;
        let assignment = assign(view, port, &self.table.gateways());
        Some(AssignmentSpec { name: Arc::clone(name), assignment })
    }
}
