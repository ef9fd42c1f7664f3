//! Everything that one member says, and which services each new word touches.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::record::{Kind, NodeRecord, PodRecord, Record, RegistryChange, ServiceRecord, SliceRecord};
use crate::model::{NetworkId, ObjectName, ServiceKey};

/// The records of one member, indexed for the joins that endpoints need.
#[derive(Debug, Default)]
pub(super) struct Member {
    /// The network that the settings give it.
    pub(super) network_setting: Option<NetworkId>,
    /// The network labels of its namespaces, where they have one.
    pub(super) namespace_networks: HashMap<Arc<str>, NetworkId>,
    pub(super) nodes: HashMap<Arc<str>, NodeRecord>,
    pub(super) services: HashMap<ServiceKey, Arc<ServiceRecord>>,
    /// By service, then by the slice's name.
    pub(super) slices: HashMap<ServiceKey, BTreeMap<Arc<str>, SliceRecord>>,
    pub(super) pods: HashMap<ObjectName, PodRecord>,
    /// The service of each slice, to notice when a slice changes over to another.
    slice_services: HashMap<ObjectName, ServiceKey>,
    /// The services whose slices name a pod, so that a pod's change touches just these.
    pod_services: HashMap<ObjectName, BTreeSet<ServiceKey>>,
    /// Pods by address, to find a viewer's.
    pod_addresses: BTreeSet<(IpAddr, ObjectName)>,
    /// Services that claim to be gateways.
    pub(super) gateway_services: BTreeSet<ServiceKey>,
    /// How many namespaces there are, labelled or not.
    namespaces: BTreeSet<Arc<str>>,
    /// The kinds that were listed completely at least once.
    listed: BTreeSet<Kind>,
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
}

impl Member {
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

    /// A pod with this address.
    pub(super) fn pod_at(&self, address: IpAddr) -> Option<&PodRecord> {
        let from = (address, ObjectName::new("", ""));
        let (found, name) = self.pod_addresses.range(from..).next()?;
        (*found == address).then(|| self.pods.get(name)).flatten()
    }

    /// Takes one word in.
    pub(super) fn apply(&mut self, change: RegistryChange, touched: &mut Touched) {
        match change {
            RegistryChange::Joined { network } => {
                if self.network_setting != network {
                    self.network_setting = network;
                    touched.everything = true;
                    touched.locations = true;
                }
            }
            RegistryChange::Replace(lists) => {
                for (kind, records) in lists {
                    let was_complete = self.is_complete();
                    self.replace(kind, records, touched);
                    self.listed.insert(kind);
                    if self.is_complete() && !was_complete {
                        touched.everything = true;
                        touched.locations = true;
                    }
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
                if self.nodes.get(&name) != Some(&node) {
                    self.nodes.insert(Arc::clone(&name), node);
                    self.touch_node(&name, touched);
                }
            }
            Record::Service(service) => {
                if self.services.get(&service.key).is_none_or(|old| **old != service) {
                    let key = service.key.clone();
                    match service.gateway {
                        Some(_) => self.gateway_services.insert(key.clone()),
                        None => self.gateway_services.remove(&key),
                    };
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
                    self.touch_node(&name.name, touched);
                }
            }
            Kind::Service => {
                let key = ServiceKey::new(&name.namespace, &name.name);
                self.gateway_services.remove(&key);
                if self.services.remove(&key).is_some() {
                    touched.services.insert(key);
                }
            }
            Kind::EndpointSlice => self.remove_slice(name, touched),
            Kind::Pod => {
                if let Some(old) = self.pods.remove(name) {
                    self.unindex_addresses(&old);
                    touched.locations |= old.network.is_some();
                    touched
                        .services
                        .extend(self.pod_services.get(name).into_iter().flatten().cloned());
                }
            }
        }
    }

    fn upsert_slice(&mut self, slice: SliceRecord, touched: &mut Touched) {
        let held = self
            .slice_services
            .get(&slice.name)
            .and_then(|service| self.slices.get(service)?.get(&slice.name.name));
        if held == Some(&slice) {
            return;
        }
        self.remove_slice(&slice.name, touched);
        let service = slice.service.clone();
        for pod in slice.endpoints.iter().filter_map(|endpoint| endpoint.pod.clone()) {
            self.pod_services.entry(pod).or_default().insert(service.clone());
        }
        self.slice_services.insert(slice.name.clone(), service.clone());
        self.slices
            .entry(service.clone())
            .or_default()
            .insert(Arc::clone(&slice.name.name), slice);
        touched.services.insert(service);
    }

    fn remove_slice(&mut self, name: &ObjectName, touched: &mut Touched) {
        let Some(service) = self.slice_services.remove(name) else {
            return;
        };
        let Some(slices) = self.slices.get_mut(&service) else {
            return;
        };
        let Some(old) = slices.remove(&name.name) else {
            return;
        };
        let named = |slices: &BTreeMap<Arc<str>, SliceRecord>, pod: &ObjectName| {
            slices
                .values()
                .flat_map(|slice| &slice.endpoints)
                .any(|endpoint| endpoint.pod.as_ref() == Some(pod))
        };
        for pod in old.endpoints.iter().filter_map(|endpoint| endpoint.pod.as_ref()) {
            if !named(slices, pod)
                && let Some(services) = self.pod_services.get_mut(pod)
            {
                services.remove(&service);
                if services.is_empty() {
                    self.pod_services.remove(pod);
                }
            }
        }
        if slices.is_empty() {
            self.slices.remove(&service);
        }
        touched.services.insert(service);
    }

    fn upsert_pod(&mut self, pod: PodRecord, touched: &mut Touched) {
        let old = self.pods.get(&pod.name);
        if old == Some(&pod) {
            return;
        }
        touched.locations |= old.and_then(|old| old.network.as_ref()) != pod.network.as_ref();
        if let Some(old) = old.cloned() {
            self.unindex_addresses(&old);
        }
        self.pod_addresses
            .extend(pod.addresses.iter().map(|address| (*address, pod.name.clone())));
        touched
            .services
            .extend(self.pod_services.get(&pod.name).into_iter().flatten().cloned());
        self.pods.insert(pod.name.clone(), pod);
    }

    fn unindex_addresses(&mut self, pod: &PodRecord) {
        for address in &pod.addresses {
            self.pod_addresses.remove(&(*address, pod.name.clone()));
        }
    }

    fn network_label_changed(&self, changed: bool, touched: &mut Touched) {
        touched.everything |= changed;
        touched.locations |= changed;
    }

    /// A Node changes rarely in what is kept of it, so that a walk over all slices is fine.
    fn touch_node(&self, node: &Arc<str>, touched: &mut Touched) {
        for (service, slices) in &self.slices {
            let on_node = |slice: &SliceRecord| {
                slice.endpoints.iter().any(|endpoint| {
                    let pod = endpoint.pod.as_ref().and_then(|pod| self.pods.get(pod));
                    endpoint.node.as_ref().or(pod.and_then(|pod| pod.node.as_ref())) == Some(node)
                })
            };
            if slices.values().any(on_node) {
                touched.services.insert(service.clone());
            }
        }
    }
}
