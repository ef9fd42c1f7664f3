//! The endpoint table: what all members say, merged per service and keyed by network.
//!
//! One writer at a time per member, any number of readers, who get whole services as shared snapshots and never wait for a
//! writer's work. A service is the unit of atomicity: it is derived, merged, and then swapped in one step.

mod candidates;
mod change;
mod derive;
mod entries;
mod entry;
mod gateways;
mod host_merge;
mod hosts;
mod inbound;
mod index;
mod member;
mod merge;
mod packed;
mod parts;
mod pods;
mod record;
mod settings;
mod slices;
mod slot;
mod strings;
mod terms;
mod virtual_ips;
mod workloads;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use dashmap::DashMap;

use crate::model::{
    AddressFamilies, ClusterId, GatewaySet, HostName, NetworkId, NetworkOrigin, ObjectName, PodRef, Role,
    ServiceEndpoints, ServiceKey, Standpoint, Vantage, ViewKey, Viewer,
};
use derive::{MemberService, Places};
use gateways::{Claims, GatewayCandidate};
use index::Index;
use member::{Member, Touched};
use slot::{Differing, Slot};
use virtual_ips::VirtualIps;

pub use change::{ChangeSet, Face, Locations, Scope, ServiceChange};
pub use entry::{
    EntryHost, EntryPort, Location, PeerAuthenticationRecord, PeerMode, ServiceEntryRecord, Workload, WorkloadAddress,
    WorkloadEntryRecord, selects,
};
pub use parts::ServicePart;
pub use record::{
    Exposure, GatewayClaim, Kept, Kind, Labels, NamespaceRecord, NodeExposure, NodeRecord, PodRecord, PodTraits,
    Policies, Record, RegistryChange, RegistryEvent, ServiceRecord, SliceEndpoint, SliceRecord, TargetPort,
};
pub use settings::{CidrRule, CidrRules, Resolved, SettingsGateway, SettingsPlace, TableSettings};
pub use strings::{Shared, Strings};
pub use terms::{ClusterLocal, Distribution, ExportTo, TermsRecord};

/// Takes what members say. A plain call without a queue: whoever reads a member's API server applies its words itself, so
/// that a slow member delays nobody else.
pub trait EventSink: Send + Sync {
    /// Takes one word in.
    fn apply(&self, event: RegistryEvent);
}

/// Takes what host names lead to.
pub trait HostSink: Send + Sync {
    /// Takes in what looking these names up led to; of names that are not among them the last word stays.
    fn resolved(&self, hosts: BTreeMap<HostName, Resolved>);
}

/// One member, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSummary {
    /// Its name.
    pub name: ClusterId,
    /// The network of what nothing else places.
    pub network: NetworkId,
    /// What says so.
    pub origin: &'static str,
    /// True once every kind was listed; nothing of it is served before.
    pub complete: bool,
    /// Objects held, by kind.
    pub counts: BTreeMap<Kind, usize>,
}

/// The table.
#[derive(Debug)]
pub struct EndpointTable {
    settings: ArcSwap<TableSettings>,
    /// What each member says. Locked by its writer for the length of one event.
    members: DashMap<ClusterId, Arc<Mutex<Member>>>,
    /// By service: what each member derives, and the merged result that readers get.
    services: DashMap<ServiceKey, Slot>,
    /// What gateways come from. Its own lock, so that no writer ever needs two members.
    claims: Mutex<Claims>,
    /// Resolved from the claims; written under their lock.
    gateways: ArcSwap<GatewaySet>,
    /// Which services have each port and address; for listeners, which services share.
    index: Mutex<Index>,
    virtual_ips: Mutex<VirtualIps>,
    /// How often a name came, went or led elsewhere.
    naming: AtomicU64,
    /// The host names in the claims; written under their lock, and only when they differ.
    hosts: ArcSwap<BTreeSet<HostName>>,
}

impl EndpointTable {
    /// An empty table.
    #[must_use]
    pub fn new(settings: TableSettings) -> Self {
        Self {
            hosts: ArcSwap::from_pointee(Claims::default().wanted_hosts(&settings.gateways)),
            settings: ArcSwap::from_pointee(settings),
            members: DashMap::new(),
            services: DashMap::new(),
            claims: Mutex::default(),
            gateways: ArcSwap::default(),
            index: Mutex::default(),
            virtual_ips: Mutex::default(),
            naming: AtomicU64::new(0),
        }
    }

