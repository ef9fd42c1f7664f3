//! The objects of the optional kinds of one member, of which there are few.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::entry::{PeerAuthenticationRecord, ServiceEntryRecord, WorkloadEntryRecord};
use crate::model::{ObjectName, ServiceKey};

/// What a member says beside Services and pods.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// The domain in host names of Services.
    pub(super) domain: Arc<str>,
    pub(super) services: BTreeMap<ObjectName, Arc<ServiceEntryRecord>>,
    pub(super) workloads: BTreeMap<ObjectName, Arc<WorkloadEntryRecord>>,
    pub(super) policies: BTreeMap<ObjectName, Arc<PeerAuthenticationRecord>>,
    /// The `ServiceEntry` objects that name each host.
    pub(super) by_host: BTreeMap<ServiceKey, BTreeSet<ObjectName>>,
    /// Those that select workloads and pods.
    pub(super) selecting: BTreeSet<ObjectName>,
}
