//! Hosts outside of Kubernetes: what each member's `ServiceEntry` objects say of one, and all of it as one service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::derive::{Groups, MemberService, Places, by_network};
use super::entries::Entries;
use super::entry::{Location, ServiceEntryRecord, Workload, WorkloadAddress, selects};
use super::member::{Member, Touched};
use super::merge::standings;
use super::record::{Labels, TargetPort};
use super::settings::TableSettings;
use super::terms::ExportTo;
use crate::model::{
    Audience, ClusterId, Conflict, DnsTarget, Endpoint, GroupKey, Health, HostEntry, Mtls, NetworkGroup, NetworkId,
    ObjectName, PortEndpoints, Resolution, ServiceEndpoints, ServiceKey, ServicePort, ServiceTerms,
};

/// What one object of a member says of a host.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HostPart {
    pub(super) entry: Arc<ServiceEntryRecord>,
    /// Its endpoints, by service port.
    endpoints: Vec<(u16, Groups)>,
    /// What proxies look up, by service port.
    lookups: Vec<(u16, Vec<DnsTarget>)>,
}

impl HostPart {
    fn groups(&self, port: u16) -> &[(NetworkId, Arc<NetworkGroup>)] {
        let found = self.endpoints.iter().find(|(number, _)| *number == port);
        found.map_or(&[], |(_, groups)| groups)
    }

    fn lookups(&self, port: u16) -> &[DnsTarget] {
        let found = self.lookups.iter().find(|(number, _)| *number == port);
        found.map_or(&[], |(_, lookups)| lookups)
    }
}

impl Entries {
    /// The hosts that the objects of a member name.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &ServiceKey> {
        self.by_host.keys()
    }

    fn index(&mut self, name: &ObjectName, entry: &ServiceEntryRecord) {
        for host in &entry.hosts {
            let key = host.key(&self.domain);
            self.by_host.entry(key).or_default().insert(name.clone());
        }
        if entry.selector.is_some() {
            self.selecting.insert(name.clone());
        }
    }

    fn unindex(&mut self, name: &ObjectName, entry: &ServiceEntryRecord) {
        for host in &entry.hosts {
            let key = host.key(&self.domain);
            if let Some(names) = self.by_host.get_mut(&key) {
                names.remove(name);
                if names.is_empty() {
                    self.by_host.remove(&key);
                }
            }
        }
        self.selecting.remove(name);
    }

    /// The hosts of all objects that select anything.
    pub(super) fn touch_all_selecting(&self, touched: &mut Touched) {
        let entries = self.selecting.iter().filter_map(|name| self.services.get(name));
        let hosts = entries.flat_map(|entry| entry.hosts.iter().map(|host| host.key(&self.domain)));
        touched.services.extend(hosts);
    }

    /// The hosts of objects in this namespace that select something with these labels.
    pub(super) fn touch_selecting(&self, namespace: &str, labels: &Labels, touched: &mut Touched) {
        let selecting = self.selecting.iter().filter(|name| *name.namespace == *namespace);
        for entry in selecting.filter_map(|name| self.services.get(name)) {
            if entry
                .selector
                .as_ref()
                .is_some_and(|selector| selects(selector, labels))
            {
                let hosts = entry.hosts.iter().map(|host| host.key(&self.domain));
                touched.services.extend(hosts);
            }
        }
    }
}

impl Member {
    /// Takes a `ServiceEntry` in, or out.
    pub(super) fn put_host(
        &mut self,
        name: &ObjectName,
        entry: Option<Arc<ServiceEntryRecord>>,
        touched: &mut Touched,
    ) {
        let entries = &mut self.entries;
        let old = match &entry {
            Some(entry) => entries.services.insert(name.clone(), Arc::clone(entry)),
            None => entries.services.remove(name),
        };
        if old == entry {
            return;
        }
        if let Some(old) = &old {
            entries.unindex(name, old);
        }
        if let Some(new) = &entry {
            entries.index(name, new);
        }
        for entry in old.iter().chain(&entry) {
            let hosts = entry.hosts.iter().map(|host| host.key(&entries.domain));
            touched.services.extend(hosts);
        }
    }

    /// The hosts of objects that select a pod as it is now.
    pub(super) fn touch_selecting_pod(&self, name: &ObjectName, touched: &mut Touched) {
        if !self.entries.selecting.is_empty()
            && let Some(pod) = self.pods.pod(name)
        {
            self.entries
                .touch_selecting(&name.namespace, &pod.traits.labels, touched);
        }
    }

