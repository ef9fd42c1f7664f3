//! What a name stands for in a view, from the table as it is now.

use std::sync::Arc;

use super::traffic;
use crate::model::{Resolution, Role, Vantage, ViewKey};
use crate::resources::{
    AssignmentSpec, ClusterName, ClusterSpec, ListenerName, ListenerSpec, ResourceSpec, ResourceType, RouteSpec,
};
use crate::table::EndpointTable;
use crate::view::assign;

/// The content of one resource of a view, not encoded yet; `None` for a name that is none of ours or does not exist (yet).
/// `domain` is the one in host names, `cluster.local`.
#[must_use]
pub fn resource_spec(
    table: &EndpointTable,
    domain: &str,
    view: &ViewKey,
    kind: ResourceType,
    name: &Arc<str>,
) -> Option<ResourceSpec> {
    let parsed = match kind {
        ResourceType::Listener => {
            let ListenerName { service, port } = ListenerName::parse(name, domain)?;
            ClusterName { service, port }
        }
        // Assignments and routes are named as their cluster is.
        _ => ClusterName::parse(name, domain)?,
    };
    // Hosts of pods are for sidecars, which capture connections to them and have clusters of their own kind for them.
    let of_sidecar = (view.role, kind) == (Role::Sidecar, ResourceType::ClusterLoadAssignment);
    if parsed.service.pod().is_some() && !of_sidecar {
        return None;
    }
    let service = table.service(&parsed.service)?;
    let port = service.port(parsed.port)?;
    let name = Arc::clone(name);
    let Vantage { member, namespace, .. } = &view.vantage;
    if kind == ResourceType::Cluster && !service.is_visible_to(member.as_ref(), namespace) {
        return None;
    }
    Some(match kind {
        ResourceType::Cluster => match &service.entry {
            Some(entry) if entry.resolution == Resolution::None => return None,
            Some(_) => return traffic::host_cluster(parsed, &service, view, &domain.into(), None),
            None => ResourceSpec::Cluster(ClusterSpec { name }),
        },
        ResourceType::ClusterLoadAssignment => ResourceSpec::Assignment(AssignmentSpec {
            name,
            assignment: assign(view, port, &table.gateways()),
        }),
        ResourceType::Listener => ResourceSpec::Listener(ListenerSpec {
            name,
            routes: parsed.encode(domain).into(),
        }),
        ResourceType::Secret => return None,
        ResourceType::RouteConfiguration => ResourceSpec::Route(RouteSpec { name }),
    })
}
