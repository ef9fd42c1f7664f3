//! How many endpoints a viewer is not given, by reason.

use std::collections::BTreeMap;

use super::{Verdict, WithheldReason, explain};
use crate::model::{GatewaySet, PortEndpoints, ViewKey};

/// Counts what is withheld of one port from one viewer. Costs a walk over all endpoints, so it is for those who ask.
#[must_use]
pub fn withheld(viewer: &ViewKey, port: &PortEndpoints, gateways: &GatewaySet) -> BTreeMap<WithheldReason, u32> {
    let mut counts = BTreeMap::new();
    for candidate in explain(viewer, port, gateways).candidates {
        if let Verdict::Withheld(reason) = candidate.verdict {
            *counts.entry(reason).or_default() += 1;
        }
    }
    counts
}
