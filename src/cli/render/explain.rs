//! `explain` and `get view`.

use super::super::Paint;
use super::lists::{health, mtls};
use super::table::{Mood, cell, plain, sockets, table};
use super::v1;

/// Every endpoint with its verdict, then the weights, then what is withheld.
pub(crate) fn explain(answer: &v1::ExplainResponse, paint: Paint) -> String {
    let viewer = answer.viewer.clone().unwrap_or_default();
    let mut text = format!("{}:{} as {}\n", answer.service, answer.port, heading(&viewer));
    text += &contradiction(&viewer);
    text += &asks(&viewer);
    for conflict in &answer.conflicts {
        text += &format!("Members disagree: {conflict}\n");
    }
    for note in &answer.notes {
        text += &format!("Note: {note}\n");
    }
    text += "\n";
    text += &candidates(answer, paint);
    text += &weights(answer, paint);
    text += &withheld(&answer.withheld, paint);
    text
}

/// What is withheld and why; nothing where nothing is.
pub(super) fn withheld(withheld: &[v1::Withheld], paint: Paint) -> String {
    if withheld.is_empty() {
        return String::new();
    }
    let rows = withheld.iter().map(|withheld| {
        [
            plain(withheld.count),
            cell(&withheld.reason_code, Mood::Odd),
            plain(&withheld.reason),
        ]
    });
    format!("\nWithheld:\n{}", table(["COUNT", "REASON", "MEANING"], rows, paint))
}

/// All assignments of a viewer.
pub(crate) fn view(answer: &v1::GetViewResponse, paint: Paint) -> String {
    let viewer = answer.viewer.clone().unwrap_or_default();
    let mut text = format!("As {}\n{}\n", heading(&viewer), contradiction(&viewer));
    let mut rows = Vec::new();
    for assignment in &answer.assignments {
        let name = format!("{}:{}", assignment.service, assignment.port);
        for address in &assignment.addresses {
            rows.push([
                plain(&name),
                plain(&address.address),
                plain(address.weight),
                plain(share(address)),
                plain(&address.locality),
            ]);
        }
        if assignment.addresses.is_empty() {
            rows.push([
                plain(&name),
                cell("none", Mood::Bad),
                plain("-"),
                plain("-"),
                plain("-"),
            ]);
        }
    }
    match rows.is_empty() {
        true => text += "No services.\n",
        false => text += &table(["SERVICE", "ADDRESS", "WEIGHT", "SHARE", "ZONE"], rows, paint),
    }
    text
}

/// Who looks, and where from.
fn heading(viewer: &v1::Viewer) -> String {
    let who = match (&*viewer.proxy, &*viewer.member) {
        ("", "") => "anybody".to_owned(),
        ("", member) => format!("anybody in {member}"),
        (proxy, "") => proxy.to_owned(),
        (proxy, member) => format!("{proxy} in {member}"),
    };
    let origin = match &*viewer.network_origin {
        "metadata" if viewer.proxy.is_empty() => "as asked",
        "metadata" => "by its own word",
        "pod" => "from its pod",
        "member" => "from its member",
        "default" => "the mesh's default",
        other => other,
    };
    format!(
        "{who} on network {} ({origin}), address families {}",
        viewer.network, viewer.families
    )
}

/// What the viewer's own workload asks of who connects to it.
fn asks(viewer: &v1::Viewer) -> String {
    match &*viewer.inbound {
        "" => String::new(),
        inbound => format!("Its workload takes: {inbound}, by {}\n", viewer.inbound_origin),
    }
}

fn contradiction(viewer: &v1::Viewer) -> String {
    match &*viewer.contradiction {
        "" => String::new(),
        // Nobody says so: it was asked for.
        text if viewer.proxy.is_empty() => format!("Note: {text}\n"),
        text => format!("Contradiction: {text}\n"),
    }
}

