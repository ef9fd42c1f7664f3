//! Everything that one member says, and which services each new word touches.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::record::{Kind, NodeRecord, PodRecord, Record, RegistryChange, ServiceRecord, SliceRecord};
use super::strings::Strings;
use crate::model::{Addresses, Locality, NetworkId, ObjectName, ServiceKey};

/// The order in which the lists of one step are taken in: pods before the slices that name them, whose names then are the
/// pods' own.
const ORDER: [Kind; 5] = [
    Kind::Namespace,
    Kind::Node,
    Kind::Service,
    Kind::Pod,
    Kind::EndpointSlice,
];

/// The records of one member, indexed for the joins that endpoints need.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// The network that the settings give it.
    pub(super) network_setting: Option<NetworkId>,
    /// The network labels of its namespaces, where they have one.
    pub(super) namespace_networks: HashMap<Arc<str>, NetworkId>,
    pub(super) nodes: HashMap<Arc<str>, NodeRecord>,
    pub(super) services: HashMap<ServiceKey, Arc<ServiceRecord>>,
    /// By service; of each the slices by name.
    pub(super) slices: HashMap<ServiceKey, Vec<SliceRecord>>,
    pub(super) pods: HashMap<ObjectName, Pod>,
    /// The service of each slice, to notice when a slice changes over to another.
    slice_services: HashMap<ObjectName, ServiceKey>,
    /// Pods with a network of their own by address, to find a viewer's.
    placed_pods: BTreeSet<(IpAddr, ObjectName)>,
    /// Services that claim to be gateways.
    pub(super) gateway_services: BTreeSet<ServiceKey>,
    /// Its namespaces, labelled or not.
    namespaces: BTreeSet<Arc<str>>,
    /// The kinds that were listed completely at least once.
    listed: BTreeSet<Kind>,
    strings: Strings,
}

/// What is kept of a Pod beside its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) network: Option<NetworkId>,
    pub(super) mtls: bool,
    pub(super) node: Option<Arc<str>>,
    pub(super) locality: Option<Locality>,
    addresses: Option<Addresses>,
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
    /// Something that its gateways depend on.
    pub(super) gateways: bool,
    /// Pods whose services are to be derived again.
    pods: HashSet<ObjectName>,
    /// Nodes of which the same is true.
    nodes: HashSet<Arc<str>>,
}

impl Member {
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

    /// True once every kind was listed completely; nothing of a member is shown before, since half a member is a wrong one.
    pub(super) fn is_complete(&self) -> bool {
        self.listed.len() == Kind::ALL.len()
    }

    /// How many objects of each kind are held.
    pub(super) fn counts(&self) -> BTreeMap<Kind, usize> {
        BTreeMap::from([
            (Kind::Namespace, self.namespaces.len()),
            (Kind::Node, self.nodes.len()),
            (Kind::Service, self.services.len()),
            (Kind::EndpointSlice, self.slice_services.len()),
            (Kind::Pod, self.pods.len()),
        ])
    }

    /// All services that this member has a word on.
    pub(super) fn all_services(&self) -> BTreeSet<ServiceKey> {
        self.services.keys().chain(self.slices.keys()).cloned().collect()
    }

