//! On which terms endpoints are given: what Services and Namespaces say, what the settings say, and what follows.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::member::Member;
use super::settings::TableSettings;
use crate::model::{Audience, MemberWeight, Preference, Reach, ServiceKey};

/// What a Service says of who is sent to its endpoints, or a Namespace of all Services in it that say nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TermsRecord {
    /// The annotation `networking.istio.io/exportTo`.
    pub export: Option<ExportTo>,
    /// `spec.trafficDistribution`, or the annotation `networking.istio.io/traffic-distribution`.
    pub distribution: Option<Distribution>,
    /// The annotation `parallax.dev/weight`, in percent; of a Service only.
    pub weight: Option<u16>,
}

impl TermsRecord {
    /// The terms as records keep them: nothing where nothing is said.
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// Which namespaces something is exported to: `*` for all, `.` for the own one, or names. None where it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportTo(pub BTreeSet<Arc<str>>);

impl ExportTo {
    /// To all.
    #[must_use]
    pub fn everybody() -> Self {
        Self(BTreeSet::from(["*".into()]))
    }

    /// The namespaces, of something in this one; `None` for all.
    pub(super) fn namespaces(&self, own: &Arc<str>) -> Option<Arc<BTreeSet<Arc<str>>>> {
        if self.0.contains("*") {
            return None;
        }
        let named = self.0.iter().map(|name| if **name == *"." { own } else { name });
        Some(Arc::new(named.cloned().collect()))
    }
}

/// Which endpoints a Service prefers, in the words of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distribution {
    /// None, whatever the mesh prefers.
    Any,
    /// `PreferSameZone`, or its older name `PreferClose`.
    SameZone,
    /// `PreferSameNode`.
    SameNode,
}

/// Services that stay in their members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterLocal {
    /// This one.
    Service(ServiceKey),
    /// All of a namespace.
    Namespace(Arc<str>),
}

impl ClusterLocal {
    fn is(&self, key: &ServiceKey) -> bool {
        match self {
            Self::Service(service) => service == key,
            Self::Namespace(namespace) => *namespace == key.namespace,
        }
    }
}

/// On which terms a member gives its endpoints of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MemberTerms {
    pub(super) audience: Audience,
    pub(super) preference: Preference,
    /// What counts of what the Service says, for people.
    pub(super) distribution: Option<Distribution>,
    pub(super) weight: MemberWeight,
}

impl Member {
    /// The Service's own word counts, then its Namespace's, then the mesh's; nothing where all of that is the usual.
    pub(super) fn terms(&self, key: &ServiceKey, settings: &TableSettings) -> Option<Box<MemberTerms>> {
        let service = self.services.get(key).and_then(|service| service.terms.as_deref());
        let namespace = self.namespace_terms.get(&key.namespace).map(|terms| &**terms);
        let said = || service.into_iter().chain(namespace);
        let export = said()
            .find_map(|terms| terms.export.as_ref())
            .unwrap_or(&settings.export);
        let distribution = said().find_map(|terms| terms.distribution);
        let weight = service.and_then(|terms| terms.weight).and_then(MemberWeight::new);
        let terms = MemberTerms {
            audience: Audience {
                reach: match settings.cluster_local.iter().any(|local| local.is(key)) {
                    true => Reach::Member,
                    false => Reach::Mesh,
                },
                namespaces: export.namespaces(&key.namespace),
            },
            preference: match distribution {
                None => settings.preference.clone(),
                Some(Distribution::Any) => Preference::default(),
                Some(Distribution::SameZone) => Preference::same_zone(),
                Some(Distribution::SameNode) => Preference::same_node(),
            },
            distribution,
            weight: weight.unwrap_or_default(),
        };
        (terms != MemberTerms::default()).then(|| Box::new(terms))
    }
}
