//! One service of the mesh, merged over all members, as readers see it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Aspect, Audience, ClusterId, Counts, Endpoint, GroupStanding, Groups, Health, HostEntry, Locality, MemberWeight,
    Mtls, NetworkId, Preference, Reach, Resolution, ServiceKey, ZoneWeight,
};

/// One port of a Service. Only TCP ports are kept: xDS clusters carry nothing else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

/// What the endpoints of each locality count together, sorted by locality: their number, where none has a weight.
pub type Sums = Box<[(Locality, u32)]>;

/// The endpoints of one port on one network in one member, with the sums that other networks need: a view of another
/// network costs the number of groups and not the number of endpoints, and so does merging a service anew.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NetworkGroup {
    endpoints: Box<[Endpoint]>,
    /// Whether any of them is ready.
    any_ready: bool,
    /// Those that are ready and reachable by mutual TLS.
    ready: Sums,
    /// Those that are draining and reachable by mutual TLS.
    draining: Sums,
}

impl NetworkGroup {
    /// Sorts the endpoints and takes the sums.
    #[must_use]
    pub fn new(mut endpoints: Vec<Endpoint>) -> Self {
        endpoints.sort();
        let sums = |health| {
            let mut sums: BTreeMap<&Locality, u32> = BTreeMap::new();
            for endpoint in &endpoints {
                if endpoint.health == health && endpoint.mtls == Mtls::Yes {
                    let sum = sums.entry(&endpoint.locality).or_default();
                    *sum = sum.saturating_add(endpoint.weight.into());
                }
            }
            sums.into_iter()
                .map(|(locality, count)| (locality.clone(), count))
                .collect()
        };
        Self {
            any_ready: endpoints.iter().any(|endpoint| endpoint.health == Health::Ready),
            ready: sums(Health::Ready),
            draining: sums(Health::Draining),
            endpoints: endpoints.into(),
        }
    }

    /// Whether any of them is ready.
    #[must_use]
    pub fn any_ready(&self) -> bool {
        self.any_ready
    }

    /// Those of both.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        Self::new(self.endpoints.iter().chain(&other.endpoints).cloned().collect())
    }

    /// All endpoints, in order, those that take no traffic too (a person may ask why).
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

/// What endpoints of one port count, where it is otherwise than usual.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standings {
    /// By group.
    pub groups: BTreeMap<GroupKey, GroupStanding>,
    /// By where they run.
    pub zones: BTreeMap<Locality, ZoneWeight>,
}

/// One port of a service with all its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortEndpoints {
    /// The merged port.
    pub port: ServicePort,
    draining_serves: bool,
    groups: Groups,
    /// Of those that count otherwise than most.
    standings: Standings,
    terms: Option<Arc<ServiceTerms>>,
}

impl PortEndpoints {
    /// Puts groups together; none is copied.
    #[must_use]
    pub fn new(port: ServicePort, groups: impl Into<Groups>) -> Self {
        Self::with_terms(port, groups, Standings::default(), None)
    }

    /// The same, where some endpoints don't stand as most do (those that do are left out), on these terms.
    #[must_use]
    pub fn with_terms(
        port: ServicePort,
        groups: impl Into<Groups>,
        standings: Standings,
        terms: Option<Arc<ServiceTerms>>,
    ) -> Self {
        let groups = groups.into();
        let mut port = Self {
            port,
            draining_serves: false,
            groups,
            standings,
            terms,
        };
        port.draining_serves = !port.groups.iter().any(|(key, group)| port.has_ready(key, group));
        port
    }

    /// Whether a group has an endpoint that is ready and is sent to.
    fn has_ready(&self, key: &GroupKey, group: &NetworkGroup) -> bool {
        let mut ready = group.endpoints.iter().filter(|each| each.health == Health::Ready);
        group.any_ready
            && self.standing(key).serves()
            && (self.zones_are_even() || ready.any(|each| self.standing_in(key, &each.locality).serves()))
    }

    /// What a group's endpoints count, wherever they run.
    #[must_use]
    pub fn standing(&self, group: &GroupKey) -> GroupStanding {
        self.standings.groups.get(group).copied().unwrap_or_default()
    }

    /// What those of a group's endpoints count that run here.
    #[must_use]
    pub fn standing_in(&self, group: &GroupKey, place: &Locality) -> GroupStanding {
        GroupStanding {
            zone: self.zone(place).map_or(MemberWeight::FULL, |said| said.weight),
            ..self.standing(group)
        }
    }

