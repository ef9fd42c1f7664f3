//! Assignments for clients that honour the weights of localities only, and take the endpoints within one in turn.
//!
//! For those what shares a locality has to weigh the same: a gateway with three endpoints behind it, beside pods of the same
//! zone, would get the share of one. So each weight of a locality is a group of its own.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::assignment::{Assignment, LocalityEndpoints, Part, Place, WeightedAddress, places};
use crate::model::Locality;

/// Groups of equal weight. The first group of a locality, where pods come before gateways, has its name; the others' subzones
/// are numbered, after a character that no label has. Weights are no part of these names: a client connects anew to whatever
/// has another name.
pub(super) fn collect(parts: &[Part<'_>], weights: &[NonZeroU32]) -> Assignment {
    let mut groups: BTreeMap<(Place<'_>, NonZeroU32), Vec<&Part<'_>>> = BTreeMap::new();
    for ((part, weight), place) in parts.iter().zip(weights).zip(places(parts)) {
        groups.entry((place, *weight)).or_default().push(part);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|((place, _), parts)| {
        let gateways_only = !parts.iter().any(|part| part.direct);
        (*place, gateways_only, parts[0].socket)
    });
    let mut localities: Vec<LocalityEndpoints> = Vec::with_capacity(groups.len());
    let mut last = None;
    let mut number = 0;
    for ((place, weight), parts) in groups {
        number = if last == Some(place) { number + 1 } else { 0 };
        last = Some(place);
        let (priority, locality) = place;
        let endpoints = parts.into_iter().map(|part| WeightedAddress {
            address: part.socket.ip(),
            port: part.socket.port(),
            weight,
            speaks: part.speaks,
        });
        localities.push(LocalityEndpoints {
            priority,
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
    localities.sort_by(|a, b| (a.priority, &a.locality).cmp(&(b.priority, &b.locality)));
    Assignment { localities }
}
