//! The slices of a member, small: an endpoint takes less than half of the room that it has in a record.

use std::collections::HashMap;
use std::sync::Arc;

use super::packed::Packed;
use super::pods::Pods;
use super::record::{SliceEndpoint, SliceRecord};
use super::strings::{Shared, Strings};
use crate::model::{Addresses, Health, Locality, ObjectName, PodName, ServiceKey};

/// An `EndpointSlice`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slice {
    /// Its namespace is its service's.
    name: Arc<str>,
    pub(super) ports: Box<[(Arc<str>, u16)]>,
    pub(super) endpoints: Box<[Entry]>,
    /// The host names of those endpoints that have one, which few services have.
    hosts: Box<[(u32, Arc<str>)]>,
}

impl Slice {
    /// The endpoints that have a host name, with it.
    pub(super) fn hosts(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        let entry = |at: u32| usize::try_from(at).ok().and_then(|at| self.endpoints.get(at));
        self.hosts
            .iter()
            .filter_map(move |(at, name)| Some((name, entry(*at)?)))
    }
}

/// One endpoint of a slice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    at: Packed<Health>,
    pub(super) pod: Option<PodName>,
    pub(super) place: Arc<Place>,
}

impl Entry {
    pub(super) fn addresses(&self) -> Addresses {
        self.at.addresses()
    }

    pub(super) fn health(&self) -> Health {
        self.at.beside()
    }
}

/// Where an endpoint is; those of one Node share one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) node: Option<Arc<str>>,
    /// The zone that the slice names, used where the Node is not known.
    pub(super) zone: Locality,
}

/// The slices of one member.
#[derive(Debug, Default)]
pub(super) struct Slices {
    /// By service; of each the slices by name.
    by_service: HashMap<ServiceKey, Vec<Slice>>,
    /// The service of each slice, to notice when a slice changes over to another.
    services: HashMap<ObjectName, ServiceKey>,
    places: Shared<Place>,
}

impl Slices {
    pub(super) fn len(&self) -> usize {
        self.services.len()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &ObjectName> {
        self.services.keys()
    }

    /// The slices of a service; `None` where it has none.
    pub(super) fn of(&self, service: &ServiceKey) -> Option<&[Slice]> {
        self.by_service.get(service).map(Vec::as_slice)
    }

    pub(super) fn by_service(&self) -> impl Iterator<Item = (&ServiceKey, &[Slice])> {
        self.by_service.iter().map(|(service, slices)| (service, &**slices))
    }

    /// Takes a slice in, and tells which services it touched.
    pub(super) fn put(&mut self, record: SliceRecord, pods: &Pods, strings: &mut Strings) -> Vec<ServiceKey> {
        let SliceRecord {
            mut name,
            mut service,
            ports,
            endpoints,
        } = record;
        strings.share(&mut name.namespace);
        strings.share(&mut service.namespace);
        let mut ports: Box<[_]> = ports.into();
        for (port, _) in &mut ports {
            strings.share(port);
        }
        let hosts = (0..).zip(&endpoints);
        let hosts = hosts
            .filter_map(|(at, endpoint)| Some((at, endpoint.host.clone()?)))
            .collect();
        let endpoints = endpoints
            .into_iter()
            .map(|endpoint| self.entry(endpoint, pods, strings))
            .collect();
        let slice = Slice {
            name: Arc::clone(&name.name),
            ports,
            endpoints,
            hosts,
        };
        if self.services.get(&name) == Some(&service)
            && let Some(slices) = self.by_service.get_mut(&service)
            && let Ok(at) = find(slices, &name)
        {
            if slices[at] == slice {
                return Vec::new();
            }
            slices[at] = slice;
            return vec![service];
        }
        let mut touched = Vec::from_iter(self.remove(&name));
        let service = match self.by_service.get_key_value(&service) {
            Some((known, _)) => known.clone(),
            None => service,
        };
        let slices = self.by_service.entry(service.clone()).or_default();
        let at = find(slices, &name).unwrap_or_else(|at| at);
        // Most services have one slice.
        slices.reserve_exact(1);
        slices.insert(at, slice);
        self.services.insert(name, service.clone());
        touched.push(service);
        touched
    }

    fn entry(&mut self, endpoint: SliceEndpoint, pods: &Pods, strings: &mut Strings) -> Entry {
        let SliceEndpoint {
            addresses,
            health,
            pod,
            mut node,
            zone,
            host: _,
        } = endpoint;
        strings.share_some(&mut node);
        let mut place = Arc::new(Place {
            node,
            zone: Locality::new("", zone.as_deref().unwrap_or_default(), ""),
        });
        self.places.share(&mut place);
        let pod = pod.map(|mut pod| match pods.known(&pod) {
            Some(known) => known.clone(),
            None => {
                strings.share_pod(&mut pod);
                pod
            }
        });
        Entry {
            at: Packed::new(addresses, health),
            pod,
            place,
        }
    }

    /// Takes a slice out, and tells whose it was.
    pub(super) fn remove(&mut self, name: &ObjectName) -> Option<ServiceKey> {
        let service = self.services.remove(name)?;
        super::shrink(&mut self.services);
        if let Some(slices) = self.by_service.get_mut(&service) {
            if let Ok(at) = find(slices, name) {
                slices.remove(at);
            }
            if slices.is_empty() {
                self.by_service.remove(&service);
                super::shrink(&mut self.by_service);
            }
        }
        Some(service)
    }
}

fn find(slices: &[Slice], name: &ObjectName) -> Result<usize, usize> {
    slices.binary_search_by(|slice| slice.name.cmp(&name.name))
}
