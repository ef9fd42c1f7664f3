//! Assignments for clients that honour the weights of localities only, and take the endpoints within one in turn.
//!
//! For those what shares a locality has to weigh the same: a gateway with three endpoints behind it, beside pods of the same
//! zone, would get the share of one. So each weight of a locality is a group of its own.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::assignment::{Assignment, LocalityEndpoints, Part, WeightedAddress};
use crate::model::Locality;

/// Groups of equal weight. The first group of a locality, where pods come before gateways, has its name; the others' subzones
/// are numbered, after a character that no label has. Weights are no part of these names: a client connects anew to whatever
/// has another name.
pub(super) fn collect(parts: &[Part<'_>], weights: &[NonZeroU32]) -> Assignment {
    let mut groups: BTreeMap<(&Locality, NonZeroU32), Vec<&Part<'_>>> = BTreeMap::new();
    for (part, weight) in parts.iter().zip(weights) {
        groups.entry((part.locality, *weight)).or_default().push(part);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|((locality, _), parts)| {
        let gateways_only = !parts.iter().any(|part| part.direct);
        (*locality, gateways_only, parts[0].socket)
    });
    let mut localities: Vec<LocalityEndpoints> = Vec::with_capacity(groups.len());
    let mut last = None;
    let mut number = 0;
    for ((locality, weight), parts) in groups {
        number = if last == Some(locality) { number + 1 } else { 0 };
        last = Some(locality);
        let endpoints = parts.into_iter().map(|part| WeightedAddress {
            address: part.socket.ip(),
            port: part.socket.port(),
            weight,
        });
        localities.push(LocalityEndpoints {
            locality: match number {
                0 => locality.clone(),
                _ => Locality::new(
                    locality.region(),
                    locality.zone(),
                    &format!("{}~{number}", locality.subzone()),
                ),
            },
            endpoints: endpoints.collect(),
        });
    }
    localities.sort_by(|a, b| a.locality.cmp(&b.locality));
    Assignment { localities }
}
