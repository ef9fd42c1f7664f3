//! Everything that one member says, and which services each new word touches.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::entries::Entries;
use super::pods::{PodChange, Pods};
use super::record::{Kept, Kind, NodeRecord, Policies, Record, RegistryChange, ServiceRecord};
use super::settings::TableSettings;
use super::slices::Slices;
use super::strings::Strings;
use super::terms::TermsRecord;
use crate::model::{Locality, MemberStanding, NetworkId, ObjectName, PodName, ServiceKey};

/// The order in which the lists of one step are taken in: pods before the slices that name them, whose names then are the
/// pods' own.
const ORDER: [Kind; Kind::ALL.len()] = [
    Kind::Namespace,
    Kind::Node,
    Kind::Service,
    Kind::Pod,
    Kind::EndpointSlice,
    Kind::WorkloadEntry,
    Kind::ServiceEntry,
    Kind::PeerAuthentication,
];

/// The records of one member, indexed for the joins that endpoints need.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// What its endpoints count.
    pub(super) standing: MemberStanding,
    /// The network that the settings give it.
    pub(super) network_setting: Option<NetworkId>,
    /// The network labels of its namespaces, where they have one.
    pub(super) namespace_networks: HashMap<Arc<str>, NetworkId>,
    /// The terms of its namespaces, where they have any.
    pub(super) namespace_terms: HashMap<Arc<str>, Box<TermsRecord>>,
    pub(super) nodes: HashMap<Arc<str>, NodeRecord>,
    pub(super) services: HashMap<ServiceKey, Arc<ServiceRecord>>,
    pub(super) slices: Slices,
    pub(super) pods: Pods,
    /// What it says beside Services and pods.
    pub(super) entries: Entries,
    /// Services that claim to be gateways.
    pub(super) gateway_services: BTreeSet<ServiceKey>,
    /// Its namespaces, labelled or not.
    namespaces: BTreeSet<Arc<str>>,
    /// The kinds that were listed completely at least once.
    listed: BTreeSet<Kind>,
    /// What is known of its policies while they were never listed.
    unlisted: Policies,
    strings: Strings,
}

/// What a word of a member touched.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Services to derive again.
    pub(super) services: BTreeSet<ServiceKey>,
    /// Something that every endpoint depends on: all services are to be derived again.
    pub(super) everything: bool,
    /// Something that decides where viewers stand.
    pub(super) locations: bool,
    /// Pods whose sidecars may stand elsewhere.
    pub(super) workloads: BTreeSet<ObjectName>,
    /// Namespaces whose workloads may ask something else of who connects.
    pub(super) policies: BTreeSet<Arc<str>>,
    /// Something that its gateways depend on.
    pub(super) gateways: bool,
    /// Pods whose services are to be derived again.
    pods: HashSet<PodName>,
    /// Nodes of which the same is true.
    nodes: HashSet<Arc<str>>,
}

impl Member {
    /// Nothing yet. Services have host names in this domain.
    pub(super) fn new(domain: &Arc<str>) -> Self {
        Self {
            entries: Entries {
                domain: Arc::clone(domain),
                ..Entries::default()
            },
            ..Self::default()
        }
    }

    /// Everything, as after a change of what all endpoints depend on.
    pub(super) fn touch_all(&self) -> Touched {
        Touched {
            services: self.all_services(),
            everything: true,
            locations: true,
            gateways: true,
            ..Touched::default()
        }
    }

    /// True once every kind that all members have was listed completely; nothing of a member is shown before, since half a
    /// member is a wrong one.
    pub(super) fn is_complete(&self) -> bool {
        Kind::CORE.iter().all(|kind| self.listed.contains(kind))
    }

    /// What is known of its policies.
    pub(super) fn policies(&self) -> Policies {
        match self.listed.contains(&Kind::PeerAuthentication) {
            true => Policies::Known,
            false => self.unlisted,
        }
    }

