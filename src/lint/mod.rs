//! What is wrong with the objects of the mesh as a whole, each with the remedy: what no single object shows. Pure.
//!
//! What is wrong with one object by itself is found where it is read; both come together in one list.

mod entries;
mod finding;
mod gateways;
mod services;
#[cfg(test)]
mod tests;
mod zones;

use std::collections::BTreeSet;

use crate::model::NetworkId;
use crate::table::EndpointTable;

pub use finding::{Finding, Severity};

/// Whether the host names of gateways were looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookups {
    /// They were: what they don't lead to is missing.
    Made,
    /// They were not: they count as leading somewhere.
    NotMade,
}

/// Everything that is wrong with what the table holds, in order. `domain` is the mesh's DNS domain.
#[must_use]
pub fn lint(table: &EndpointTable, domain: &str, lookups: Lookups) -> Vec<Finding> {
    let merged = table.services();
    let mut networks: BTreeSet<NetworkId> = table.members().into_iter().map(|member| member.network).collect();
    let ports = merged.iter().flat_map(|service| &service.ports);
    networks.extend(ports.flat_map(|port| port.groups().keys().map(|key| key.network.clone())));
    // What is reached from everywhere is on none.
    networks.retain(|network| !network.is_anywhere());
    let mut findings = gateways::findings(&networks, &merged, &table.gateways(), lookups);
    zones::findings(&table.zones(), &merged, &mut findings);
    for key in table.known_services() {
        let parts = table.parts(&key);
        let service = merged.binary_search_by(|service| service.key.cmp(&key));
        let service = service.ok().and_then(|at| merged.get(at));
        services::findings(&key, &parts, service.map(|service| &**service), domain, &mut findings);
        let Some(service) = service else { continue };
        entries::findings(service, &parts, &merged, domain, networks.len(), &mut findings);
        if networks.len() > 1 {
            services::withheld(service, &parts, &mut findings);
        }
    }
    findings.sort();
    findings
}
