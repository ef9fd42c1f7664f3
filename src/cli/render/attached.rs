//! `members list` and `members status`.

use std::time::SystemTime;

use comfy_table::Cell;

use super::super::Paint;
use super::members::{expires, mood, treated};
use super::table::{Mood, age, cell, plain, table};
use super::v1;

/// The members, a line each.
pub(crate) fn member_list(answer: &v1::ListMembersResponse, now: SystemTime, paint: Paint) -> String {
    if answer.members.is_empty() {
        return "No members yet.\n".to_owned();
    }
    let rows = answer.members.iter().map(|member| {
        [
            plain(&member.name),
            cell(&member.state, mood(&member.state)),
            plain(age(&member.state_since, now)),
            plain(age(&member.confirmed_at, now)),
            plain(&member.network),
            plain(count(member, "Service")),
            plain(member.endpoints),
            plain(format!("{} %", member.weight)),
            expires(member, now),
            plain(&member.server_version),
            plain(&member.source),
        ]
    });
    let headers = [
        "NAME",
        "STATE",
        "SINCE",
        "FRESH",
        "NETWORK",
        "SERVICES",
        "ENDPOINTS",
        "WEIGHT",
        "EXPIRES",
        "VERSION",
        "FROM",
    ];
    table(headers, rows, paint)
}

/// All about each member, one below the other.
pub(crate) fn member_status(answer: &v1::ListMembersResponse, now: SystemTime, paint: Paint) -> String {
    let mut parts: Vec<String> = answer.members.iter().map(|member| one(member, now, paint)).collect();
    if parts.is_empty() {
        parts.push("No members yet.\n".to_owned());
    }
    if !answer.problems.is_empty() {
        parts.push(format!(
            "Problems outside of members:\n  {}\n",
            answer.problems.join("\n  ")
        ));
    }
    parts.join("\n")
}

fn one(member: &v1::Member, now: SystemTime, paint: Paint) -> String {
    let ago = |at: &str| match age(at, now) {
        at if at == "-" => at,
        at => format!("{at} ago"),
    };
    let network = match &*member.network_origin {
        "" => member.network.clone(),
        "namespace" => format!("{} (label of its system namespace)", member.network),
        "default" => format!("{} (the mesh's default)", member.network),
        origin => format!("{} ({origin})", member.network),
    };
    let fresh = match member.heartbeat_ms {
        took if took > 0.0 => format!("{}, heartbeat {took:.0} ms", ago(&member.confirmed_at)),
        _ => ago(&member.confirmed_at),
    };
    let weight = match member.weight {
        0 => cell("0 %: drained, it gets no traffic", Mood::Odd),
        weight => plain(format!("{weight} %")),
    };
    let mut rows = vec![
        [plain("state"), state(member, now)],
        [plain("up to date"), plain(fresh)],
        [plain("when stale"), plain(&member.stale_policy)],
        [plain("network"), plain(network)],
        [plain("weight"), weight],
        [plain("services"), plain(count(member, "Service"))],
        [plain("endpoints"), plain(member.endpoints)],
        [plain("last event"), plain(ago(&member.last_event_at))],
        [plain("credentials end"), expires(member, now)],
        [plain("API server"), plain(&member.server_version)],
        [plain("read from"), plain(&member.source)],
    ];
    if !member.reason.is_empty() {
        rows.insert(1, [plain("because"), cell(&member.reason, Mood::Odd)]);
    }
    let mut text = table([&*member.name, ""], rows, paint);
    if !member.kinds.is_empty() {
        let rows = member.kinds.iter().map(|kind| {
            let mood = match &*kind.state {
                "Connected" => Mood::Good,
                "Stale" => Mood::Bad,
                "NotInstalled" | "NotAllowed" => Mood::Plain,
                _ => Mood::Odd,
            };
            let held_back = if kind.held_back > 0 { Mood::Bad } else { Mood::Plain };
            [
                plain(&kind.kind),
                plain(count(member, &kind.kind)),
                cell(&kind.state, mood),
                plain(age(&kind.since, now)),
                plain(age(&kind.heard_at, now)),
                cell(kind.held_back, held_back),
            ]
        });
        let headers = ["KIND", "OBJECTS", "STATE", "SINCE", "HEARD", "HELD BACK"];
        text += &format!("\n{}", table(headers, rows, paint));
    }
    if !member.problems.is_empty() {
        text += &format!("Problems:\n  {}\n", member.problems.join("\n  "));
        let told = u32::try_from(member.problems.len()).unwrap_or(u32::MAX);
        if let Some(more @ 1..) = member.problem_count.checked_sub(told) {
            text += &format!("  … and {more} more\n");
        }
    }
    text
}

