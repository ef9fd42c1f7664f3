//! `get members`.

use std::time::{Duration, SystemTime};

use super::super::Paint;
use super::table::{Mood, age, cell, left, plain, table};
use super::v1;

/// A credential that ends within this time should be renewed.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// The members, and below what is wrong with them.
pub(crate) fn members(answer: &v1::ListMembersResponse, now: SystemTime, paint: Paint) -> String {
    let headers = [
        "NAME",
        "STATE",
        "FRESH",
        "NETWORK",
        "LAST EVENT",
        "SERVICES",
        "SLICES",
        "ENDPOINTS",
        "PODS",
        "PROBLEMS",
        "EXPIRES",
        "VERSION",
    ];
    let rows = answer.members.iter().map(|member| {
        let count = |kind: &str| member.counts.get(kind).copied().unwrap_or(0);
        let problems = if member.problems.is_empty() {
            Mood::Plain
        } else {
            Mood::Odd
        };
        [
            plain(&member.name),
            cell(&member.state, mood(&member.state)),
            plain(age(&member.confirmed_at, now)),
            plain(&member.network),
            plain(age(&member.last_event_at, now)),
            plain(count("Service")),
            plain(count("EndpointSlice")),
            plain(member.endpoints),
            plain(count("Pod")),
            cell(member.problem_count, problems),
            expires(member, now),
            plain(&member.server_version),
        ]
    });
    let mut text = match answer.members.is_empty() {
        true => "No members yet.\n".to_owned(),
        false => table(headers, rows, paint),
    };
    for member in answer.members.iter().filter(|member| !member.reason.is_empty()) {
        text += &format!(
            "\n{} is {}{}: {}\n",
            member.name,
            member.state.to_lowercase(),
            treated(member, now),
            member.reason
        );
        for kind in member.kinds.iter().filter(|kind| kind.state == "Stale") {
            text += &format!("  {} last heard of {} ago\n", kind.kind, age(&kind.heard_at, now));
        }
    }
    for member in &answer.members {
        match member.weight {
            100 => {}
            0 if member.rank.is_empty() => {}
            0 => text += &format!("\n{} is drained: its weight is 0%\n", member.name),
            weight => text += &format!("\n{} has weight {weight}%\n", member.name),
        }
        for kind in member.kinds.iter().filter(|kind| kind.held_back > 0) {
            text += &format!(
                "\n{}: a list left {} objects of kind {} out; they are kept until a second list says the same\n",
                member.name, kind.held_back, kind.kind
            );
        }
    }
    for member in answer.members.iter().filter(|member| !member.problems.is_empty()) {
        text += &format!("\nProblems in {}:\n", member.name);
        for problem in &member.problems {
            text += &format!("  {problem}\n");
        }
        let told = u32::try_from(member.problems.len()).unwrap_or(u32::MAX);
        if let Some(more @ 1..) = member.problem_count.checked_sub(told) {
            text += &format!("  … and {more} more\n");
        }
    }
    if !answer.problems.is_empty() {
        text += &format!("\nProblems outside of members:\n  {}\n", answer.problems.join("\n  "));
    }
    text
}

/// How long the first of a member's credentials lasts.
pub(super) fn expires(member: &v1::Member, now: SystemTime) -> comfy_table::Cell {
    let times = member.expiries.iter().map(|expiry| expiry.expires_at.as_str());
    let first = times.min().unwrap_or_default();
    let soon = jiff::Timestamp::try_from(now + SOON).unwrap_or_default();
    let mood = match first.parse::<jiff::Timestamp>() {
        Ok(first) if first < soon => Mood::Bad,
        _ => Mood::Plain,
    };
    cell(left(first, now), mood)
}

/// Since when a member is stale, and what became of it.
pub(super) fn treated(member: &v1::Member, now: SystemTime) -> String {
    if member.state != "Stale" {
        return String::new();
    }
    let served = match &*member.rank {
        "Last" => "served last",
        "Out" => "not served",
        _ => "served as it was",
    };
    let since = match &*member.state_since {
        "" => String::new(),
        since => format!(" since {} ago", age(since, now)),
    };
    match &*member.stale_policy {
        "" => since,
        policy => format!("{since}, {served} (policy: {policy})"),
    }
}

pub(super) fn mood(state: &str) -> Mood {
    match state {
        "Synced" => Mood::Good,
        "Connecting" => Mood::Odd,
        _ => Mood::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_with_their_problems_below() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(30);
        let counts = [("Service", 2), ("EndpointSlice", 3), ("Pod", 4)];
        let west = v1::Member {
            name: "west".to_owned(),
            network: "net1".to_owned(),
            state: "Synced".to_owned(),
            complete: true,
            counts: counts.map(|(kind, count)| (kind.to_owned(), count)).into(),
            endpoints: 5,
            last_event_at: "1970-01-01T00:00:18Z".to_owned(),
            confirmed_at: "1970-01-01T00:00:26Z".to_owned(),
            weight: 50,
            kinds: vec![v1::KindStatus {
                kind: "Pod".to_owned(),
                state: "Connected".to_owned(),
                held_back: 7,
                ..v1::KindStatus::default()
            }],
            server_version: "v1.34.1".to_owned(),
            problems: vec!["Pod shop/a: no address; it is passed over".to_owned()],
            problem_count: 3,
            expiries: [
                ("token", "1970-01-05T00:00:00Z"),
                ("certificate-authority", "1990-01-01T00:00:00Z"),
            ]
            .map(|(credential, expires_at)| v1::CredentialExpiry {
                credential: credential.to_owned(),
                expires_at: expires_at.to_owned(),
            })
            .into(),
            ..v1::Member::default()
        };
        let east = v1::Member {
            name: "east".to_owned(),
            state: "Connecting".to_owned(),
            reason: "https://east:6443: connection refused; tried 3 times".to_owned(),
            ..v1::Member::default()
        };
        let north = v1::Member {
            name: "north".to_owned(),
            state: "Stale".to_owned(),
            reason: "no route".to_owned(),
            state_since: "1970-01-01T00:00:10Z".to_owned(),
            stale_policy: "demote after 5s".to_owned(),
            rank: "Last".to_owned(),
            weight: 100,
            kinds: vec![v1::KindStatus {
                kind: "Node".to_owned(),
                state: "Stale".to_owned(),
                heard_at: "1970-01-01T00:00:08Z".to_owned(),
                ..v1::KindStatus::default()
            }],
            ..v1::Member::default()
        };
        let text = members(
            &v1::ListMembersResponse {
                members: vec![east, north, west],
                problems: vec!["a".to_owned()],
            },
            now,
            Paint::Plain,
        );
        assert_eq!(
            text,
            "\
NAME    STATE        FRESH   NETWORK   LAST EVENT   SERVICES   SLICES   ENDPOINTS   PODS   PROBLEMS   EXPIRES   VERSION
east    Connecting   -       -         -            0          0        0           0      0          -         -
north   Stale        -       -         -            0          0        0           0      0          -         -
west    Synced       4s      net1      12s          2          3        5           4      3          3d        v1.34.1

east is connecting: https://east:6443: connection refused; tried 3 times

north is stale since 20s ago, served last (policy: demote after 5s): no route
  Node last heard of 22s ago

west has weight 50%

west: a list left 7 objects of kind Pod out; they are kept until a second list says the same

Problems in west:
  Pod shop/a: no address; it is passed over
  … and 2 more

Problems outside of members:
  a
"
        );
    }
}
