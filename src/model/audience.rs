//! Who may see a member's endpoints of a service.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{ClusterId, GroupKey, Role, ViewKey};

/// Who may see a member's endpoints of a service, by that member's word and by the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audience {
    /// From which members.
    pub reach: Reach,
    /// From which namespaces; from all where `None`, from nowhere where it is empty.
    pub namespaces: Option<Arc<BTreeSet<Arc<str>>>>,
}

/// From which members a member's endpoints can be seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// From all.
    #[default]
    Mesh,
    /// From its own, and never through a gateway.
    Member,
}

/// Why a viewer does not see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unseen {
    /// The service stays in its member.
    ClusterLocal,
    /// It is not exported to the viewer.
    NotExported,
}

impl Audience {
    /// True where everybody sees them.
    #[must_use]
    pub fn is_everybody(&self) -> bool {
        *self == Self::default()
    }

    fn has_namespace(&self, namespace: &str) -> bool {
        self.namespaces
            .as_ref()
            .is_none_or(|namespaces| namespaces.contains(namespace))
    }

    /// True for somebody in this member and namespace, wherever the endpoints are.
    #[must_use]
    pub fn has(&self, own: &ClusterId, member: Option<&ClusterId>, namespace: &str) -> bool {
        (self.reach == Reach::Mesh || member == Some(own)) && self.has_namespace(namespace)
    }

    /// Why a viewer does not see the endpoints of a group, if so. A gateway can't tell who is behind a connection: it leads to
    /// what anybody abroad may see.
    #[must_use]
    pub fn hides(&self, viewer: &ViewKey, group: &GroupKey) -> Option<Unseen> {
        let is_seen = match viewer.role {
            Role::Gateway => self.namespaces.as_ref().is_none_or(|namespaces| !namespaces.is_empty()),
            Role::Endpoints | Role::Sidecar => self.has_namespace(&viewer.vantage.namespace),
        };
        let stays = match (self.reach, viewer.role) {
            (Reach::Mesh, _) => false,
            (Reach::Member, Role::Gateway) => true,
            (Reach::Member, _) => {
                viewer.vantage.member.as_ref() != Some(&group.member) || viewer.network != group.network
            }
        };
        match (stays, is_seen) {
            (true, _) => Some(Unseen::ClusterLocal),
            (false, false) => Some(Unseen::NotExported),
            (false, true) => None,
        }
    }
}