    /// How many objects of each kind are held.
    pub(super) fn counts(&self) -> BTreeMap<Kind, usize> {
        BTreeMap::from([
            (Kind::Namespace, self.namespaces.len()),
            (Kind::Node, self.nodes.len()),
            (Kind::Service, self.services.len()),
            (Kind::EndpointSlice, self.slices.len()),
            (Kind::Pod, self.pods.len()),
            (Kind::ServiceEntry, self.entries.services.len()),
            (Kind::WorkloadEntry, self.entries.workloads.len()),
            (Kind::PeerAuthentication, self.entries.policies.len()),
        ])
    }

    /// All services that this member has a word on.
    pub(super) fn all_services(&self) -> BTreeSet<ServiceKey> {
        let with_slices = self.slices.by_service().map(|(service, _)| service);
        let all = self.services.keys().chain(with_slices).chain(self.entries.hosts());
        all.cloned().collect()
    }

    /// Those whose endpoints depend on policies of a namespace.
    pub(super) fn services_under(&self, namespace: &str, settings: &TableSettings) -> BTreeSet<ServiceKey> {
        let mut services = self.all_services();
        if *namespace != *settings.system_namespace {
            services.retain(|service| *service.namespace == *namespace || service.is_outside());
        }
        services
    }

    /// The network that a pod, or a workload that is none, with this address has of its own.
    pub(super) fn network_of_pod_at(&self, address: IpAddr) -> Option<&NetworkId> {
        let of_pod = self.pods.network_at(address);
        of_pod.or_else(|| self.network_of_workload_at(address))
    }

    /// Takes one word in, and tells what it touched.
    pub(super) fn apply(&mut self, change: RegistryChange) -> Touched {
        let mut touched = Touched::default();
        self.take_in(change, &mut touched);
        if touched.everything {
            // Beside those that went in the same step, which nothing else knows any more.
            touched.services.extend(self.all_services());
        } else {
            self.touch_services(&mut touched);
        }
        touched.gateways |= touched.everything;
        touched
    }

    fn take_in(&mut self, change: RegistryChange, touched: &mut Touched) {
        match change {
            RegistryChange::Joined { network } => {
                if self.network_setting != network {
                    self.network_setting = network;
                    touched.everything = true;
                    touched.locations = true;
                }
            }
            RegistryChange::Stands(standing) => {
                touched.everything |= self.standing != standing;
                self.standing = standing;
            }
            RegistryChange::Policies(policies) => {
                let before = self.policies();
                self.unlisted = policies;
                touched.locations |= self.policies() != before;
            }
            RegistryChange::Replace(lists) => self.replace_lists(lists, &BTreeMap::new(), touched),
            RegistryChange::ReplaceExcept { lists, kept } => self.replace_lists(lists, &kept, touched),
            RegistryChange::Upsert(record) => self.upsert(record, touched),
            RegistryChange::Remove(kind, name) => self.remove(kind, &name, touched),
            // The table drops the whole member.
            RegistryChange::Left => {}
        }
    }

    fn replace_lists(
        &mut self,
        mut lists: BTreeMap<Kind, Vec<Record>>,
        kept: &BTreeMap<Kind, Kept>,
        touched: &mut Touched,
    ) {
        let (was_complete, policies) = (self.is_complete(), self.policies());
        for kind in ORDER {
            if let Some(records) = lists.remove(&kind) {
                self.replace(kind, records, kept.get(&kind), touched);
                self.listed.insert(kind);
            }
        }
        touched.locations |= self.policies() != policies;
        if self.is_complete() && !was_complete {
            touched.everything = true;
            touched.locations = true;
        }
    }

    /// Only what differs touches anything: a relist of an unchanged member changes nothing.
    fn replace(&mut self, kind: Kind, records: Vec<Record>, kept: Option<&Kept>, touched: &mut Touched) {
        let mut gone = self.names(kind);
        for record in records.into_iter().filter(|record| record.kind() == kind) {
            gone.remove(&record.name());
            self.upsert(record, touched);
        }
        gone.retain(|name| kept.is_none_or(|kept| !kept.keeps(name)));
        for name in gone {
            self.remove(kind, &name, touched);
        }
    }

