//! The views that one stream reads. A sidecar reads three: what many share is large and changes often, what is its own is small.

use std::sync::Arc;

use super::mailbox::Mailbox;
use super::{Cache, LiveView, StreamId};
use crate::model::{Standpoint, Vantage, Viewer};
use crate::resources::{INBOUND_LISTENER, ResourceType};

/// Which of its views a stream finds a resource in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Clusters and endpoints.
    Shared,
    /// Listeners and routes.
    Site,
    /// The way in.
    Inbound,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Shared, Self::Site, Self::Inbound];

    /// Where resources of a type may be.
    pub(super) fn of_kind(kind: ResourceType) -> &'static [Self] {
        match kind {
            ResourceType::Cluster | ResourceType::ClusterLoadAssignment | ResourceType::Secret => &[Self::Shared],
            ResourceType::RouteConfiguration => &[Self::Site],
            ResourceType::Listener => &[Self::Site, Self::Inbound],
        }
    }

    /// Where a resource is.
    pub(super) fn of(kind: ResourceType, name: &str) -> Self {
        match Self::of_kind(kind) {
            [one] => *one,
            _ if name == INBOUND_LISTENER => Self::Inbound,
            _ => Self::Site,
        }
    }
}

/// A view for each part; of all but sidecars the same one.
#[derive(Debug)]
pub(super) struct Views([Arc<LiveView>; 3]);

impl Views {
    /// The views of a viewer that stands here.
    pub(super) fn at(cache: &Cache, viewer: &Viewer, standpoint: &Standpoint) -> Self {
        Self([
            cache.view(&standpoint.key),
            cache.view(&viewer.site_key(&standpoint.key)),
            cache.view(&standpoint.inbound_key()),
        ])
    }

    pub(super) fn part(&self, part: Part) -> &Arc<LiveView> {
        &self.0[part as usize]
    }

    pub(super) fn of(&self, kind: ResourceType, name: &str) -> &LiveView {
        self.part(Part::of(kind, name))
    }

    /// Each of those that have a type, once.
    pub(super) fn of_kind(&self, kind: ResourceType) -> impl Iterator<Item = &Arc<LiveView>> {
        self.distinct(Part::of_kind(kind))
    }

    /// Each once.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<LiveView>> {
        self.distinct(&Part::ALL)
    }

    fn distinct(&self, parts: &'static [Part]) -> impl Iterator<Item = &Arc<LiveView>> {
        let views = parts.iter().map(|part| self.part(*part));
        let repeated = |at: usize, view: &Arc<LiveView>| {
            let mut before = parts[..at].iter();
            before.any(|part| Arc::ptr_eq(self.part(*part), view))
        };
        let numbered = views.enumerate();
        numbered.filter_map(move |(at, view)| (!repeated(at, view)).then_some(view))
    }

    pub(super) fn join(&self, stream: StreamId, mailbox: &Arc<Mailbox>, vantage: &Arc<Vantage>) {
        for view in self.all() {
            view.join(stream, Arc::clone(mailbox), Arc::clone(vantage));
        }
    }

    pub(super) fn has(&self, view: &Arc<LiveView>) -> bool {
        self.0.iter().any(|own| Arc::ptr_eq(own, view))
    }
}
