//! The source of the cache: builds one resource of one view from the table as it is now.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::PushMetrics;
use super::interner::Interner;
use super::spec::resource_spec;
use super::traffic::{self, DnsListeners};
use crate::cache::Source;
use crate::model::{Aspect, Role, ServiceKey, Standpoint, ViewKey, Viewer};
use crate::resources::{
    ClusterName, DNS_LISTENER, ListenerName, Resource, ResourceSpec, ResourceType, TrafficSettings,
};
use crate::table::EndpointTable;

/// Builds resources.
#[derive(Debug)]
pub struct Builder {
    table: Arc<EndpointTable>,
    /// The domain in host names, `cluster.local`.
    domain: Arc<str>,
    /// Set where proxies get listeners, by the settings.
    traffic: Option<ArcSwap<TrafficSettings>>,
    interner: Interner,
    dns: DnsListeners,
    metrics: PushMetrics,
}

impl Builder {
    /// Builds from this table, with host names in this domain.
    #[must_use]
    pub fn new(table: Arc<EndpointTable>, domain: &str, metrics: PushMetrics) -> Arc<Self> {
        Self::with_traffic(table, domain, None, metrics)
    }

    /// The same, which has listeners for sidecars and gateways too where `traffic` says how.
    #[must_use]
    pub fn with_traffic(
        table: Arc<EndpointTable>,
        domain: &str,
        traffic: Option<TrafficSettings>,
        metrics: PushMetrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            table,
            domain: domain.into(),
            traffic: traffic.map(ArcSwap::from_pointee),
            interner: Interner::default(),
            dns: DnsListeners::default(),
            metrics,
        })
    }

    /// Builds by other settings from now on, where there were some; true when they differ. What is built already stays until it
    /// is asked for again.
    pub(super) fn set_traffic(&self, settings: TrafficSettings) -> bool {
        let Some(traffic) = &self.traffic else { return false };
        let differs = **traffic.load() != settings;
        if differs {
            traffic.store(Arc::new(settings));
        }
        differs
    }

    fn traffic(&self) -> Option<Arc<TrafficSettings>> {
        Some(self.traffic.as_ref()?.load_full())
    }

    pub(super) fn encode_name(&self, name: &ClusterName) -> Arc<str> {
        name.encode(&self.domain).into()
    }

    pub(super) fn parse_name(&self, name: &str) -> Option<ClusterName> {
        ClusterName::parse(name, &self.domain)
    }

    /// The name of a service port's cluster at a gateway; `None` where there are no gateways.
    pub(super) fn sni_name(&self, service: &ServiceKey, port: u16) -> Option<Arc<str>> {
        let settings = self.traffic()?;
        Some(traffic::sni(service, port, &settings))
    }

    /// The name of the cluster for connections to pods themselves; `None` where there are no sidecars.
    pub(super) fn direct_name(&self, name: ClusterName) -> Option<Arc<str>> {
        let settings = self.traffic()?;
        Some(traffic::direct_name(&name.service, name.port, &settings))
    }

    pub(super) fn listener_names(&self, name: ClusterName) -> impl Iterator<Item = Arc<str>> {
        let ClusterName { service, port } = name;
        ListenerName { service, port }
            .spellings(&self.domain)
            .into_iter()
            .map(Arc::from)
    }
}

impl Source for Builder {
    fn locate(&self, viewer: &Viewer) -> Standpoint {
        let mut standpoint = self.table.locate(viewer);
        if self.traffic.is_none() {
            standpoint.key.role = Role::Endpoints;
            standpoint.inbound = None;
        }
        standpoint
    }

    fn names(&self, key: &ViewKey, kind: ResourceType) -> Vec<Arc<str>> {
        let of_traffic = self
            .traffic()
            .map(|settings| traffic::names(&self.table, &settings, key, kind));
        let mut names = of_traffic.unwrap_or_default();
        if key.role != Role::Gateway {
            names.extend(self.names_for_all(key, kind));
        }
        names
    }

    fn covers(&self, kind: ResourceType, name: &str) -> bool {
        // What gRPC clients ask for by name is of no use to anybody else.
        kind != ResourceType::Listener || ListenerName::parse(name, &self.domain).is_none()
    }

    fn aspect(&self, key: &ViewKey, kind: ResourceType, name: &str) -> Aspect {
        // A gateway leads to what anybody may see, all alike. Listeners and routes are of a site, which says all that counts.
        let counts = matches!(kind, ResourceType::Cluster | ResourceType::ClusterLoadAssignment);
        if key.role == Role::Gateway || !counts {
            return Aspect::NOTHING;
        }
        let name = self.parse_name(name);
        let Some(service) = name.and_then(|name| self.table.service(&name.service)) else {
            return Aspect::NOTHING;
        };
        match kind {
            // What proxies look up is in the cluster, in the order of where they are.
            ResourceType::Cluster if !service.is_looked_up() => service.audience_aspect(),
            _ => service.terms.as_ref().map_or(Aspect::NOTHING, |terms| terms.aspect()),
        }
    }

    fn build(&self, key: &ViewKey, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        let name: Arc<str> = name.into();
        if (key.role, kind, &*name) == (Role::Sidecar, ResourceType::Listener, DNS_LISTENER)
            && let Some(settings) = self.traffic().filter(|settings| settings.dns)
        {
            let make = |spec| self.resource(kind, &name, &ResourceSpec::Dns(spec));
            return Some(self.dns.get_or_make(&self.table, &settings, key, make));
        }
        let spec = self.spec(key, kind, &name)?;
        Some(self.resource(kind, &name, &spec))
    }
}

impl Builder {
    fn resource(&self, kind: ResourceType, name: &Arc<str>, spec: &ResourceSpec) -> Arc<Resource> {
        let version = spec.version();
        self.interner.get_or_encode(kind, name, version, || {
            self.metrics.encoded(kind);
            spec.encode_as(version)
        })
    }

    fn spec(&self, key: &ViewKey, kind: ResourceType, name: &Arc<str>) -> Option<ResourceSpec> {
        let for_all = || resource_spec(&self.table, &self.domain, key, kind, name);
        match (key.role, &self.traffic()) {
            (Role::Endpoints, _) | (_, None) => for_all(),
            (Role::Sidecar, Some(settings)) => {
                traffic::sidecar_spec(&self.table, settings, key, kind, name).or_else(for_all)
            }
            (Role::Gateway, Some(settings)) => traffic::gateway_spec(&self.table, settings, key, kind, name),
        }
    }

    fn names_for_all(&self, key: &ViewKey, kind: ResourceType) -> Vec<Arc<str>> {
        match kind {
            ResourceType::Cluster => self
                .table
                .services()
                .iter()
                // Where connections were going, only who captured them knows.
                .filter(|service| key.role == Role::Sidecar || !service.is_pass_through())
                .flat_map(|service| {
                    let names = service.ports.iter().map(|port| ClusterName {
                        service: service.key.clone(),
                        port: port.port.number,
                    });
                    names.map(|name| self.encode_name(&name)).collect::<Vec<_>>()
                })
                .collect(),
            // Listeners that there are for all belong to gRPC clients, who ask by name; the others have no `*`.
            // Secrets are of no view: each stream has its own.
            ResourceType::Listener
            | ResourceType::ClusterLoadAssignment
            | ResourceType::RouteConfiguration
            | ResourceType::Secret => Vec::new(),
        }
    }
}
