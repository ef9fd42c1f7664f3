//! Which names the DNS listener of a viewer answers for, and one listener for all viewers that get the same.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::pods;
use super::{addresses, is_addressed, is_visible};
use crate::model::{AddressFamilies, ClusterId, Counts, NetworkId, ServiceEndpoints, ViewKey};
use crate::resources::{DnsName, DnsSpec, Resource, TrafficSettings};
use crate::table::EndpointTable;

/// All that decides what a viewer's names lead to. Its namespace, of which a member has hundreds, only where some service is
/// shown to some of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Reader {
    member: Option<ClusterId>,
    network: NetworkId,
    families: AddressFamilies,
    namespace: Option<Arc<str>>,
}

/// A listener, and what it was made from.
#[derive(Debug)]
struct Made {
    naming: u64,
    settings: Arc<TrafficSettings>,
    resource: Weak<Resource>,
}

#[derive(Debug, Default)]
struct State {
    made: HashMap<Reader, Made>,
    /// Whether namespaces count, and by which names.
    scoped: Option<(u64, bool)>,
}

/// The listeners that are in use. A table of thousands of names is made once for each reader, not for each view.
#[derive(Debug, Default)]
pub(in super::super) struct DnsListeners {
    made: Mutex<State>,
}

impl DnsListeners {
    /// The listener of a viewer, from the table as it is now.
    pub(in super::super) fn get_or_make(
        &self,
        table: &EndpointTable,
        settings: &Arc<TrafficSettings>,
        key: &ViewKey,
        make: impl FnOnce(DnsSpec) -> Arc<Resource>,
    ) -> Arc<Resource> {
        let mut state = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        // Read before the names are: a name that changes meanwhile counts as not seen yet.
        let naming = table.naming();
        let scoped = match state.scoped {
            Some((of, scoped)) if of == naming => scoped,
            _ => table
                .services()
                .iter()
                .any(|service| service.audience_aspect().namespace == Counts::Yes),
        };
        state.scoped = Some((naming, scoped));
        let all = &mut state.made;
        let site = key.site.as_ref();
        let reader = Reader {
            member: site.and_then(|site| site.member.clone()),
            network: key.network.clone(),
            families: key.families,
            namespace: site.filter(|_| scoped).map(|site| Arc::clone(&site.namespace)),
        };
        if let Some(made) = all.get(&reader)
            && made.naming == naming
            && Arc::ptr_eq(&made.settings, settings)
            && let Some(resource) = made.resource.upgrade()
        {
            return resource;
        }
        let resource = make(DnsSpec::new(
            names(table, settings, key),
            key.families,
            Arc::clone(settings),
        ));
        all.retain(|_, made| made.resource.strong_count() > 0);
        let made = Made {
            naming,
            settings: Arc::clone(settings),
            resource: Arc::downgrade(&resource),
        };
        all.insert(reader, made);
        resource
    }
}

/// Whether the viewer's own DNS knows a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Local {
    Known,
    Unknown,
}

impl Local {
    fn of(known: bool) -> Self {
        if known { Self::Known } else { Self::Unknown }
    }
}

fn names(table: &EndpointTable, settings: &TrafficSettings, key: &ViewKey) -> Vec<DnsName> {
    let mut names = Vec::new();
    // Any namespace may give a host outside any name: the first of several has it, and a Service's is the Service's.
    let mut outside = Vec::new();
    let mut put = |service: &ServiceEndpoints, local: Local, mut addresses: Vec<IpAddr>| {
        addresses.retain(|address| key.families.reach(*address));
        // An A record too, or musl believes no AAAA; a pod without IPv4 has no way to it, so resolvers put it last. What has no
        // virtual address has none to give.
        if key.families == AddressFamilies::V6 && !addresses.is_empty() {
            addresses.truncate(7);
            addresses.extend(service.virtual_ip.map(IpAddr::from));
        }
        if service.key.is_outside() {
            outside.push(DnsName {
                name: service.key.host(&settings.domain),
                addresses,
            });
            return;
        }
        let (name, namespace) = (&service.key.name, &service.key.namespace);
        let everywhere = [
            format!("{name}.{namespace}.global"),
            format!("{name}.{namespace}.svc.clusterset.local"),
        ];
        // A name that leads nowhere from here is nobody else's either, and what the local DNS knows is left to it.
        let here = DnsName {
            name: service.key.host(&settings.domain),
            addresses: match local {
                Local::Known => Vec::new(),
                Local::Unknown => addresses.clone(),
            },
        };
        names.push(here);
        names.extend(everywhere.map(|name| DnsName {
            name,
            addresses: addresses.clone(),
        }));
    };
    for service in table.services().iter().filter(|service| is_visible(key, service)) {
        let local = is_addressed(key, service) || service.headless && pods::any_ready(key, service);
        put(service, Local::of(local), addresses(key, service));
    }
    for host in table.pod_hosts().iter().filter(|host| is_visible(key, host)) {
        match pods::home(key, host) {
            Some(home) => put(host, Local::of(home.is_own), home.addresses),
            None => put(host, Local::Unknown, addresses(key, host)),
        }
    }
    names.append(&mut outside);
    names
}
