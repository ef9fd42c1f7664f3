//! What of a member is read: all of it, or some of its namespaces. Pure.

use std::sync::Arc;

use super::super::convert::Converted;
use super::super::{MemberOptions, Problem};
use super::failure::Failure;
use super::resource::Place;
use crate::model::ClusterId;
use crate::table::Kind;

/// What of a member is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// Sorted; all of them where there are none.
    namespaces: Vec<Arc<str>>,
    /// The one whose label places the member.
    system: Option<Arc<str>>,
}

impl Scope {
    pub(super) fn of(options: &MemberOptions) -> Self {
        Self {
            namespaces: options.namespaces.clone(),
            system: options.system_namespace.clone(),
        }
    }

    /// Only some namespaces are read.
    pub(super) fn is_partial(&self) -> bool {
        !self.namespaces.is_empty()
    }

    /// The namespaces that are read, where not all of them are.
    pub(super) fn namespaces(&self) -> &[Arc<str>] {
        &self.namespaces
    }

    /// Where a kind is read, at least at one place. Nodes are those of the whole cluster: endpoints need their localities. Of
    /// Namespaces only one says something.
    pub(super) fn places(&self, kind: Kind) -> Vec<Place> {
        if !self.is_partial() {
            return vec![Place::Everywhere];
        }
        let within = self.namespaces.iter().cloned();
        match kind {
            Kind::Node => vec![Place::Everywhere],
            Kind::Namespace => vec![Place::Named(
                self.system.clone().unwrap_or_else(|| Arc::clone(&self.namespaces[0])),
            )],
            // One in the system namespace may count for all of the member.
            Kind::PeerAuthentication => within
                .chain(self.unread_system().cloned())
                .map(Place::Namespace)
                .collect(),
            _ => within.map(Place::Namespace).collect(),
        }
    }

    /// The system namespace, where some are read and it is none of them.
    fn unread_system(&self) -> Option<&Arc<str>> {
        let system = self.system.as_ref().filter(|_| self.is_partial());
        system.filter(|system| !self.namespaces.contains(system))
    }

    /// The namespace of a place that a kind is read without, where we are not allowed to: the others count all the same.
    pub(super) fn may_lack<'a>(&self, kind: Kind, place: &'a Place) -> Option<&'a Arc<str>> {
        match place {
            Place::Namespace(namespace) if kind == Kind::PeerAuthentication => {
                Some(namespace).filter(|namespace| self.unread_system() == Some(*namespace))
            }
            _ => None,
        }
    }

    /// All of `other` is read here too, so that nothing of it may be missing.
    pub(super) fn covers(&self, other: &Self) -> bool {
        !self.is_partial() || other.is_partial() && other.namespaces.iter().all(|name| self.namespaces.contains(name))
    }

    /// A kind that the member is read without, where we are not allowed to: its own word says where endpoints are.
    pub(super) fn does_without(&self, kind: Kind) -> bool {
        kind == Kind::Node || kind == Kind::Namespace && self.is_partial()
    }

    /// Leaves nothing but the name of an object in a namespace that is not to be read, should a server tell of one.
    pub(super) fn within(&self, kind: Kind, mut converted: Converted) -> Converted {
        let is_namespaced = !matches!(kind, Kind::Namespace | Kind::Node);
        let is_root = |namespace| kind == Kind::PeerAuthentication && self.unread_system() == Some(namespace);
        let is_outside = |namespace| self.is_partial() && !self.namespaces.contains(namespace) && !is_root(namespace);
        if is_namespaced && converted.name.as_ref().is_some_and(|name| is_outside(&name.namespace)) {
            converted.record = None;
            converted.is_unreadable = false;
            converted.problems.clear();
        }
        converted
    }
}

/// What is wrong where a member is read without a kind.
pub(super) fn without(member: &ClusterId, kind: Kind, failure: &Failure) -> Problem {
    let (what, remedy) = match kind {
        Kind::Namespace => (
            "the network label of the member's system namespace is not known",
            "or say the member's network where it is listed",
        ),
        _ => (
            "localities are those that slices tell, and gateways of type NodePort have no addresses",
            "or leave it so",
        ),
    };
    let problem = format!("{failure}; without {kind} objects {what}");
    Problem::new(format!("member {member}"), problem, remedy)
}

/// What is wrong where a kind may not be read that a member may lack: nothing, but with one that says what workloads let in.
pub(super) fn forbidden(member: &ClusterId, kind: Kind) -> Vec<Problem> {
    if kind != Kind::PeerAuthentication {
        return Vec::new();
    }
    let problem = format!(
        "{kind} objects are there and may not be read; what is known of them is kept, and where nothing is, workloads ask for \
         mutual TLS (STRICT)"
    );
    let remedy = "give the rights of reader.yaml, or remove the kind";
    vec![Problem::new(format!("member {member}"), problem, remedy)]
}

/// What is wrong where it is read without what the system namespace has of a kind; `message` is the server's.
pub(super) fn lacking(member: &ClusterId, kind: Kind, namespace: &str, message: &str) -> Problem {
    let problem = format!(
        "{kind} objects of {namespace}, which count for all of the member, can't be read; what is known of them is kept, and \
         where nothing is, traffic.mtls counts in their place: {message}"
    );
    let remedy = format!("give the Role of namespace-reader.yaml in {namespace} too");
    Problem::new(format!("member {member}"), problem, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(namespaces: &[&str]) -> Scope {
        Scope {
            namespaces: namespaces.iter().map(|name| (*name).into()).collect(),
            system: None,
        }
    }

    #[test]
    fn what_covers_what() {
        for (scopes, covers) in [
            ((&[][..], &[][..]), true),
            ((&[], &["a"]), true),
            ((&["a"], &[]), false),
            ((&["a", "b"], &["b"]), true),
            ((&["a"], &["a", "b"]), false),
        ] {
            assert_eq!(scope(scopes.0).covers(&scope(scopes.1)), covers, "{scopes:?}");
        }
    }
}
