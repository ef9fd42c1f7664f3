//! The objects of the optional kinds of one member, of which there are few.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::entry::{PeerAuthenticationRecord, ServiceEntryRecord, WorkloadEntryRecord};
use crate::model::ObjectName;

/// What a member says beside Services and pods.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) services: BTreeMap<ObjectName, Arc<ServiceEntryRecord>>,
    pub(super) workloads: BTreeMap<ObjectName, Arc<WorkloadEntryRecord>>,
    pub(super) policies: BTreeMap<ObjectName, Arc<PeerAuthenticationRecord>>,
}