    /// What this member's objects say of a host; mostly nothing.
    pub(super) fn host_parts(&self, key: &ServiceKey, places: &Places<'_>) -> Vec<HostPart> {
        let names = self.entries.by_host.get(key).into_iter().flatten();
        let entries = names.filter_map(|name| self.entries.services.get(name));
        entries.map(|entry| self.host_part(key, entry, places)).collect()
    }

    fn host_part(&self, key: &ServiceKey, entry: &Arc<ServiceEntryRecord>, places: &Places<'_>) -> HostPart {
        let mut endpoints = Vec::new();
        let mut lookups = Vec::new();
        for EntryPortRef { port, target } in entry.ports.iter().map(EntryPortRef::of) {
            match entry.resolution {
                Resolution::None => {}
                Resolution::Static => {
                    let found = self.host_endpoints(entry, port, target.as_ref(), places);
                    endpoints.push((port.number, by_network(found.into_iter())));
                }
                Resolution::Dns | Resolution::DnsRoundRobin => {
                    let found = self.host_lookups(key, entry, port, target.as_ref(), places);
                    lookups.push((port.number, found));
                }
            }
        }
        HostPart {
            entry: Arc::clone(entry),
            endpoints,
            lookups,
        }
    }

    fn host_endpoints(
        &self,
        entry: &ServiceEntryRecord,
        port: &ServicePort,
        target: Option<&TargetPort>,
        places: &Places<'_>,
    ) -> Vec<Endpoint> {
        let elsewhere = |addresses| match entry.location {
            Location::External => NetworkId::anywhere(),
            Location::Internal => places.of(None, addresses).clone(),
        };
        let rules = self.rules(&entry.name.namespace, places.settings);
        let told = entry.endpoints.iter().map(|workload| (None, workload));
        let selected = entry.selector.iter().flat_map(|selector| {
            let found = self.entries.selected(&entry.name.namespace, selector);
            found.map(|chosen| (Some(&chosen.name), &chosen.workload))
        });
        let workloads = told.chain(selected).filter_map(|(name, workload)| {
            let number = workload.port_for(port, target);
            let endpoint = workload.endpoint(name, number, elsewhere)?;
            Some(rules.applied(endpoint, &workload.labels))
        });
        let mut endpoints: Vec<_> = workloads.collect();
        if let Some(selector) = &entry.selector {
            let pods = self.selected_pods(&entry.name.namespace, selector, port, target, places);
            endpoints.extend(pods.map(|(labels, endpoint)| rules.applied(endpoint, labels)));
        }
        endpoints
    }

    /// Pods with these labels, as a Service without slices would have them, with all their labels.
    fn selected_pods<'a>(
        &'a self,
        namespace: &'a str,
        selector: &'a Labels,
        port: &ServicePort,
        target: Option<&TargetPort>,
        places: &'a Places<'_>,
    ) -> impl Iterator<Item = (&'a Labels, Endpoint)> {
        let number = match target {
            Some(TargetPort::Number(number)) => *number,
            Some(TargetPort::Name(_)) | None => port.number,
        };
        let pods = self
            .pods
            .iter()
            .filter(move |(name, pod)| *name.namespace == *namespace && selects(selector, &pod.traits.labels));
        pods.filter_map(move |(name, pod)| {
            let addresses = pod.addresses()?;
            let node = pod.facts.node.as_ref().and_then(|node| self.nodes.get(node));
            let locality = pod.facts.locality.clone().or_else(|| Some(node?.locality.clone()));
            let endpoint = Endpoint {
                addresses,
                port: number,
                weight: 1,
                health: if pod.is_ready() {
                    Health::Ready
                } else {
                    Health::NotReady
                },
                mtls: if pod.facts.mtls { Mtls::Yes } else { Mtls::No },
                network: places.of(Some(&pod.facts), addresses).clone(),
                locality: locality.unwrap_or_default(),
                pod: Some(name.clone()),
            };
            Some((&pod.traits.labels, endpoint))
        })
    }

    fn host_lookups(
        &self,
        key: &ServiceKey,
        entry: &ServiceEntryRecord,
        port: &ServicePort,
        target: Option<&TargetPort>,
        places: &Places<'_>,
    ) -> Vec<DnsTarget> {
        if entry.endpoints.is_empty() && entry.selector.is_none() {
            let number = match target {
                Some(TargetPort::Number(number)) => *number,
                Some(TargetPort::Name(_)) | None => port.number,
            };
            return vec![DnsTarget {
                name: Arc::clone(&key.name),
                port: number,
                weight: 1,
                locality: crate::model::Locality::default(),
                mtls: Mtls::No,
            }];
        }
        let told = entry.endpoints.iter().map(|workload| lookup(workload, port, target));
        let selected = entry.selector.iter().flat_map(|_| {
            let endpoints = self.host_endpoints(entry, port, target, places);
            let ready = endpoints
                .into_iter()
                .filter(|endpoint| endpoint.health == Health::Ready);
            ready.filter_map(|endpoint| {
                Some(DnsTarget {
                    name: endpoint.addresses.iter().next()?.to_string().into(),
                    port: endpoint.port,
                    weight: endpoint.weight,
                    locality: endpoint.locality,
                    mtls: endpoint.mtls,
                })
            })
        });
        told.chain(selected).collect()
    }
}

