//! The groups and versions in which kinds are served and written. Pure.

use crate::table::Kind;

/// The group of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    /// Empty for the core.
    pub(super) name: &'static str,
    /// The versions that we read, the newest first: what we read is the same in all.
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

    /// Whether an object with this `apiVersion` is of it.
    pub(super) fn has(self, version: &str) -> bool {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        group == self.name && self.versions.contains(&version)
    }
}
