//! The kinds that are watched, as an API server's URLs have them. Pure.

use crate::table::Kind;

/// A kind at an API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) kind: Kind,
    /// Its name in URLs and in rules of access.
    pub(super) plural: &'static str,
    group: &'static str,
}

impl Resource {
    /// All objects of a kind.
    pub(super) fn of(kind: Kind) -> Self {
        let (group, plural) = match kind {
            Kind::Namespace => ("api/v1", "namespaces"),
            Kind::Node => ("api/v1", "nodes"),
            Kind::Service => ("api/v1", "services"),
            Kind::EndpointSlice => ("apis/discovery.k8s.io/v1", "endpointslices"),
            Kind::Pod => ("api/v1", "pods"),
        };
        Self { kind, plural, group }
    }

    /// Where it is found.
    pub(super) fn path(&self) -> String {
        format!("/{}/{}", self.group, self.plural)
    }
}
