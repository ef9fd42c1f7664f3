//! One service of the mesh, merged over all members, as readers see it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{ClusterId, Endpoint, Health, Locality, Mtls, NetworkId, ServiceKey};

/// One port of a Service. Only TCP ports are kept: xDS clusters carry nothing else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePort {
    /// The Service's port number; what clients dial.
    pub number: u16,
    /// The port's name, by which its slices are found; empty where a Service has a single, unnamed port.
    pub name: Arc<str>,
    /// `appProtocol`, empty where not said.
    pub app_protocol: Arc<str>,
}

/// Which endpoints of a port share one way in: those of one network in one member.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// The network the endpoints are on.
    pub network: NetworkId,
    /// The member they are in; a gateway of the same member is preferred.
    pub member: ClusterId,
}

/// The endpoints of one port on one network in one member, with the sums that other networks need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkGroup {
    /// All endpoints, in order, those that take no traffic too (a person may ask why).
    pub endpoints: Vec<Endpoint>,
    /// How many of them a gateway may stand for, by locality: taking traffic and reachable by mutual TLS. Kept here so that a
    /// view of another network costs the number of groups and not the number of endpoints.
    pub behind_gateway: BTreeMap<Locality, u32>,
}

/// One port of a service with all its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortEndpoints {
    /// The merged port.
    pub port: ServicePort,
    /// True where nothing is ready in the whole mesh, so that what is draining but still serving takes the traffic.
    pub draining_serves: bool,
    /// The endpoints by network and member.
    pub groups: BTreeMap<GroupKey, NetworkGroup>,
}

impl PortEndpoints {
    /// Sorts endpoints into groups and takes the sums.
    #[must_use]
    pub fn new(port: ServicePort, endpoints: impl IntoIterator<Item = (ClusterId, Endpoint)>) -> Self {
        let mut groups: BTreeMap<GroupKey, NetworkGroup> = BTreeMap::new();
        let mut any_ready = false;
        for (member, endpoint) in endpoints {
            any_ready |= endpoint.health == Health::Ready;
            let key = GroupKey {
                network: endpoint.network.clone(),
                member,
            };
            groups.entry(key).or_default().endpoints.push(endpoint);
        }
        let mut port = Self {
            port,
            draining_serves: !any_ready,
            groups: BTreeMap::new(),
        };
        for group in groups.values_mut() {
            group.endpoints.sort();
            for endpoint in &group.endpoints {
                if port.serves(endpoint) && endpoint.mtls == Mtls::Yes {
                    *group.behind_gateway.entry(endpoint.locality.clone()).or_default() += 1;
                }
            }
        }
        port.groups = groups;
        port
    }

    /// True when the endpoint takes traffic here: it is ready, or draining while nothing in the mesh is ready.
    #[must_use]
    pub fn serves(&self, endpoint: &Endpoint) -> bool {
        match endpoint.health {
            Health::Ready => true,
            Health::Draining => self.draining_serves,
            Health::NotReady => false,
        }
    }
}

/// Something that members say differently about one service, and who won.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// What they disagree on, for instance `headless`.
    pub attribute: &'static str,
    /// The member whose word counts: its Service is the oldest.
    pub winner: ClusterId,
    /// A member that says otherwise.
    pub loser: ClusterId,
    /// Both values, for people.
    pub detail: String,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} ({} wins over {})",
            self.attribute, self.detail, self.winner, self.loser
        )
    }
}

/// One service, merged over all members: what the table swaps whole, so that no reader ever sees half a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEndpoints {
    /// Which service.
    pub key: ServiceKey,
    /// The members that have a Service object of it, the winner of conflicts first.
    pub defined_in: Vec<ClusterId>,
    /// True for `clusterIP: None`.
    pub headless: bool,
    /// The merged ports, by number.
    pub ports: Vec<PortEndpoints>,
    /// Where members disagree.
    pub conflicts: Vec<Conflict>,
}

impl ServiceEndpoints {
    /// The port of this number.
    #[must_use]
    pub fn port(&self, number: u16) -> Option<&PortEndpoints> {
        self.ports.iter().find(|port| port.port.number == number)
    }
}