/// A port of an entry with its target as a Service has it.
struct EntryPortRef<'a> {
    port: &'a ServicePort,
    target: Option<TargetPort>,
}

impl<'a> EntryPortRef<'a> {
    fn of(port: &'a super::entry::EntryPort) -> Self {
        Self {
            port: &port.port,
            target: port.target.map(TargetPort::Number),
        }
    }
}

fn lookup(workload: &Workload, port: &ServicePort, target: Option<&TargetPort>) -> DnsTarget {
    DnsTarget {
        name: match &workload.address {
            WorkloadAddress::Ip(address) => address.to_string().into(),
            WorkloadAddress::Host(host) => host.as_str().into(),
        },
        port: workload.port_for(port, target),
        weight: workload.weight,
        locality: workload.locality.clone().unwrap_or_default(),
        mtls: if workload.mtls { Mtls::Yes } else { Mtls::No },
    }
}

/// A member's object for a host.
pub(super) type Claim<'a> = (&'a ClusterId, &'a MemberService, &'a HostPart);

/// All objects for a host, the oldest first.
fn claims(shards: &BTreeMap<ClusterId, Arc<MemberService>>) -> Vec<Claim<'_>> {
    let claims = shards
        .iter()
        .flat_map(|(member, shard)| shard.hosts.iter().map(move |part| (member, &**shard, part)));
    let mut claims: Vec<_> = claims.collect();
    claims.sort_by_key(|(member, _, part)| (part.entry.created.unwrap_or(i64::MAX), *member, &part.entry.name));
    claims
}

/// Those that count of a service of Kubernetes, and what is to be said of others.
pub(super) fn added<'a>(
    key: &ServiceKey,
    shards: &'a BTreeMap<ClusterId, Arc<MemberService>>,
) -> (Vec<Claim<'a>>, Vec<Conflict>) {
    let mut conflicts = Vec::new();
    let mut claims = claims(shards);
    claims.retain(|(member, _, part)| {
        let why = if part.entry.name.namespace != key.namespace {
            "it is in another namespace"
        } else if part.entry.resolution != Resolution::Static {
            "only resolution STATIC can add to a Service"
        } else {
            return true;
        };
        conflicts.push(passed_over(member, member, part, why));
        false
    });
    (claims, conflicts)
}

fn passed_over(winner: &ClusterId, loser: &ClusterId, part: &HostPart, why: &str) -> Conflict {
    Conflict {
        attribute: "ServiceEntry",
        winner: winner.clone(),
        loser: loser.clone(),
        detail: format!("ServiceEntry {} is passed over: {why}", part.entry.name),
    }
}

