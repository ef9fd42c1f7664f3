//! From what is known of a member to the status of its `Member` object. Pure.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use crate::crd::{Condition, ConditionStatus, MemberResourceStatus};
use crate::model::NetworkId;
use crate::registry::{Answer, Attachment, Expiry, KindState, MemberReport, MemberState, Reason, Verdict};
use crate::table::Kind;

/// A credential that ends within this time should be renewed.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is known of a member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) attachment: &'a Attachment,
    /// How reading it fares; `None` while it is not read because of this object.
    pub(super) report: Option<&'a MemberReport>,
    pub(super) network: Option<&'a NetworkId>,
    pub(super) endpoints: u64,
}

/// The status at a time, `before` being what was written last.
pub(super) fn status(known: Known<'_>, before: Option<&MemberResourceStatus>, now: SystemTime) -> MemberResourceStatus {
    let Known {
        attachment,
        report,
        network,
        endpoints,
    } = known;
    let verdicts = [
        ("Accepted", attachment.accepted.clone()),
        ("Connected", connected(attachment, report)),
        ("CredentialsValid", credentials(attachment, report, now)),
        ("Stale", stale(report)),
        ("Synced", synced(report)),
    ];
    let conditions = verdicts.map(|(kind, verdict)| condition(kind, verdict, attachment.generation, before, now));
    let count = |report: &MemberReport, kind| whole(report.counts.get(&kind).copied().unwrap_or(0));
    MemberResourceStatus {
        observed_generation: attachment.generation,
        conditions: conditions.into(),
        network: report.and(network).map(ToString::to_string),
        server_version: report.and_then(|report| report.server_version.clone()),
        services: report.map_or(0, |report| count(report, Kind::Service)),
        endpoints: report.map_or(0, |_| endpoints),
        counts: report.map_or_else(Default::default, |report| {
            Kind::ALL.map(|kind| (kind.to_string(), count(report, kind))).into()
        }),
        credentials_expire: report.and_then(first).map(|expiry| time(expiry.at)),
        last_event: report.and_then(|report| report.last_event).map(to_the_minute),
    }
}

/// How urgent it is to write a status in place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// They are the same.
    None,
    /// Only when something was last heard differs.
    Events,
    /// Numbers differ.
    Counts,
    /// Something that people and programs wait for.
    Conditions,
}

/// How urgent it is to write `new` where `old` was written.
pub(super) fn urgency(old: &MemberResourceStatus, new: &MemberResourceStatus) -> Urgency {
    if old == new {
        return Urgency::None;
    }
    let without_event = |status: &MemberResourceStatus| MemberResourceStatus {
        last_event: None,
        ..status.clone()
    };
    let without_numbers = |status: &MemberResourceStatus| MemberResourceStatus {
        services: 0,
        endpoints: 0,
        counts: Default::default(),
        ..without_event(status)
    };
    if without_event(old) == without_event(new) {
        Urgency::Events
    } else if without_numbers(old) == without_numbers(new) {
        Urgency::Counts
    } else {
        Urgency::Conditions
    }
}

fn verdict(answer: Answer, reason: Reason, message: impl Into<String>) -> Verdict {
    Verdict {
        answer,
        reason,
        message: message.into(),
    }
}

fn not_read() -> Verdict {
    verdict(
        Answer::Unknown,
        Reason::NotRead,
        "this object is not read; see Accepted",
    )
}

fn connected(attachment: &Attachment, report: Option<&MemberReport>) -> Verdict {
    let Some(report) = report else { return not_read() };
    let why = match &report.state {
        MemberState::Synced => return verdict(Answer::Yes, Reason::Connected, "the API server answers"),
        MemberState::Connecting { reason, .. } | MemberState::Stale { reason, .. } => reason,
    };
    let some = report.kinds.values().any(|kind| kind.state == KindState::Connected);
    match attachment.credentials.answer {
        _ if some => verdict(Answer::Yes, Reason::Connected, "the API server answers"),
        Answer::Yes => verdict(Answer::Yes, Reason::Connected, "the API server answers"),
        Answer::No => verdict(Answer::No, attachment.credentials.reason, why.clone()),
        Answer::Unknown if attachment.credentials.reason == Reason::NotTried => {
            verdict(Answer::Unknown, Reason::Connecting, why.clone())
        }
        Answer::Unknown => verdict(Answer::No, attachment.credentials.reason, why.clone()),
    }
}

fn synced(report: Option<&MemberReport>) -> Verdict {
    let Some(report) = report else { return not_read() };
    match &report.state {
        MemberState::Synced => verdict(Answer::Yes, Reason::Synced, "everything is known and changes arrive"),
        MemberState::Connecting { reason, .. } => verdict(Answer::No, Reason::Connecting, reason.clone()),
        MemberState::Stale { reason, .. } => verdict(Answer::No, Reason::Stale, reason.clone()),
    }
}

fn stale(report: Option<&MemberReport>) -> Verdict {
    let Some(report) = report else { return not_read() };
    match &report.state {
        MemberState::Synced => verdict(Answer::No, Reason::Fresh, "what is known is up to date"),
        MemberState::Connecting { .. } => verdict(Answer::No, Reason::NothingKnown, "nothing of it is known yet"),
        MemberState::Stale { since, reason } => {
            let since = time(*since);
            verdict(
                Answer::Yes,
                Reason::NotReadable,
                format!("what is known is from before {since}, and is kept: {reason}"),
            )
        }
    }
}

fn credentials(attachment: &Attachment, report: Option<&MemberReport>, now: SystemTime) -> Verdict {
    let found = &attachment.credentials;
    let Some(expiry) = report.and_then(first) else {
        return found.clone();
    };
    let left = expiry.at.duration_since(now).ok();
    let (what, at) = (expiry.credential, time(expiry.at));
    match (left, found.answer) {
        (None, Answer::No | Answer::Unknown) if found.reason != Reason::RotationFailed => verdict(
            Answer::No,
            Reason::Expired,
            format!(
                "the {what} expired at {at}; put a new one into the Secret ({})",
                found.message
            ),
        ),
        (Some(left), Answer::Yes) if left < SOON => verdict(
            Answer::Yes,
            Reason::ExpiresSoon,
            format!("the {what} expires at {at}; put a new one into the Secret"),
        ),
        _ => found.clone(),
    }
}

/// The credential that expires first.
fn first(report: &MemberReport) -> Option<&Expiry> {
    report.credentials.iter().min_by_key(|expiry| expiry.at)
}

fn condition(
    kind: &str,
    verdict: Verdict,
    generation: Option<i64>,
    before: Option<&MemberResourceStatus>,
    now: SystemTime,
) -> Condition {
    let status = match verdict.answer {
        Answer::Yes => ConditionStatus::True,
        Answer::No => ConditionStatus::False,
        Answer::Unknown => ConditionStatus::Unknown,
    };
    let mut conditions = before.into_iter().flat_map(|before| &before.conditions);
    let same = conditions.find(|condition| condition.kind == kind && condition.status == status);
    Condition {
        kind: kind.to_owned(),
        status,
        observed_generation: generation,
        last_transition_time: same.map_or_else(|| time(now), |same| same.last_transition_time.clone()),
        reason: verdict.reason.to_string(),
        message: verdict.message,
    }
}

fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// As RFC 3339, to the second.
fn time(at: SystemTime) -> String {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let timestamp = i64::try_from(seconds).ok().and_then(|s| Timestamp::from_second(s).ok());
    timestamp.unwrap_or(Timestamp::MAX).to_string()
}

fn to_the_minute(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    time(SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs() / 60 * 60))
}

#[cfg(test)]
mod tests;