fn candidates(answer: &v1::ExplainResponse, paint: Paint) -> String {
    if answer.candidates.is_empty() {
        return "No member has an endpoint of this port.\n".to_owned();
    }
    let rows = answer.candidates.iter().map(|candidate| {
        let endpoint = candidate.endpoint.clone().unwrap_or_default();
        let verdict = match &*candidate.verdict {
            "Direct" if candidate.last => cell("direct, last", Mood::Odd),
            "Via" if candidate.last => cell(format!("via {}, last", candidate.reached_at.join(", ")), Mood::Odd),
            "Direct" => cell("direct", Mood::Good),
            "Via" => cell(format!("via {}", candidate.reached_at.join(", ")), Mood::Good),
            other => cell(format!("{}: {}", other.to_lowercase(), candidate.reason), Mood::Odd),
        };
        [
            plain(&endpoint.member),
            plain(&endpoint.network),
            plain(&endpoint.pod),
            plain(sockets(&endpoint.addresses, endpoint.target_port)),
            cell(&endpoint.health, health(&endpoint.health)),
            cell(&endpoint.mtls, mtls(&endpoint.mtls)),
            plain(&endpoint.locality),
            verdict,
        ]
    });
    table(
        [
            "MEMBER", "NETWORK", "POD", "ADDRESS", "HEALTH", "MTLS", "ZONE", "VERDICT",
        ],
        rows,
        paint,
    )
}

fn weights(answer: &v1::ExplainResponse, paint: Paint) -> String {
    if answer.assignment.is_empty() {
        return "\nThis viewer gets no address of it.\n".to_owned();
    }
    let rows = answer.assignment.iter().map(|address| {
        [
            plain(&address.address),
            plain(address.weight),
            plain(share(address)),
            plain(&address.locality),
            plain(&address.how),
        ]
    });
    format!(
        "\nWeights:\n{}",
        table(["ADDRESS", "WEIGHT", "SHARE", "ZONE", "HOW"], rows, paint)
    )
}

