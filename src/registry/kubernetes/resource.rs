//! The kinds that are watched, as an API server's URLs have them. Pure.

use std::sync::Arc;

use super::super::group::Group;
use crate::table::Kind;

/// A kind at an API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) kind: Kind,
    /// Its name in URLs and in rules of access.
    pub(super) plural: &'static str,
    /// Where its group is found, in one version.
    group: String,
}

impl Resource {
    /// All objects of a kind, in the newest version.
    pub(super) fn of(kind: Kind) -> Self {
        Self::of_version(kind, Group::of(kind).versions[0])
    }

    /// The same in another version.
    pub(super) fn of_version(kind: Kind, version: &str) -> Self {
        let group = match Group::of(kind).name {
            "" => format!("api/{version}"),
            group => format!("apis/{group}/{version}"),
        };
        let plural = plural(kind);
        Self { kind, plural, group }
    }

    /// Where its objects at a place are listed; of one by its name, where that is.
    pub(super) fn path(&self, place: &Place) -> String {
        let Self { plural, group, .. } = self;
        match place {
            Place::Everywhere => format!("/{group}/{plural}"),
            Place::Namespace(namespace) => format!("/{group}/namespaces/{namespace}/{plural}"),
            Place::Named(name) => format!("/{group}/{plural}/{name}"),
        }
    }

    /// Where its objects at a place are watched. The way for one by its name is an old one, and the only one that whoever may
    /// read this object alone is allowed.
    pub(super) fn watch_path(&self, place: &Place) -> String {
        match place {
            Place::Named(name) => format!("/{}/watch/{}/{name}", self.group, self.plural),
            place => self.path(place),
        }
    }
}

/// Which objects of a kind are read together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// All that the cluster has.
    Everywhere,
    /// Those of a namespace.
    Namespace(Arc<str>),
    /// The one of this name, of a kind that has no namespaces.
    Named(Arc<str>),
}

/// The name of a kind in URLs.
pub(super) fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Namespace => "namespaces",
        Kind::Node => "nodes",
        Kind::Service => "services",
        Kind::EndpointSlice => "endpointslices",
        Kind::Pod => "pods",
        Kind::ServiceEntry => "serviceentries",
        Kind::WorkloadEntry => "workloadentries",
        Kind::PeerAuthentication => "peerauthentications",
    }
}
