//! What a view has under one name: one resource for all, or, of the few names where more of a viewer counts, one for each vantage.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Source;
use crate::model::{Aspect, Vantage, ViewKey};
use crate::resources::{Resource, ResourceType, Version};

/// The content of a name; empty for one that does not exist (yet), whose arrival is waited for.
pub(super) enum Content {
    /// Whoever asks.
    Common(Option<Arc<Resource>>),
    /// By what counts of who asks.
    Apart(Box<Apart>),
}

pub(super) struct Apart {
    aspect: Aspect,
    /// Of the vantages of this view's streams; what does not count of them is left out.
    of: BTreeMap<Vantage, Option<Arc<Resource>>>,
}

impl Default for Content {
    fn default() -> Self {
        Self::Common(None)
    }
}

/// Where a view's content comes from.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) key: &'a ViewKey,
    pub(super) kind: ResourceType,
}

impl Origin<'_> {
    /// The content of a name for whoever stands at these vantages.
    pub(super) fn content<'v>(&self, name: &str, vantages: impl Iterator<Item = &'v Arc<Vantage>>) -> Content {
        let aspect = self.source.aspect(self.key, self.kind, name);
        if aspect == Aspect::NOTHING {
            return Content::Common(self.source.build(self.key, self.kind, name));
        }
        let distinct: BTreeSet<Vantage> = vantages.map(|vantage| vantage.only(aspect)).collect();
        let of = distinct.into_iter();
        let of = of.map(|vantage| (vantage.clone(), self.build_at(vantage, name)));
        Content::Apart(Box::new(Apart {
            aspect,
            of: of.collect(),
        }))
    }

    fn build_at(&self, vantage: Vantage, name: &str) -> Option<Arc<Resource>> {
        let key = ViewKey {
            vantage,
            ..self.key.clone()
        };
        self.source.build(&key, self.kind, name)
    }
}

impl Content {
    /// True where nobody can find anything. What nobody finds who is there now, somebody may who comes later.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Common(resource) => resource.is_none(),
            Self::Apart(_) => false,
        }
    }

    /// True where it differs by vantage.
    pub(super) fn is_apart(&self) -> bool {
        matches!(self, Self::Apart(_))
    }

    /// What is found from a vantage.
    pub(super) fn at(&self, vantage: &Vantage) -> Option<&Arc<Resource>> {
        match self {
            Self::Common(resource) => resource.as_ref(),
            Self::Apart(apart) => apart.of.get(&vantage.only(apart.aspect))?.as_ref(),
        }
    }

    pub(super) fn version_at(&self, vantage: &Vantage) -> Option<Version> {
        self.at(vantage).map(|resource| resource.version)
    }

    /// Takes in a vantage that nobody stood at before.
    pub(super) fn include(&mut self, vantage: &Vantage, name: &str, origin: Origin<'_>) {
        if let Self::Apart(apart) = self {
            let own = vantage.only(apart.aspect);
            let built = apart.of.entry(own);
            if let std::collections::btree_map::Entry::Vacant(vacant) = built {
                let resource = origin.build_at(vacant.key().clone(), name);
                vacant.insert(resource);
            }
        }
    }

    /// True where somebody may find something else than in the other.
    pub(super) fn differs(&self, other: &Self) -> bool {
        let version = |resource: &Option<Arc<Resource>>| resource.as_ref().map(|resource| resource.version);
        match (self, other) {
            (Self::Common(a), Self::Common(b)) => version(a) != version(b),
            (Self::Apart(a), Self::Apart(b)) if a.aspect == b.aspect => {
                let versions = |apart: &Apart| -> Vec<_> {
                    let all = apart.of.iter();
                    all.map(|(vantage, resource)| (vantage.clone(), version(resource)))
                        .collect()
                };
                versions(a) != versions(b)
            }
            _ => true,
        }
    }
}
