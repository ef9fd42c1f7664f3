//! The kinds that are watched, as an API server's URLs have them. Pure.

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

/// The group of a kind that is optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: &'static str,
    /// The versions that we read, the newest first.
    pub(super) versions: &'static [&'static str],
}

impl Group {
    /// The group of a kind; of one that every member has, its version is fixed.
    pub(super) fn of(kind: Kind) -> Self {
        let (name, versions): (_, &[_]) = match kind {
            Kind::Namespace | Kind::Node | Kind::Service | Kind::Pod => ("", &["v1"]),
            Kind::EndpointSlice => ("discovery.k8s.io", &["v1"]),
            Kind::ServiceEntry | Kind::WorkloadEntry => ("networking.istio.io", &["v1", "v1beta1", "v1alpha3"]),
            Kind::PeerAuthentication => ("security.istio.io", &["v1", "v1beta1"]),
        };
        Self { name, versions }
    }
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

    /// Where it is found.
    pub(super) fn path(&self) -> String {
        format!("/{}/{}", self.group, self.plural)
    }
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