    /// The network that a pod with this address has of its own.
    pub(super) fn network_of_pod_at(&self, address: IpAddr) -> Option<&NetworkId> {
        let from = (address, ObjectName::new("", ""));
        let (found, name) = self.placed_pods.range(from..).next()?;
        let pod = (*found == address).then(|| self.pods.get(name)).flatten();
        pod?.network.as_ref()
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
            RegistryChange::Replace(mut lists) => {
                let was_complete = self.is_complete();
                for kind in ORDER {
                    if let Some(records) = lists.remove(&kind) {
                        self.replace(kind, records, touched);
                        self.listed.insert(kind);
                    }
                }
                if self.is_complete() && !was_complete {
                    touched.everything = true;
                    touched.locations = true;
                }
            }
            RegistryChange::Upsert(record) => self.upsert(record, touched),
            RegistryChange::Remove(kind, name) => self.remove(kind, &name, touched),
            // The table drops the whole member.
            RegistryChange::Left => {}
        }
    }

    /// Only what differs touches anything: a relist of an unchanged member changes nothing.
    fn replace(&mut self, kind: Kind, records: Vec<Record>, touched: &mut Touched) {
        let mut gone = self.names(kind);
        for record in records.into_iter().filter(|record| record.kind() == kind) {
            gone.remove(&record.name());
            self.upsert(record, touched);
        }
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
            Kind::EndpointSlice => self.slice_services.keys().cloned().collect(),
            Kind::Pod => self.pods.keys().cloned().collect(),
        }
    }

    fn upsert(&mut self, record: Record, touched: &mut Touched) {
        match record {
            Record::Namespace(namespace) => {
                let old = match namespace.network.clone() {
                    Some(network) => self.namespace_networks.insert(Arc::clone(&namespace.name), network),
                    None => self.namespace_networks.remove(&namespace.name),
                };
                self.namespaces.insert(namespace.name);
                self.network_label_changed(old != namespace.network, touched);
            }
            Record::Node(node) => {
                let name = Arc::clone(&node.name);
                let old = self.nodes.get(&name);
                if old != Some(&node) {
                    touched.gateways = true;
                    if old.is_none_or(|old| old.locality != node.locality) {
                        touched.nodes.insert(Arc::clone(&name));
                    }
                    self.nodes.insert(name, node);
                }
            }
            Record::Service(service) => {
                if self.services.get(&service.key).is_none_or(|old| **old != service) {
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
            }
            Record::EndpointSlice(slice) => self.upsert_slice(slice, touched),
            Record::Pod(pod) => self.upsert_pod(pod, touched),
        }
    }

    fn remove(&mut self, kind: Kind, name: &ObjectName, touched: &mut Touched) {
        match kind {
            Kind::Namespace => {
                self.namespaces.remove(&name.name);
                let old = self.namespace_networks.remove(&name.name);
                self.network_label_changed(old.is_some(), touched);
            }
            Kind::Node => {
                if self.nodes.remove(&name.name).is_some() {
                    touched.gateways = true;
                    touched.nodes.insert(Arc::clone(&name.name));
                }
            }
            Kind::Service => {
                let key = ServiceKey::new(&name.namespace, &name.name);
                touched.gateways |= self.gateway_services.remove(&key);
                if self.services.remove(&key).is_some() {
                    touched.services.insert(key);
                }
            }
            Kind::EndpointSlice => self.remove_slice(name, touched),
            Kind::Pod => {
                if let Some(old) = self.pods.remove(name) {
                    self.place(name, &old, BTreeSet::<(IpAddr, ObjectName)>::remove);
                    touched.locations |= old.network.is_some();
                    touched.pods.insert(name.clone());
                }
            }
        }
    }

    fn upsert_slice(&mut self, mut slice: SliceRecord, touched: &mut Touched) {
        let name = slice.name.clone();
        if self.slice_services.get(&name) == Some(&slice.service) {
            let slices = self.slices.get(&slice.service).map_or(&[][..], Vec::as_slice);
            if find_slice(slices, &name).is_ok_and(|at| slices[at] == slice) {
                return;
            }
        }
        self.remove_slice(&name, touched);
        self.share_texts(&mut slice);
        let service = slice.service.clone();
        self.slice_services.insert(name.clone(), service.clone());
        let slices = self.slices.entry(service.clone()).or_default();
        let at = find_slice(slices, &name).unwrap_or_else(|at| at);
        slices.insert(at, slice);
        touched.services.insert(service);
    }

    fn remove_slice(&mut self, name: &ObjectName, touched: &mut Touched) {
        let Some(service) = self.slice_services.remove(name) else {
            return;
        };
        if let Some(slices) = self.slices.get_mut(&service) {
            if let Ok(at) = find_slice(slices, name) {
                slices.remove(at);
            }
            if slices.is_empty() {
                self.slices.remove(&service);
            }
        }
        touched.services.insert(service);
    }

    /// A slice repeats what others say: it gets their copies.
    fn share_texts(&mut self, slice: &mut SliceRecord) {
        let strings = &mut self.strings;
        strings.share(&mut slice.name.namespace);
        strings.share(&mut slice.service.namespace);
        for (port, _) in &mut slice.ports {
            strings.share(port);
        }
        for endpoint in &mut slice.endpoints {
            strings.share_some(&mut endpoint.node);
            strings.share_some(&mut endpoint.zone);
            if let Some(pod) = &mut endpoint.pod {
                match self.pods.get_key_value(pod) {
                    Some((name, _)) => *pod = name.clone(),
                    None => strings.share(&mut pod.namespace),
                }
            }
        }
        slice.endpoints.shrink_to_fit();
        slice.ports.shrink_to_fit();
    }

    fn upsert_pod(&mut self, record: PodRecord, touched: &mut Touched) {
        let PodRecord {
            mut name,
            network,
            mtls,
            mut node,
            locality,
            addresses,
        } = record;
        self.strings.share(&mut name.namespace);
        self.strings.share_some(&mut node);
        let pod = Pod {
            network,
            mtls,
            node,
            locality,
            addresses,
        };
        let old = self.pods.remove(&name);
        if old.as_ref() != Some(&pod) {
            let old_network = old.as_ref().and_then(|old| old.network.as_ref());
            touched.locations |= old_network != pod.network.as_ref();
            if let Some(old) = &old {
                self.place(&name, old, BTreeSet::<(IpAddr, ObjectName)>::remove);
            }
            self.place(&name, &pod, |placed, at| placed.insert(at.clone()));
            touched.pods.insert(name.clone());
        }
        self.pods.insert(name, pod);
    }

    /// Adds or removes the addresses of a pod that has a network of its own.
    fn place(
        &mut self,
        name: &ObjectName,
        pod: &Pod,
        change: impl Fn(&mut BTreeSet<(IpAddr, ObjectName)>, &(IpAddr, ObjectName)) -> bool,
    ) {
        if pod.network.is_some() {
            for address in pod.addresses.iter().flat_map(Addresses::iter) {
                change(&mut self.placed_pods, &(address, name.clone()));
            }
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
        for (service, slices) in &self.slices {
            let changed = slices.iter().flat_map(|slice| &slice.endpoints).any(|endpoint| {
                let pod = endpoint.pod.as_ref();
                let by_pod = || pod.is_some_and(|pod| touched.pods.contains(pod));
                let by_node = || {
                    let of_pod = || pod.and_then(|pod| self.pods.get(pod)?.node.as_ref());
                    endpoint
                        .node
                        .as_ref()
                        .or_else(of_pod)
                        .is_some_and(|node| touched.nodes.contains(node))
                };
                (!touched.pods.is_empty() && by_pod()) || (!touched.nodes.is_empty() && by_node())
            });
            if changed {
                touched.services.insert(service.clone());
            }
        }
    }
}

fn find_slice(slices: &[SliceRecord], name: &ObjectName) -> Result<usize, usize> {
    slices.binary_search_by(|slice| slice.name.name.cmp(&name.name))
}