/// Adds the endpoints that objects tell of a port.
pub(super) fn join(groups: &mut BTreeMap<GroupKey, Arc<NetworkGroup>>, claims: &[Claim<'_>], port: u16) {
    for (member, _, part) in claims {
        for (network, group) in part.groups(port) {
            let key = GroupKey {
                network: network.clone(),
                member: (*member).clone(),
            };
            let group = match groups.get(&key) {
                Some(known) => Arc::new(known.joined(group)),
                None => Arc::clone(group),
            };
            groups.insert(key, group);
        }
    }
}

/// What the mesh prefers, and to whom each member's objects show the host: `exportTo` of each, or else what the mesh says.
fn terms(claims: &[Claim<'_>], settings: &TableSettings) -> Option<Arc<ServiceTerms>> {
    let mut audiences: BTreeMap<ClusterId, Audience> = BTreeMap::new();
    for (member, _, part) in claims {
        let said = &part.entry.export_to;
        let own = ExportTo(said.iter().filter(|name| ***name != *"~").cloned().collect());
        let export = if said.is_empty() { &settings.export } else { &own };
        let namespaces = export.namespaces(&part.entry.name.namespace);
        let seen = audiences.entry((*member).clone()).or_insert_with(|| Audience {
            namespaces: Some(Arc::default()),
            ..Audience::default()
        });
        // Of several objects of a member each shows it to whom it says.
        seen.namespaces = match (seen.namespaces.take(), namespaces) {
            (Some(before), Some(more)) => Some(Arc::new(before.union(&more).cloned().collect())),
            _ => None,
        };
    }
    audiences.retain(|_, audience| !audience.is_everybody());
    let terms = ServiceTerms {
        preference: settings.preference.clone(),
        audiences,
    };
    (terms != ServiceTerms::default()).then(|| Arc::new(terms))
}

/// A host that no Service of Kubernetes has: the oldest object decides whose it is and how it is reached; others of the same
/// namespace, in whichever member, add to it.
pub(super) fn merge(
    key: &ServiceKey,
    shards: &BTreeMap<ClusterId, Arc<MemberService>>,
    settings: &TableSettings,
) -> Option<ServiceEndpoints> {
    let mut conflicts = Vec::new();
    let mut claims = claims(shards);
    if !key.is_outside() {
        claims.retain(|(.., part)| part.entry.name.namespace == key.namespace);
    }
    let (winner, _, first) = *claims.first()?;
    let (namespace, resolution) = (&first.entry.name.namespace, first.entry.resolution);
    claims.retain(|(member, _, part)| {
        let why = if part.entry.name.namespace != *namespace {
            format!("{} has this host, and counts before it", first.entry.name)
        } else if part.entry.resolution != resolution {
            format!("{} has another resolution, and counts before it", first.entry.name)
        } else {
            return true;
        };
        conflicts.push(passed_over(winner, member, part, &why));
        false
    });
    let mut ports: BTreeMap<u16, (&ClusterId, ServicePort)> = BTreeMap::new();
    for (member, _, part) in &claims {
        for port in part.entry.ports.iter().map(|port| &port.port) {
            let (owner, known) = ports.entry(port.number).or_insert_with(|| (*member, port.clone()));
            if known.app_protocol != port.app_protocol {
                conflicts.push(Conflict {
                    attribute: "protocol",
                    winner: (*owner).clone(),
                    loser: (*member).clone(),
                    detail: format!(
                        "port {}: {} and {} (ServiceEntry {})",
                        port.number, known.app_protocol, port.app_protocol, part.entry.name
                    ),
                });
            }
        }
    }
    let terms = terms(&claims, settings);
    let serving = |shard: &MemberService| shard.standing.serves();
    let lookups = ports.keys().map(|port| {
        let of_port = claims.iter().filter(|(_, shard, _)| serving(shard));
        let found: BTreeSet<DnsTarget> = of_port.flat_map(|(.., part)| part.lookups(*port)).cloned().collect();
        (*port, found.into_iter().collect())
    });
    let lookups = if resolution.is_dns() {
        lookups.collect()
    } else {
        BTreeMap::new()
    };
    let addresses: BTreeSet<_> = claims
        .iter()
        .flat_map(|(.., part)| &part.entry.addresses)
        .copied()
        .collect();
    let entry = HostEntry {
        namespace: Arc::clone(namespace),
        resolution,
        addresses: addresses.into_iter().collect(),
        lookups,
    };
    let defined_in: BTreeSet<&ClusterId> = claims.iter().map(|(member, ..)| *member).collect();
    let others = defined_in.into_iter().filter(|member| *member != winner);
    Some(ServiceEndpoints {
        key: key.clone(),
        defined_in: std::iter::once(winner).chain(others).cloned().collect(),
        headless: false,
        cluster_ips: BTreeMap::new(),
        ports: ports
            .into_values()
            .map(|(_, port)| {
                let mut groups = BTreeMap::new();
                join(&mut groups, &claims, port.number);
                let standings = standings(&groups, shards, settings);
                PortEndpoints::with_terms(port, groups, standings, terms.clone())
            })
            .collect(),
        conflicts,
        terms,
        entry: Some(Arc::new(entry)),
    })
}
