//! Workloads outside of Kubernetes, and pods, as endpoints of those that select them.

use std::sync::Arc;

use super::derive::Places;
use super::entries::Entries;
use super::entry::{Workload, WorkloadAddress, WorkloadEntryRecord, selects};
use super::inbound::Rules;
use super::member::{Member, Touched};
use super::record::{Labels, ServiceRecord, TargetPort};
use crate::model::{Addresses, Endpoint, Health, Mtls, NetworkId, ObjectName, PodName, ServicePort};

impl Workload {
    /// The port that it serves a service port at: by that one's name, or by that of its target, else at the target itself.
    pub(super) fn port_for(&self, port: &ServicePort, target: Option<&TargetPort>) -> u16 {
        let named = |wanted: &str| {
            let found = self.ports.iter().find(|(name, _)| **name == *wanted);
            found.map(|(_, number)| *number)
        };
        let of_target = || match target {
            Some(TargetPort::Name(name)) => named(name),
            Some(TargetPort::Number(number)) => Some(*number),
            None => None,
        };
        named(&port.name).or_else(of_target).unwrap_or(port.number)
    }

    /// The endpoint that it is, at this port; `None` where only a name leads to it. `elsewhere` is its network where nothing
    /// says which.
    pub(super) fn endpoint(
        &self,
        name: Option<&ObjectName>,
        port: u16,
        elsewhere: impl FnOnce(Addresses) -> NetworkId,
    ) -> Option<Endpoint> {
        let WorkloadAddress::Ip(address) = self.address else {
            return None;
        };
        let addresses = Addresses::from(address);
        Some(Endpoint {
            addresses,
            port,
            weight: self.weight,
            health: Health::Ready,
            mtls: if self.mtls { Mtls::Yes } else { Mtls::No },
            network: self.network.clone().unwrap_or_else(|| elsewhere(addresses)),
            locality: self.locality.clone().unwrap_or_default(),
            pod: name.map(PodName::from),
        })
    }
}

impl Rules<'_> {
    /// An endpoint with these labels, as policies have it.
    pub(super) fn applied(&self, endpoint: Endpoint, labels: &Labels) -> Endpoint {
        let speaks = endpoint.mtls != Mtls::Yes || self.speaks_mtls(Some(labels), endpoint.port);
        Endpoint {
            mtls: if speaks { endpoint.mtls } else { Mtls::Disabled },
            ..endpoint
        }
    }
}

impl Entries {
    /// The workloads of a namespace with all of these labels.
    pub(super) fn selected<'a>(
        &'a self,
        namespace: &'a str,
        selector: &'a Labels,
    ) -> impl Iterator<Item = &'a WorkloadEntryRecord> {
        let from = ObjectName::new(namespace, "");
        let of_namespace = self.workloads.range(from..).map(|(_, entry)| &**entry);
        of_namespace
            .take_while(move |entry| *entry.name.namespace == *namespace)
            .filter(move |entry| selects(selector, &entry.workload.labels))
    }
}

impl Member {
    /// The endpoints of a Service beside its pods, by service port: workloads that its selector chooses.
    pub(super) fn workloads_of<'a>(
        &'a self,
        service: &'a ServiceRecord,
        places: &'a Places<'_>,
        rules: &'a Rules<'_>,
    ) -> impl Iterator<Item = (&'a Arc<str>, Endpoint)> {
        // One without a selector chooses nothing.
        let chosen = (!service.selector.is_empty() && !self.entries.workloads.is_empty()).then(|| {
            let namespace = &service.key.namespace;
            self.entries.selected(namespace, &service.selector)
        });
        chosen.into_iter().flatten().flat_map(move |entry| {
            service.ports.iter().filter_map(move |port| {
                let target = service.targets.iter().find(|(number, _)| *number == port.number);
                let number = entry.workload.port_for(port, target.map(|(_, target)| target));
                let elsewhere = |addresses| places.of(None, addresses).clone();
                let endpoint = entry.workload.endpoint(Some(&entry.name), number, elsewhere)?;
                Some((&port.name, rules.applied(endpoint, &entry.workload.labels)))
            })
        })
    }

    /// Takes a `WorkloadEntry` in, or out.
    pub(super) fn put_workload(
        &mut self,
        name: &ObjectName,
        entry: Option<Arc<WorkloadEntryRecord>>,
        touched: &mut Touched,
    ) {
        let old = match &entry {
            Some(entry) => self.entries.workloads.insert(name.clone(), Arc::clone(entry)),
            None => self.entries.workloads.remove(name),
        };
        if old == entry {
            return;
        }
        let placed = |entry: &Option<Arc<WorkloadEntryRecord>>| {
            let workload = &entry.as_ref()?.workload;
            Some((workload.network.clone()?, workload.address.clone()))
        };
        touched.locations |= placed(&old) != placed(&entry);
        let locality = |entry: &Option<Arc<WorkloadEntryRecord>>| entry.as_ref()?.workload.locality.clone();
        if !self.entries.policies.is_empty() || locality(&old) != locality(&entry) {
            // Another policy may select it, or it is nearer to others.
            touched.workloads.insert(name.clone());
        }
        for entry in old.iter().chain(&entry) {
            let labels = &entry.workload.labels;
            let choosing = self.services.iter().filter(|(key, service)| {
                key.namespace == name.namespace && !service.selector.is_empty() && selects(&service.selector, labels)
            });
            touched.services.extend(choosing.map(|(key, _)| key.clone()));
            self.entries.touch_selecting(&name.namespace, labels, touched);
        }
    }

    /// The network that a workload with this address has by its own word.
    pub(super) fn network_of_workload_at(&self, address: std::net::IpAddr) -> Option<&NetworkId> {
        let mut workloads = self.entries.workloads.values().map(|entry| &entry.workload);
        let found =
            workloads.find(|workload| workload.network.is_some() && workload.address == WorkloadAddress::Ip(address));
        found?.network.as_ref()
    }
}
