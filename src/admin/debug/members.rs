//! Members: what the table holds of each beside how its source fares, as messages. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{v1, words};
use crate::model::{ClusterId, ServiceEndpoints};
use crate::registry::{MemberReport, MemberState};
use crate::table::MemberSummary;

/// All members that the table or a source knows.
pub(super) fn members(
    summaries: &[MemberSummary],
    reports: &[MemberReport],
    services: &[Arc<ServiceEndpoints>],
) -> Vec<v1::Member> {
    let summaries: BTreeMap<_, _> = summaries.iter().map(|summary| (&summary.name, summary)).collect();
    let reports: BTreeMap<_, _> = reports.iter().map(|report| (&report.name, report)).collect();
    let endpoints = endpoints_by_member(services);
    let names: BTreeSet<_> = summaries.keys().chain(reports.keys()).copied().collect();
    let messages = names.into_iter().map(|name| {
        let mut message = v1::Member {
            name: name.to_string(),
            endpoints: words::count(endpoints.get(name).copied().unwrap_or(0)),
            ..v1::Member::default()
        };
        if let Some(summary) = summaries.get(name) {
            held(&mut message, summary);
        }
        match reports.get(name) {
            Some(report) => source(&mut message, report),
            None => {
                message.state = "Stale".to_owned();
                message.reason = "nothing reads it any more".to_owned();
            }
        }
        message
    });
    messages.collect()
}

fn held(message: &mut v1::Member, summary: &MemberSummary) {
    message.network = summary.network.to_string();
    message.network_origin = summary.origin.to_owned();
    message.complete = summary.complete;
    message.counts = summary
        .counts
        .iter()
        .map(|(kind, count)| (kind.to_string(), words::count(*count)))
        .collect();
}

fn source(message: &mut v1::Member, report: &MemberReport) {
    let (state, reason, since) = match &report.state {
        MemberState::Connecting { since, reason } => ("Connecting", reason.as_str(), Some(*since)),
        MemberState::Synced => ("Synced", "", None),
        MemberState::Stale { since, reason } => ("Stale", reason.as_str(), Some(*since)),
    };
    message.state = state.to_owned();
    message.reason = reason.to_owned();
    message.last_event_at = report.last_event.map(words::time).unwrap_or_default();
    message.server_version = report.server_version.clone().unwrap_or_default();
    message.problems = report.problems.iter().map(ToString::to_string).collect();
    message.problem_count = words::count(report.problem_count);
    message.source = report.source.to_string();
    message.state_since = since.map(words::time).unwrap_or_default();
    let expiries = report.credentials.iter();
    message.expiries = expiries
        .map(|expiry| v1::CredentialExpiry {
            credential: expiry.credential.to_string(),
            expires_at: words::time(expiry.at),
        })
        .collect();
}

fn endpoints_by_member(services: &[Arc<ServiceEndpoints>]) -> BTreeMap<&ClusterId, usize> {
    let mut counts: BTreeMap<&ClusterId, usize> = BTreeMap::new();
    for (key, group) in services
        .iter()
        .flat_map(|service| &service.ports)
        .flat_map(|port| port.groups())
    {
        *counts.entry(&key.member).or_default() += group.endpoints().len();
    }
    counts
}