fn share(address: &v1::WeightedAddress) -> String {
    match address.priority {
        0 => format!("{:.1} %", address.share * 100.0),
        // Only while nothing before it is ready.
        _ => "last".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(network: &str, member: &str, address: &str, health: &str) -> v1::Endpoint {
        v1::Endpoint {
            network: network.to_owned(),
            member: member.to_owned(),
            addresses: vec![address.to_owned()],
            target_port: 8080,
            health: health.to_owned(),
            mtls: "Yes".to_owned(),
            pod: format!("shop/{member}"),
            ..v1::Endpoint::default()
        }
    }

    fn weighted(address: &str, weight: u32, share: f64, how: &str) -> v1::WeightedAddress {
        v1::WeightedAddress {
            address: address.to_owned(),
            weight,
            share,
            locality: "r1".to_owned(),
            how: how.to_owned(),
            priority: 0,
        }
    }

    fn answer() -> v1::ExplainResponse {
        let candidate = |endpoint, verdict: &str, reached_at: &[&str], reason: &str| v1::Candidate {
            endpoint: Some(endpoint),
            verdict: verdict.to_owned(),
            reached_at: reached_at.iter().map(ToString::to_string).collect(),
            reason: reason.to_owned(),
            ..v1::Candidate::default()
        };
        v1::ExplainResponse {
            viewer: Some(v1::Viewer {
                proxy: "sidecar~10.1.0.9~a.shop~shop".to_owned(),
                member: "west".to_owned(),
                network: "net1".to_owned(),
                network_origin: "metadata".to_owned(),
                families: "v4".to_owned(),
                contradiction: "says it is on network net1, its pod is on net2".to_owned(),
                inbound: "STRICT 8080=DISABLE".to_owned(),
                inbound_origin: "PeerAuthentication shop/web".to_owned(),
            }),
            service: "web.shop".to_owned(),
            port: 80,
            candidates: vec![
                candidate(
                    endpoint("net1", "west", "10.1.0.1", "Ready"),
                    "Direct",
                    &["10.1.0.1:8080"],
                    "",
                ),
                candidate(
                    endpoint("net2", "east", "10.2.0.1", "Ready"),
                    "Via",
                    &["203.0.113.7:15443"],
                    "",
                ),
                candidate(
                    endpoint("net3", "north", "10.3.0.1", "Ready"),
                    "Withheld",
                    &[],
                    "network net3 has no usable gateway",
                ),
            ],
            assignment: vec![
                weighted("10.1.0.1:8080", 1, 0.25, "1 ready in west = 1"),
                weighted("203.0.113.7:15443", 3, 0.75, "3 ready in east on net2 = 3"),
            ],
            withheld: vec![v1::Withheld {
                reason_code: "no_gateway".to_owned(),
                reason: "network net3 has no usable gateway".to_owned(),
                count: 1,
            }],
            notes: vec!["west is drained: its weight is 0%".to_owned()],
            conflicts: vec!["headless: false, true (west wins over east)".to_owned()],
        }
    }

    #[test]
    fn an_explanation_tells_all() {
        assert_eq!(
            explain(&answer(), Paint::Plain),
            "\
web.shop:80 as sidecar~10.1.0.9~a.shop~shop in west on network net1 (by its own word), address families v4
Contradiction: says it is on network net1, its pod is on net2
Its workload takes: STRICT 8080=DISABLE, by PeerAuthentication shop/web
Members disagree: headless: false, true (west wins over east)
Note: west is drained: its weight is 0%

MEMBER   NETWORK   POD          ADDRESS         HEALTH   MTLS   ZONE   VERDICT
west     net1      shop/west    10.1.0.1:8080   Ready    Yes    -      direct
east     net2      shop/east    10.2.0.1:8080   Ready    Yes    -      via 203.0.113.7:15443
north    net3      shop/north   10.3.0.1:8080   Ready    Yes    -      withheld: network net3 has no usable gateway

Weights:
ADDRESS             WEIGHT   SHARE    ZONE   HOW
10.1.0.1:8080       1        25.0 %   r1     1 ready in west = 1
203.0.113.7:15443   3        75.0 %   r1     3 ready in east on net2 = 3

Withheld:
COUNT   REASON       MEANING
1       no_gateway   network net3 has no usable gateway
"
        );
    }

    #[test]
    fn nothing_is_said_as_nothing() {
        let viewer = v1::Viewer {
            network: "net9".to_owned(),
            network_origin: "metadata".to_owned(),
            families: "dual".to_owned(),
            ..v1::Viewer::default()
        };
        let empty = v1::ExplainResponse {
            service: "a.b".to_owned(),
            port: 1,
            viewer: Some(viewer),
            ..Default::default()
        };
        assert_eq!(
            explain(&empty, Paint::Plain),
            "\
a.b:1 as anybody on network net9 (as asked), address families dual

No member has an endpoint of this port.

This viewer gets no address of it.
"
        );
    }

    #[test]
    fn a_view_lists_every_address() {
        let v1::ExplainResponse {
            viewer,
            assignment: addresses,
            ..
        } = answer();
        let web = v1::Assignment {
            service: "web.shop".to_owned(),
            port: 80,
            addresses,
            ..v1::Assignment::default()
        };
        let idle = v1::Assignment {
            service: "idle.shop".to_owned(),
            port: 81,
            ..v1::Assignment::default()
        };
        let text = view(
            &v1::GetViewResponse {
                viewer,
                assignments: vec![idle, web],
            },
            Paint::Plain,
        );
        assert!(
            text.starts_with("As sidecar~10.1.0.9~a.shop~shop in west on network net1"),
            "{text}"
        );
        assert!(
            text.ends_with(
                "\
SERVICE        ADDRESS             WEIGHT   SHARE    ZONE
idle.shop:81   none                -        -        -
web.shop:80    10.1.0.1:8080       1        25.0 %   r1
web.shop:80    203.0.113.7:15443   3        75.0 %   r1
"
            ),
            "{text}"
        );
    }
}