    /// Takes in what a member says, and tells what is different now. When it returns, readers see all of it.
    pub fn apply(&self, event: RegistryEvent) -> ChangeSet {
        match event.change {
            RegistryChange::Left => self.leave(&event.member),
            change => self.update(&event.member, change),
        }
    }

    fn update(&self, name: &ClusterId, change: RegistryChange) -> ChangeSet {
        let new = || Arc::new(Mutex::new(Member::new(&self.settings.load().domain)));
        let member = Arc::clone(&self.members.entry(name.clone()).or_insert_with(new));
        let mut member = lock(&member);
        let touched = member.apply(change);
        self.take_over(name, &member, &touched)
    }

    /// Brings what readers see up to what a member says now. Called under the member's lock.
    fn take_over(&self, name: &ClusterId, member: &Member, touched: &Touched) -> ChangeSet {
        let mut changes = ChangeSet::default();
        if !member.is_complete() {
            return changes;
        }
        // Loaded under the member's lock: who changes the settings goes through all members afterwards.
        let settings = self.settings.load();
        let (home, _) = member.network(name, &settings);
        let places = Places {
            member: name,
            settings: &settings,
            home,
        };
        let under = |namespace| member.services_under(namespace, &settings);
        let mut services: BTreeSet<_> = touched.policies.iter().flat_map(|each| under(each)).collect();
        services.extend(touched.services.iter().cloned());
        for key in &services {
            let shard = member.derive(key, &places).map(Arc::new);
            self.put_shard(key, name, shard, &mut changes);
        }
        let named = |key: &ServiceKey| settings.gateways.iter().any(|gateway| gateway.is_at(key));
        let gateway = |key: &ServiceKey| member.gateway_services.contains(key) || named(key);
        if touched.gateways || services.iter().any(gateway) {
            changes.networks = self.put_claims(name, member.gateway_candidates(name, &places.home, &settings));
        }
        if touched.locations || !touched.policies.is_empty() {
            changes.locations = Locations::Changed;
        } else {
            let of = |pod: &ObjectName| PodRef {
                member: name.clone(),
                pod: pod.clone(),
            };
            changes.workloads = touched.workloads.iter().map(of).collect();
        }
        changes
    }

    /// Goes by other settings from now on, and tells what is different.
    pub fn set_settings(&self, settings: TableSettings) -> ChangeSet {
        let mut changes = ChangeSet::default();
        if **self.settings.load() == settings {
            return changes;
        }
        self.settings.store(Arc::new(settings));
        for (name, member) in self.all_members() {
            let held = lock(&member);
            // One that left meanwhile must not come back.
            let is_there = self
                .members
                .get(&name)
                .is_some_and(|entry| Arc::ptr_eq(entry.value(), &member));
            if is_there {
                changes.absorb(self.take_over(&name, &held, &held.touch_all()));
            }
        }
        // Gateways that belong to no member.
        changes.networks.extend(self.resolve_gateways(&lock(&self.claims)));
        changes.locations = Locations::Changed;
        changes
    }

    /// Takes in what host names lead to, and tells what is different now.
    pub fn set_hosts(&self, hosts: BTreeMap<HostName, Resolved>) -> ChangeSet {
        let mut claims = lock(&self.claims);
        claims.hosts.extend(hosts);
        claims.hosts.retain(|host, _| self.hosts.load().contains(host));
        ChangeSet {
            networks: self.resolve_gateways(&claims),
            ..ChangeSet::default()
        }
    }

    /// The host names of gateways that are to be looked up; the same pointer while nothing changes.
    #[must_use]
    pub fn hosts(&self) -> Arc<BTreeSet<HostName>> {
        self.hosts.load_full()
    }

    fn leave(&self, name: &ClusterId) -> ChangeSet {
        let mut changes = ChangeSet::default();
        let Some((_, member)) = self.members.remove(name) else {
            return changes;
        };
        for key in lock(&member).all_services() {
            self.put_shard(&key, name, None, &mut changes);
        }
        // What a large member left room for is given back.
        self.services.shrink_to_fit();
        changes.networks = self.put_claims(name, Vec::new());
        changes.locations = Locations::Changed;
        changes
    }

    /// Swaps one member's part of a service and merges again, and notes what readers see differently.
    fn put_shard(
        &self,
        key: &ServiceKey,
        member: &ClusterId,
        shard: Option<Arc<MemberService>>,
        changes: &mut ChangeSet,
    ) {
        let mut slot = self.services.entry(key.clone()).or_default();
        slot.put(member, shard);
        let moved = self.renew(key, &mut slot, changes);
        drop(slot);
        self.services.remove_if(key, |_, slot| slot.shards.is_empty());
        // Each under its own lock. None of these moves another: the addresses are dealt already.
        for key in moved {
            let key = key.pod().map_or(key.clone(), |(_, service)| service);
            if let Some(mut slot) = self.services.get_mut(&key) {
                self.renew(&key, &mut slot, changes);
            }
        }
    }

