//! How many endpoints a viewer is not given, by reason.

use std::collections::BTreeMap;

use super::WithheldReason;
use super::explain::reached;
use super::horizon::way;
use crate::model::{GatewaySet, PortEndpoints, ViewKey};

/// Counts what is withheld of one port from one viewer: a look at each endpoint, so it is for those who ask.
#[must_use]
pub fn withheld(viewer: &ViewKey, port: &PortEndpoints, gateways: &GatewaySet) -> BTreeMap<WithheldReason, u32> {
    let mut counts = BTreeMap::new();
    for (key, group) in port.groups() {
        let way = way(viewer, port, key, gateways);
        let reasons = group.endpoints().iter();
        for reason in reasons.filter_map(|endpoint| reached(viewer, port, endpoint, &way).err()) {
            *counts.entry(reason).or_default() += 1;
        }
    }
    counts
}
