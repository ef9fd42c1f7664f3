//! What each member has of a service, for people who ask why it is served as it is.

use std::sync::Arc;

use super::{EndpointTable, ServiceRecord};
use crate::model::{ClusterId, ObjectName, ServiceKey};

/// One member's part of a service, before it is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePart {
    /// The member.
    pub member: ClusterId,
    /// Its Service object, where it has one.
    pub service: Option<Arc<ServiceRecord>>,
    /// The names of its slices' ports, sorted.
    pub slice_ports: Vec<Arc<str>>,
    /// Its `ServiceEntry` objects that name the host, sorted.
    pub entries: Vec<ObjectName>,
}

impl EndpointTable {
    /// All services that any member has a word on, those that are not served for want of a Service too; sorted.
    #[must_use]
    pub fn known_services(&self) -> Vec<ServiceKey> {
        let mut keys: Vec<_> = self.services.iter().map(|slot| slot.key().clone()).collect();
        keys.sort_unstable();
        keys
    }

    /// The parts of a service, by member.
    #[must_use]
    pub fn parts(&self, key: &ServiceKey) -> Vec<ServicePart> {
        let Some(slot) = self.services.get(key) else {
            return Vec::new();
        };
        let parts = slot.shards.iter().map(|(member, shard)| ServicePart {
            member: member.clone(),
            service: shard.service.clone(),
            slice_ports: shard.slice_ports(),
            entries: shard.hosts.iter().map(|part| part.entry.name.clone()).collect(),
        });
        parts.collect()
    }
}
