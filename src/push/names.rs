//! The names that a step of pushing has to look at: all that may stand for a service that changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Builder;
use crate::model::ServiceKey;
use crate::resources::{ClusterName, GATEWAY_LISTENER, OutboundListener};
use crate::table::{ChangeSet, Face, ServiceChange};

/// Names, by who asks for them.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) clusters: Vec<Arc<str>>,
    pub(super) assignments: Vec<Arc<str>>,
    pub(super) listeners: BTreeSet<Arc<str>>,
    pub(super) routes: BTreeSet<Arc<str>>,
    /// Of clusters and assignments at gateways, where whether there is a cluster depends on where the endpoints are.
    pub(super) at_gateways: Vec<Arc<str>>,
}

impl Names {
    /// Of everything that may stand for what changed.
    pub(super) fn of(changes: &ChangeSet, builder: &Builder) -> Self {
        let mut names = Self::default();
        for (key, change) in &changes.services {
            names.touch(key, change, builder);
        }
        names
    }

    fn touch(&mut self, key: &ServiceKey, change: &ServiceChange, builder: &Builder) {
        let named = |port: u16| ClusterName {
            service: key.clone(),
            port,
        };
        // A cluster's content is its name and what its port speaks. So with what leads to it.
        for port in &change.defined {
            self.clusters.push(builder.encode_name(&named(*port)));
            self.listeners.extend(builder.listener_names(named(*port)));
        }
        for port in &change.ports {
            self.assignments.push(builder.encode_name(&named(*port)));
            self.at_gateways.extend(builder.sni_name(key, *port));
        }
        if key.is_outside() {
            self.listeners.insert(GATEWAY_LISTENER.into());
        }
        if change.face == Face::Changed {
            self.routes
                .extend(change.ports.iter().map(|port| port.to_string().into()));
            let addresses = change.cluster_ips.iter().map(|ip| Some(*ip));
            for address in addresses.chain([None]) {
                let listeners = change
                    .ports
                    .iter()
                    .map(|port| OutboundListener { address, port: *port });
                self.listeners
                    .extend(listeners.map(|listener| listener.encode().into()));
            }
        }
    }
}