    /// What is said of where an endpoint runs, if anything.
    #[must_use]
    pub fn zone(&self, place: &Locality) -> Option<&ZoneWeight> {
        // Mostly there is nothing to look up, for each of very many endpoints.
        match self.zones_are_even() {
            true => None,
            false => self.standings.zones.get(place),
        }
    }

    /// True where all endpoints of a group count alike.
    #[must_use]
    pub fn zones_are_even(&self) -> bool {
        self.standings.zones.is_empty()
    }

    /// True where all endpoints count alike.
    #[must_use]
    pub fn is_even(&self) -> bool {
        self.standings.groups.is_empty() && self.zones_are_even()
    }

    /// The terms of its service, where it has any.
    #[must_use]
    pub fn terms(&self) -> Option<&ServiceTerms> {
        self.terms.as_deref()
    }

    /// Whether gateways can tell what is meant for its service.
    #[must_use]
    pub fn naming(&self) -> Naming {
        self.terms().map(|terms| terms.naming).unwrap_or_default()
    }

    /// Sorts endpoints of any members into groups.
    #[must_use]
    pub fn from_endpoints(port: ServicePort, endpoints: impl IntoIterator<Item = (ClusterId, Endpoint)>) -> Self {
        let mut groups: BTreeMap<GroupKey, Vec<Endpoint>> = BTreeMap::new();
        for (member, endpoint) in endpoints {
            let network = endpoint.network.clone();
            groups.entry(GroupKey { network, member }).or_default().push(endpoint);
        }
        let groups = groups.into_iter();
        Self::new(
            port,
            groups
                .map(|(key, endpoints)| (key, Arc::new(NetworkGroup::new(endpoints))))
                .collect::<BTreeMap<_, _>>(),
        )
    }

    /// The endpoints by network and member.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// True where nothing is ready in the whole mesh, so that what is draining but still serving takes the traffic.
    #[must_use]
    pub fn draining_serves(&self) -> bool {
        self.draining_serves
    }

    /// True when the endpoint takes traffic here, by its own state: it is ready, or draining while nothing in the mesh is ready.
    #[must_use]
    pub fn serves(&self, endpoint: &Endpoint) -> bool {
        match endpoint.health {
            Health::Ready => true,
            Health::Draining => self.draining_serves,
            Health::NotReady => false,
        }
    }

    /// What the endpoints of a group count that a gateway may stand for, by where they run: they take traffic and are reachable
    /// by mutual TLS.
    pub fn behind_gateway<'a>(&'a self, group: &'a NetworkGroup) -> impl Iterator<Item = (&'a Locality, u32)> {
        let sums = if self.draining_serves {
            &group.draining
        } else {
            &group.ready
        };
        let drained = |place: &Locality| {
            self.zone(place)
                .is_some_and(|said| said.weight == MemberWeight::DRAINED)
        };
        sums.iter()
            .filter(move |(place, _)| !drained(place))
            .map(|(place, count)| (place, *count))
    }
}

/// Whether a service can be told from others where only a name says what is meant, as at a gateway.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Naming {
    /// By its own name.
    #[default]
    Own,
    /// Nothing is called so: its host begins with a star.
    Star,
}

/// On which terms a service's endpoints are given. Most services have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceTerms {
    /// Whether gateways can lead to them.
    pub naming: Naming,
    /// Which of them come first.
    pub preference: Preference,
    /// Who may see them, by the member that they are in; everybody where nothing is said.
    pub audiences: BTreeMap<ClusterId, Audience>,
}

impl ServiceTerms {
    /// Who may see a member's endpoints; `None` where everybody may.
    #[must_use]
    pub fn audience(&self, member: &ClusterId) -> Option<&Audience> {
        self.audiences.get(member)
    }

    /// What of a vantage counts for who sees it.
    #[must_use]
    pub fn audience_aspect(&self) -> Aspect {
        let any = |counts: fn(&Audience) -> bool| match self.audiences.values().any(counts) {
            true => Counts::Yes,
            false => Counts::No,
        };
        Aspect {
            member: any(|audience| audience.reach == Reach::Member),
            namespace: any(|audience| {
                audience
                    .namespaces
                    .as_ref()
                    .is_some_and(|namespaces| !namespaces.is_empty())
            }),
            locality: Counts::No,
        }
    }