    fn names(&self, kind: Kind) -> BTreeSet<ObjectName> {
        let unscoped = |name: &Arc<str>| ObjectName::new("", name);
        match kind {
            Kind::Namespace => self.namespaces.iter().map(unscoped).collect(),
            Kind::Node => self.nodes.keys().map(unscoped).collect(),
            Kind::Service => self
                .services
                .keys()
                .map(|key| ObjectName::new(&key.namespace, &key.name))
                .collect(),
            Kind::EndpointSlice => self.slices.names().cloned().collect(),
            Kind::Pod => self.pods.names().map(ObjectName::from).collect(),
            Kind::ServiceEntry => self.entries.services.keys().cloned().collect(),
            Kind::WorkloadEntry => self.entries.workloads.keys().cloned().collect(),
            Kind::PeerAuthentication => self.entries.policies.keys().cloned().collect(),
        }
    }

    fn upsert(&mut self, record: Record, touched: &mut Touched) {
        match record {
            Record::Namespace(namespace) => {
                let old = match namespace.network.clone() {
                    Some(network) => self.namespace_networks.insert(Arc::clone(&namespace.name), network),
                    None => self.namespace_networks.remove(&namespace.name),
                };
                self.set_namespace_terms(&namespace.name, namespace.terms, touched);
                self.namespaces.insert(namespace.name);
                self.network_label_changed(old != namespace.network, touched);
            }
            Record::Node(node) => {
                let name = Arc::clone(&node.name);
                let old = self.nodes.get(&name);
                if old != Some(&node) {
                    touched.gateways = true;
                    if old.is_none_or(|old| old.locality != node.locality) {
                        // Of viewers on it too.
                        touched.locations |= old.is_some() || self.pods.any_on(&name);
                        touched.nodes.insert(Arc::clone(&name));
                        self.entries.touch_all_selecting(touched);
                    }
                    self.nodes.insert(name, node);
                }
            }
            Record::Service(service) => self.upsert_service(service, touched),
            Record::EndpointSlice(slice) => {
                let services = self.slices.put(slice, &self.pods, &mut self.strings);
                touched.services.extend(services);
            }
            Record::Pod(pod) => {
                let before = self.pods.pod(&pod.name).map(|pod| Arc::clone(&pod.traits));
                let name = ObjectName::from(&pod.name);
                let change = self.pods.put(pod, &mut self.strings);
                if change.selection {
                    if let Some(before) = before {
                        self.entries.touch_selecting(&name.namespace, &before.labels, touched);
                    }
                    self.touch_selecting_pod(&name, touched);
                }
                self.pod_changed(name, &change, touched);
            }
            Record::ServiceEntry(entry) => {
                let name = entry.name.clone();
                self.put_host(&name, Some(Arc::new(*entry)), touched);
            }
            Record::WorkloadEntry(entry) => {
                let name = entry.name.clone();
                self.put_workload(&name, Some(Arc::new(*entry)), touched);
            }
            Record::PeerAuthentication(policy) => {
                let (name, policy) = (policy.name.clone(), Arc::new(*policy));
                let namespace = Arc::clone(&name.namespace);
                let old = self.entries.policies.insert(name, Arc::clone(&policy));
                if old.as_ref() != Some(&policy) {
                    touched.policies.insert(namespace);
                }
            }
        }
    }

    fn upsert_service(&mut self, mut service: ServiceRecord, touched: &mut Touched) {
        if self.services.get(&service.key).is_some_and(|old| **old == service) {
            return;
        }
        self.strings.share(&mut service.key.namespace);
        for port in &mut service.ports {
            self.strings.share(&mut port.name);
            self.strings.share(&mut port.app_protocol);
        }
        self.strings.share_labels(&mut service.selector);
        service.ports.shrink_to_fit();
        let key = service.key.clone();
        match service.gateway {
            Some(_) => {
                self.gateway_services.insert(key.clone());
            }
            None => touched.gateways |= self.gateway_services.remove(&key),
        }
        self.services.insert(key.clone(), Arc::new(service));
        touched.services.insert(key);
    }

