//! Who asks, before it is known what decides the answer.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::{
    Balancing, ClusterId, InboundPolicy, Locality, NetworkId, ObjectName, Role, Schema, Site, Vantage, ViewKey,
};

/// What a proxy says about itself, as far as it matters for where it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Viewer {
    /// The member it says it is in (`CLUSTER_ID`).
    pub member: Option<ClusterId>,
    /// The network it says it is on (`NETWORK`).
    pub network: Option<NetworkId>,
    /// Its own addresses, the main one first.
    pub addresses: Vec<IpAddr>,
    /// Which weights it honours.
    pub balancing: Balancing,
    /// Which of two ways to say something it is told.
    pub schema: Schema,
    /// What it is by its own word; it counts where the settings have us serve listeners.
    pub role: Role,
    /// The namespace it says it is in; may be empty.
    pub namespace: Arc<str>,
    /// Where it says it runs.
    pub locality: Locality,
    /// The pod it says it is beside; may be empty.
    pub pod: Arc<str>,
}

/// A pod of a member.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodRef {
    /// The member.
    pub member: ClusterId,
    /// The pod's namespace and name.
    pub pod: ObjectName,
}

impl Viewer {
    /// The key of the view that has its listeners and routes, where it stands at `key`.
    #[must_use]
    pub fn site_key(&self, key: &ViewKey) -> ViewKey {
        let site = (key.role == Role::Sidecar).then(|| Site {
            member: self.member.clone(),
            namespace: Arc::clone(&self.namespace),
        });
        ViewKey { site, ..key.clone() }
    }

    /// The pod it stands beside, where it is a sidecar that says so.
    #[must_use]
    pub fn workload(&self) -> Option<PodRef> {
        let member = self.member.as_ref().filter(|_| self.role == Role::Sidecar)?;
        (!self.pod.is_empty()).then(|| PodRef {
            member: member.clone(),
            pod: ObjectName {
                namespace: Arc::clone(&self.namespace),
                name: Arc::clone(&self.pod),
            },
        })
    }
}

/// How a viewer's network was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkOrigin {
    /// The proxy said so (`NETWORK` in its metadata).
    Metadata,
    /// The table knows a pod of its address in its member, and that pod's network.
    Pod,
    /// The settings have a range of addresses that one of its own is in.
    Cidr,
    /// Its member's network.
    Member,
    /// The mesh's default network: nothing else was known.
    Default,
}

impl fmt::Display for NetworkOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Metadata => "metadata",
            Self::Pod => "pod",
            Self::Cidr => "cidr",
            Self::Member => "member",
            Self::Default => "default",
        })
    }
}

/// Where a viewer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standpoint {
    /// What decides its answers, but for those services that ask for more.
    pub key: ViewKey,
    /// What counts for those.
    pub vantage: Vantage,
    /// What its workload asks of who connects to it; of sidecars only, and nothing where their member is not known yet.
    pub inbound: Option<Arc<InboundPolicy>>,
    /// How its network was found.
    pub origin: NetworkOrigin,
    /// What it says that the table contradicts, for people; it is served by its own word.
    pub contradiction: Option<String>,
}

impl Standpoint {
    /// All that decides its answers.
    #[must_use]
    pub fn whole_key(&self) -> ViewKey {
        ViewKey {
            vantage: self.vantage.clone(),
            ..self.key.clone()
        }
    }

    /// The key of the view that has the way in to its workload.
    #[must_use]
    pub fn inbound_key(&self) -> ViewKey {
        ViewKey {
            inbound: self.inbound.clone(),
            ..self.key.clone()
        }
    }
}