    fn renew(&self, key: &ServiceKey, slot: &mut Slot, changes: &mut ChangeSet) -> Vec<ServiceKey> {
        let (differing, moved) = slot.renew(key, &self.settings.load(), &mut lock(&self.virtual_ips));
        for Differing { key, old, new, change } in differing {
            if change.face == Face::Changed || !change.addresses.is_empty() {
                // Under the lock of the service's slot, so that the index follows each service in order.
                lock(&self.index).put(&key, old.as_deref(), new.as_deref());
            }
            if change.renamed {
                // After readers see it, so that whoever saw less has seen an older number.
                self.naming.fetch_add(1, Ordering::Release);
            }
            changes.touch(key, change);
        }
        moved
    }

    /// The services that have a port of this number, by name; hosts outside come last.
    #[must_use]
    pub fn services_on(&self, port: u16) -> Vec<Arc<ServiceEndpoints>> {
        let keys = lock(&self.index).on_port(port);
        self.ours_first(keys.iter())
    }

    /// The services that have this address, in some member or for all that have none of theirs, by name; hosts outside come last.
    #[must_use]
    pub fn services_at(&self, address: IpAddr) -> Vec<Arc<ServiceEndpoints>> {
        let keys = lock(&self.index).at(address);
        self.ours_first(keys.iter())
    }