fn state(member: &v1::Member, now: SystemTime) -> Cell {
    let text = match age(&member.state_since, now) {
        _ if member.state == "Stale" => format!("Stale{}", treated(member, now)),
        since if since == "-" => member.state.clone(),
        since => format!("{} for {since}", member.state),
    };
    cell(text, mood(&member.state))
}

fn count(member: &v1::Member, kind: &str) -> u32 {
    member.counts.get(kind).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer() -> v1::ListMembersResponse {
        let counts = [("Service", 2), ("Pod", 4)];
        let west = v1::Member {
            name: "west".to_owned(),
            network: "net1".to_owned(),
            network_origin: "settings".to_owned(),
            state: "Synced".to_owned(),
            counts: counts.map(|(kind, count)| (kind.to_owned(), count)).into(),
            endpoints: 5,
            weight: 100,
            last_event_at: "1970-01-01T00:00:18Z".to_owned(),
            confirmed_at: "1970-01-01T00:00:26Z".to_owned(),
            heartbeat_ms: 3.2,
            stale_policy: "keep".to_owned(),
            server_version: "v1.34.1".to_owned(),
            source: "secret istio-system/istio-remote-secret-west".to_owned(),
            kinds: vec![v1::KindStatus {
                kind: "Pod".to_owned(),
                state: "Connected".to_owned(),
                heard_at: "1970-01-01T00:00:28Z".to_owned(),
                ..v1::KindStatus::default()
            }],
            ..v1::Member::default()
        };
        let east = v1::Member {
            name: "east".to_owned(),
            state: "Stale".to_owned(),
            state_since: "1970-01-01T00:00:20Z".to_owned(),
            stale_policy: "drop after 5m".to_owned(),
            reason: "connection refused".to_owned(),
            problems: vec!["Pod shop/a: no address".to_owned()],
            problem_count: 2,
            ..v1::Member::default()
        };
        v1::ListMembersResponse {
            members: vec![east, west],
            problems: Vec::new(),
        }
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(30)
    }

    #[test]
    fn a_list_has_a_line_for_each() {
        let text = member_list(&answer(), now(), Paint::Plain);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            words[1],
            ["east", "Stale", "10s", "-", "-", "0", "0", "0", "%", "-", "-", "-"]
        );
        assert_eq!(
            words[2].join(" "),
            "west Synced - 4s net1 2 5 100 % - v1.34.1 secret istio-system/istio-remote-secret-west"
        );
        assert_eq!(
            member_list(&v1::ListMembersResponse::default(), now(), Paint::Plain),
            "No members yet.\n"
        );
    }

    #[test]
    fn a_status_tells_all() {
        assert_eq!(
            member_status(&answer(), now(), Paint::Plain),
            "\
east
state             Stale since 10s ago, served as it was (policy: drop after 5m)
because           connection refused
up to date        -
when stale        drop after 5m
network           -
weight            0 %: drained, it gets no traffic
services          0
endpoints         0
last event        -
credentials end   -
API server        -
read from         -
Problems:
  Pod shop/a: no address
  … and 1 more

west
state             Synced
up to date        4s ago, heartbeat 3 ms
when stale        keep
network           net1 (settings)
weight            100 %
services          2
endpoints         5
last event        12s ago
credentials end   -
API server        v1.34.1
read from         secret istio-system/istio-remote-secret-west

KIND   OBJECTS   STATE       SINCE   HEARD   HELD BACK
Pod    4         Connected   -       2s      0
"
        );
    }
}
