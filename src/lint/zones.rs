//! What is wrong with what the settings say of zones.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Finding, Severity};
use crate::model::{Locality, ServiceEndpoints, ZoneWeights};

/// What no endpoint counts by: mostly it is spelt otherwise. Hosts that proxies look up are not seen here.
pub(super) fn findings(zones: &ZoneWeights, services: &[Arc<ServiceEndpoints>], findings: &mut Vec<Finding>) {
    if zones.is_empty() {
        return;
    }
    let ports = services.iter().flat_map(|service| &service.ports);
    let endpoints = ports.flat_map(|port| port.groups().values().flat_map(|group| group.endpoints()));
    let places: BTreeSet<&Locality> = endpoints.map(|endpoint| &endpoint.locality).collect();
    let used: BTreeSet<&Locality> = places.iter().filter_map(|place| Some(&zones.of(place)?.zone)).collect();
    for said in zones.iter().filter(|said| !used.contains(&said.zone)) {
        let known: BTreeSet<String> = places
            .iter()
            .filter(|place| !place.is_unknown())
            .map(ToString::to_string)
            .collect();
        let known = match known.is_empty() {
            true => "no endpoint says where it runs".to_owned(),
            false => format!("there are {}", super::services::some_of(&known)),
        };
        let finding = Finding::of(Severity::Warning, "", "settings").at(format!("zones.{}", said.zone));
        findings.push(finding.says(
            format!(
                "no endpoint counts by its weight of {}; only hosts that proxies look up may",
                said.weight
            ),
            format!("write the region and zone as the labels of the Nodes have them; {known}"),
        ));
    }
}