    /// The first of several that claim one name or address has it, and a `ServiceEntry` must not take a Service's.
    fn ours_first<'a>(&self, keys: impl Iterator<Item = &'a ServiceKey>) -> Vec<Arc<ServiceEndpoints>> {
        let mut services: Vec<_> = keys.filter_map(|key| self.service(key)).collect();
        services.sort_by_key(|service| service.key.is_outside());
        services
    }

    /// A number that grows whenever a name came, went or led elsewhere: what was made of all names is good while it is the same.
    #[must_use]
    pub fn naming(&self) -> u64 {
        self.naming.load(Ordering::Acquire)
    }

    fn put_claims(&self, member: &ClusterId, claims: Vec<GatewayCandidate>) -> BTreeSet<NetworkId> {
        let mut all = lock(&self.claims);
        let same = all.members.get(member).map_or(claims.is_empty(), |old| *old == claims);
        if same {
            return BTreeSet::new();
        }
        all.members.insert(member.clone(), claims);
        all.members.retain(|_, claims| !claims.is_empty());
        self.resolve_gateways(&all)
    }

    /// Resolves anew, under the lock of the claims; the networks whose gateways differ now.
    fn resolve_gateways(&self, claims: &Claims) -> BTreeSet<NetworkId> {
        let settings = self.settings.load();
        let wanted = claims.wanted_hosts(&settings.gateways);
        if **self.hosts.load() != wanted {
            self.hosts.store(Arc::new(wanted));
        }
        let resolved = claims.resolve(&settings.gateways);
        let changed = gateways::changed(&self.gateways.load(), &resolved);
        self.gateways.store(Arc::new(resolved));
        changed
    }

    fn all_members(&self) -> Vec<(ClusterId, Arc<Mutex<Member>>)> {
        let members = self.members.iter();
        members
            .map(|entry| (entry.key().clone(), Arc::clone(entry.value())))
            .collect()
    }

    /// One service, or the host of a pod, as it is now.
    #[must_use]
    pub fn service(&self, key: &ServiceKey) -> Option<Arc<ServiceEndpoints>> {
        let Some((pod, service)) = key.pod() else {
            return self.services.get(key)?.get(None).cloned();
        };
        self.services.get(&service)?.get(Some(pod)).cloned()
    }

    /// The hosts of all pods of headless services as they are now, by name.
    #[must_use]
    pub fn pod_hosts(&self) -> Vec<Arc<ServiceEndpoints>> {
        let mut hosts: Vec<_> = self
            .services
            .iter()
            .flat_map(|slot| slot.hosts.values().cloned().collect::<Vec<_>>())
            .collect();
        hosts.sort_by(|a, b| a.key.cmp(&b.key));
        hosts
    }

    /// All services as they are now, by name; without the hosts of pods.
    #[must_use]
    pub fn services(&self) -> Vec<Arc<ServiceEndpoints>> {
        let mut services: Vec<_> = self.services.iter().filter_map(|slot| slot.merged.clone()).collect();
        services.sort_by(|a, b| a.key.cmp(&b.key));
        services
    }

    /// The hosts that are no Services of Kubernetes as they are now, by name.
    #[must_use]
    pub fn outside_services(&self) -> Vec<Arc<ServiceEndpoints>> {
        let outside = self.services.iter().filter(|slot| slot.key().is_outside());
        let mut services: Vec<_> = outside.filter_map(|slot| slot.merged.clone()).collect();
        services.sort_by(|a, b| a.key.cmp(&b.key));
        services
    }

    /// The gateways as they are now.
    #[must_use]
    pub fn gateways(&self) -> Arc<GatewaySet> {
        self.gateways.load_full()
    }

    /// All members, by name.
    #[must_use]
    pub fn members(&self) -> Vec<MemberSummary> {
        let members = self.all_members().into_iter();
        let mut summaries: Vec<_> = members
            .map(|(name, member)| self.summary(name, &lock(&member)))
            .collect();
        summaries.sort_by(|a, b| a.name.cmp(&b.name));
        summaries
    }

    fn summary(&self, name: ClusterId, member: &Member) -> MemberSummary {
        let (network, origin) = member.network(&name, &self.settings.load());
        MemberSummary {
            name,
            network,
            origin,
            complete: member.is_complete(),
            counts: member.counts(),
        }
    }

    /// Where a viewer stands: by its own word, else on the network of its pod, of its addresses' range in the settings, of its
    /// member, else on the default one.
    #[must_use]
    pub fn locate(&self, viewer: &Viewer) -> Standpoint {
        let settings = self.settings.load();
        let cidr = || {
            settings
                .cidrs
                .network_of(viewer.member.as_ref(), viewer.addresses.iter().copied())
        };
        let by_cidr = |home| match cidr() {
            Some(network) => (network.clone(), NetworkOrigin::Cidr),
            None => home,
        };
        let name = viewer.member.as_ref();
        let member = name.and_then(|name| Some((name, Arc::clone(self.members.get(name)?.value()))));
        let mut inbound = None;
        let mut locality = viewer.locality.clone();
        let known = member.map(|(name, member)| {
            let member = lock(&member);
            if locality.is_unknown() && !viewer.pod.is_empty() {
                let pod = ObjectName::new(&viewer.namespace, &viewer.pod);
                locality = member.locality_of_pod(&pod).unwrap_or_default();
            }
            if viewer.role == Role::Sidecar && member.tells_inbound() {
                inbound = Some(Arc::new(member.inbound(viewer, &settings).0));
            }
            let mut addresses = viewer.addresses.iter();
            match addresses.find_map(|address| member.network_of_pod_at(*address).cloned()) {
                Some(network) => (network, NetworkOrigin::Pod),
                None => by_cidr((member.network(name, &settings).0, NetworkOrigin::Member)),
            }
        });
        let contradiction = contradiction(viewer, known.as_ref());
        let (network, origin) = match (viewer.network.clone(), known) {
            (Some(network), _) => (network, NetworkOrigin::Metadata),
            (None, Some(known)) => known,
            (None, None) => by_cidr((settings.default_network.clone(), NetworkOrigin::Default)),
        };
        let families = AddressFamilies::of(viewer.addresses.iter().copied());
        Standpoint {
            key: ViewKey {
                network,
                families,
                role: viewer.role,
                site: None,
                inbound: None,
                vantage: Vantage::default(),
                balancing: viewer.balancing,
                schema: viewer.schema,
            },
            vantage: Vantage {
                member: viewer.member.clone(),
                namespace: Arc::clone(&viewer.namespace),
                locality,
            },
            inbound,
            origin,
            contradiction,
        }
    }
}

/// What the table knows otherwise than the viewer says.
fn contradiction(viewer: &Viewer, known: Option<&(NetworkId, NetworkOrigin)>) -> Option<String> {
    match (&viewer.member, &viewer.network, known) {
        (Some(member), _, None) => Some(format!("says it is in member {member}, which is not known")),
        (_, Some(said), Some((network, origin))) if said != network => {
            Some(format!("says it is on network {said}, its {origin} is on {network}"))
        }
        _ => None,
    }
}

/// Gives room back once three quarters of it are empty.
fn shrink<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
}

/// Locks, and goes on after another thread's panic: what a member said is replaced record by record, each whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