    /// What of a vantage counts for its endpoints.
    #[must_use]
    pub fn aspect(&self) -> Aspect {
        Aspect {
            locality: match self.preference.is_none() {
                true => Counts::No,
                false => Counts::Yes,
            },
            ..self.audience_aspect()
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
    /// Its `ClusterIP`s in each member that gives it any; the same address may be another service's elsewhere.
    pub cluster_ips: BTreeMap<ClusterId, Vec<IpAddr>>,
    /// Its address for whoever is in no member that gives it one: the same for all, in 240.0.0.0/4. None while it has no
    /// endpoint in the whole mesh.
    pub virtual_ip: Option<Ipv4Addr>,
    /// The merged ports, by number.
    pub ports: Vec<PortEndpoints>,
    /// Where members disagree.
    pub conflicts: Vec<Conflict>,
    /// On which terms its endpoints are given, where anybody sets any.
    pub terms: Option<Arc<ServiceTerms>>,
    /// Set where no Service of Kubernetes says what it is, but objects `ServiceEntry`.
    pub entry: Option<Arc<HostEntry>>,
}

impl ServiceEndpoints {
    /// Whether connections go to where they were going.
    #[must_use]
    pub fn is_pass_through(&self) -> bool {
        let entry = self.entry.as_ref();
        entry.is_some_and(|entry| entry.resolution == Resolution::None)
    }

    /// Whether proxies look up what is behind it.
    #[must_use]
    pub fn is_looked_up(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.resolution.is_dns())
    }

    /// The port of this number.
    #[must_use]
    pub fn port(&self, number: u16) -> Option<&PortEndpoints> {
        self.ports.iter().find(|port| port.port.number == number)
    }

    /// Whether it has any endpoint, ready or not.
    #[must_use]
    pub fn has_endpoints(&self) -> bool {
        self.groups().any(|(_, group)| !group.endpoints().is_empty())
    }

    /// The same for whoever has IPv6 only: in 2001:2::/48, which is for tests of devices and routed nowhere, as in Istio. It is the
    /// one of IPv4 with that before it, so nothing else needs to be dealt or kept.
    #[must_use]
    pub fn virtual_ip_v6(&self) -> Option<Ipv6Addr> {
        self.virtual_ip
            .map(|ip| Ipv6Addr::from_bits(0x2001_0002 << 96 | u128::from(ip.to_bits())))
    }

    /// Whether it has use for an address of the whole mesh: something answers for it, and no address is given to it everywhere, or
    /// none of a family.
    #[must_use]
    pub fn needs_virtual_ip(&self) -> bool {
        match &self.entry {
            None => self.has_endpoints(),
            Some(entry) => {
                let answers = entry.resolution.is_dns() || self.has_endpoints();
                let lacks = |is: fn(&IpAddr) -> bool| !entry.addresses.iter().any(is);
                let is_lacking = lacks(IpAddr::is_ipv4) || lacks(IpAddr::is_ipv6);
                answers && is_lacking && !self.is_pass_through() && !self.key.name.starts_with('*')
            }
        }
    }

    /// The groups of all its ports.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupKey, &NetworkGroup)> {
        let ports = self.ports.iter().flat_map(|port| &port.groups);
        ports.map(|(key, group)| (key, &**group))
    }

    /// Every address by which somebody may mean it: those that members give it, its virtual one, and where it is headless
    /// those of its pods.
    #[must_use]
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        let mut addresses: BTreeSet<_> = self.cluster_ips.values().flatten().copied().collect();
        addresses.extend(self.virtual_ip.map(IpAddr::from));
        addresses.extend(self.virtual_ip_v6().map(IpAddr::from));
        addresses.extend(self.entry.iter().flat_map(|entry| &entry.addresses));
        if self.headless {
            let endpoints = self.groups().flat_map(|(_, group)| group.endpoints());
            addresses.extend(endpoints.flat_map(|endpoint| endpoint.addresses.iter()));
        }
        addresses
    }

    /// How many steps there are from its nearest endpoints to any others, where somebody prefers what is near.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.terms.as_ref().map_or(0, |terms| terms.preference.steps())
    }

    /// True where somebody in this member and namespace may know of it: some member that has the Service shows it. The one place
    /// that decides whether there are names, routes and clusters for it.
    #[must_use]
    pub fn is_visible_to(&self, member: Option<&ClusterId>, namespace: &str) -> bool {
        let Some(terms) = &self.terms else {
            return true;
        };
        let shows = |own: &ClusterId| {
            terms
                .audience(own)
                .is_none_or(|audience| audience.has(own, member, namespace))
        };
        self.defined_in.iter().any(shows)
    }

    /// What of a vantage counts for its clusters and names.
    #[must_use]
    pub fn audience_aspect(&self) -> Aspect {
        self.terms
            .as_ref()
            .map_or(Aspect::NOTHING, |terms| terms.audience_aspect())
    }
}
