//! What is wrong with gateways: networks that no other one reaches, and gateways that can't be used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Finding, Lookups, Severity};
use crate::model::{GatewayOrigin, GatewaySet, NetworkId, ServiceEndpoints, UnusableReason};

/// What the gateways of these networks show.
pub(super) fn findings(
    networks: &BTreeSet<NetworkId>,
    services: &[Arc<ServiceEndpoints>],
    gateways: &GatewaySet,
    lookups: Lookups,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut unknown: BTreeSet<&NetworkId> = BTreeSet::new();
    for unusable in gateways.unusable() {
        if lookups == Lookups::NotMade && matches!(unusable.reason, UnusableReason::Unresolved(..)) {
            unknown.insert(&unusable.source.network);
            continue;
        }
        let object = match &unusable.source.origin {
            GatewayOrigin::Labelled(service) => format!("Service {}/{}", service.namespace, service.name),
            origin => origin.to_string(),
        };
        let member = unusable.source.member.as_ref();
        let member = member.map(ToString::to_string).unwrap_or_default();
        findings.push(Finding::of(Severity::Error, member, object).says(
            format!(
                "it is no gateway of network {}: {}",
                unusable.source.network, unusable.reason
            ),
            "see docs/networks.md for what a gateway needs",
        ));
    }
    if networks.len() < 2 {
        return findings;
    }
    let mut endpoints: BTreeMap<&NetworkId, usize> = BTreeMap::new();
    for (key, group) in services
        .iter()
        .flat_map(|service| &service.ports)
        .flat_map(|port| port.groups())
    {
        *endpoints.entry(&key.network).or_default() += group.endpoints().len();
    }
    for network in networks {
        let behind = endpoints.get(network).copied().unwrap_or_default();
        if behind > 0 && gateways.of(network).is_empty() && !unknown.contains(network) {
            findings.push(Finding::of(Severity::Error, "", format!("network {network}")).says(
                format!("it has no usable gateway; its {behind} endpoints are withheld from other networks"),
                format!("label the Service of an east-west gateway topology.istio.io/network: {network}, or name a gateway in the settings"),
            ));
        }
    }
    findings
}