    fn remove(&mut self, kind: Kind, name: &ObjectName, touched: &mut Touched) {
        match kind {
            Kind::Namespace => {
                self.namespaces.remove(&name.name);
                self.set_namespace_terms(&name.name, None, touched);
                let old = self.namespace_networks.remove(&name.name);
                self.network_label_changed(old.is_some(), touched);
            }
            Kind::Node => {
                if self.nodes.remove(&name.name).is_some() {
                    touched.gateways = true;
                    touched.nodes.insert(Arc::clone(&name.name));
                    super::shrink(&mut self.nodes);
                }
            }
            Kind::Service => {
                let key = ServiceKey::new(&name.namespace, &name.name);
                touched.gateways |= self.gateway_services.remove(&key);
                if self.services.remove(&key).is_some() {
                    super::shrink(&mut self.services);
                    touched.services.insert(key);
                }
            }
            Kind::EndpointSlice => touched.services.extend(self.slices.remove(name)),
            Kind::Pod => {
                self.touch_selecting_pod(name, touched);
                if let Some(change) = self.pods.remove(&name.into()) {
                    self.pod_changed(name.clone(), &change, touched);
                }
            }
            Kind::ServiceEntry => self.put_host(name, None, touched),
            Kind::WorkloadEntry => self.put_workload(name, None, touched),
            Kind::PeerAuthentication => {
                if self.entries.policies.remove(name).is_some() {
                    touched.policies.insert(Arc::clone(&name.namespace));
                }
            }
        }
    }

    fn set_namespace_terms(&mut self, name: &Arc<str>, terms: Option<Box<TermsRecord>>, touched: &mut Touched) {
        if self.namespace_terms.get(name) == terms.as_ref() {
            return;
        }
        match terms {
            Some(terms) => self.namespace_terms.insert(Arc::clone(name), terms),
            None => self.namespace_terms.remove(name),
        };
        let here = self.services.keys().filter(|key| key.namespace == *name);
        touched.services.extend(here.cloned());
    }

    /// Where a pod runs.
    pub(super) fn locality_of_pod(&self, pod: &ObjectName) -> Option<Locality> {
        let Some(pod) = self.pods.get(&pod.into()) else {
            return self.entries.workloads.get(pod)?.workload.locality.clone();
        };
        let of_node = || Some(self.nodes.get(pod.node.as_ref()?)?.locality.clone());
        pod.locality.clone().or_else(of_node)
    }

    fn pod_changed(&self, name: ObjectName, change: &PodChange, touched: &mut Touched) {
        touched.locations |= change.location;
        // Another policy may select it.
        let selected = change.labels && !self.entries.policies.is_empty();
        if change.probes || change.place || selected {
            touched.workloads.insert(name.clone());
        }
        if change.facts || selected {
            touched.pods.insert(PodName::from(&name));
        }
    }

    fn network_label_changed(&self, changed: bool, touched: &mut Touched) {
        touched.everything |= changed;
        touched.locations |= changed;
    }

    /// Finds the services of the pods and Nodes that changed. One walk over the slices, however many changed; an index
    /// would cost more memory than everything else that is kept of a pod.
    fn touch_services(&self, touched: &mut Touched) {
        if !self.is_complete() || (touched.pods.is_empty() && touched.nodes.is_empty()) {
            return;
        }
        for (service, slices) in self.slices.by_service() {
            let changed = slices.iter().flat_map(|slice| &*slice.endpoints).any(|endpoint| {
                let pod = endpoint.pod.as_ref();
                let by_pod = || pod.is_some_and(|pod| touched.pods.contains(pod));
                let by_node = || {
                    let of_pod = || pod.and_then(|pod| self.pods.get(pod)?.node.as_ref());
                    let own = endpoint.place.node.as_ref();
                    own.or_else(of_pod).is_some_and(|node| touched.nodes.contains(node))
                };
                (!touched.pods.is_empty() && by_pod()) || (!touched.nodes.is_empty() && by_node())
            });
            if changed {
                touched.services.insert(service.clone());
            }
        }
    }
}
