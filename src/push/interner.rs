//! Equal resources are encoded once and kept once, whichever views they are in.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use dashmap::DashMap;

use crate::resources::{Resource, ResourceType, Version};

/// Below this many entries it is not worth looking for dead ones.
const SMALL: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Interner {
    /// By type, name and version. Weak, so that a content that no view holds any more is freed.
    known: DashMap<(ResourceType, Arc<str>, Version), Weak<Resource>>,
    /// The size at which dead entries are swept out next.
    sweep_at: AtomicUsize,
}

impl Interner {
    /// The resource of this content; encoded only where nobody holds it yet.
    pub(super) fn get_or_encode(
        &self,
        kind: ResourceType,
        name: &Arc<str>,
        version: Version,
        encode: impl FnOnce() -> Resource,
    ) -> Arc<Resource> {
        self.sweep();
        let mut entry = self.known.entry((kind, Arc::clone(name), version)).or_default();
        if let Some(resource) = entry.upgrade() {
            return resource;
        }
        let resource = Arc::new(encode());
        *entry = Arc::downgrade(&resource);
        resource
    }

    /// Costs a walk over the map each time it has doubled, so that dead entries never outnumber live ones for long.
    fn sweep(&self) {
        if self.known.len() > self.sweep_at.load(Ordering::Relaxed).max(SMALL) {
            self.known.retain(|_, resource| resource.strong_count() > 0);
            self.sweep_at.store(self.known.len() * 2, Ordering::Relaxed);
        }
    }
}
