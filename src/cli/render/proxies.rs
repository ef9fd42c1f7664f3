//! `get proxies`.

use std::time::SystemTime;

use comfy_table::Cell;

use super::super::Paint;
use super::table::{Mood, age, cell, plain, table};
use super::v1;

/// The proxies, and below what they refused and where they contradict what is known.
pub(crate) fn proxies(answer: &v1::ListProxiesResponse, now: SystemTime, paint: Paint) -> String {
    if answer.proxies.is_empty() {
        return "No proxy is connected.\n".to_owned();
    }
    let rows = answer.proxies.iter().map(|proxy| {
        let viewer = proxy.viewer.clone().unwrap_or_default();
        let network = if viewer.contradiction.is_empty() {
            Mood::Plain
        } else {
            Mood::Odd
        };
        [
            plain(&proxy.id),
            plain(&viewer.member),
            cell(&viewer.network, network),
            plain(&viewer.inbound),
            plain(&proxy.dialect),
            of_type(proxy, "CDS", now),
            of_type(proxy, "EDS", now),
            plain(age(&proxy.connected_at, now)),
            plain(&proxy.peer),
        ]
    });
    let mut text = table(
        [
            "ID",
            "MEMBER",
            "NETWORK",
            "INBOUND",
            "DIALECT",
            "CDS",
            "EDS",
            "CONNECTED",
            "PEER",
        ],
        rows,
        paint,
    );
    for proxy in &answer.proxies {
        for (kind, nack) in proxy.types.iter().filter_map(|kind| Some((kind, kind.nack.as_ref()?))) {
            text += &format!("\n{} refused {}:\n  {}\n", proxy.id, kind.r#type, nack.message.trim());
        }
        let contradiction = proxy.viewer.as_ref().map_or("", |viewer| &viewer.contradiction);
        if !contradiction.is_empty() {
            text += &format!("\n{} {contradiction}\n", proxy.id);
        }
    }
    text
}

fn of_type(proxy: &v1::Proxy, name: &str, now: SystemTime) -> Cell {
    let Some(kind) = proxy.types.iter().find(|kind| kind.r#type == name) else {
        return plain("-");
    };
    match &*kind.state {
        "Synced" => cell(format!("SYNCED ({})", kind.held), Mood::Good),
        "Nack" => cell("NACK", Mood::Bad),
        _ if kind.in_flight_since.is_empty() => cell(format!("{} behind", kind.behind), Mood::Odd),
        _ => cell(
            format!("{} behind for {}", kind.behind, age(&kind.in_flight_since, now)),
            Mood::Odd,
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn kind(name: &str, state: &str, held: u32, behind: u32) -> v1::ProxyType {
        v1::ProxyType {
            r#type: name.to_owned(),
            state: state.to_owned(),
            held,
            behind,
            ..v1::ProxyType::default()
        }
    }

    #[test]
    fn proxies_with_what_they_refused_below() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(300);
        let mut late = kind("EDS", "Behind", 4, 2);
        late.in_flight_since = "1970-01-01T00:04:57Z".to_owned();
        let one = v1::Proxy {
            id: "sidecar~10.1.0.1~a.shop~shop".to_owned(),
            viewer: Some(v1::Viewer {
                member: "west".to_owned(),
                network: "net1".to_owned(),
                inbound: "STRICT 8080+probes".to_owned(),
                contradiction: "says it is on network net1, its pod is on net2".to_owned(),
                ..v1::Viewer::default()
            }),
            dialect: "delta".to_owned(),
            connected_at: "1970-01-01T00:00:00Z".to_owned(),
            peer: "10.1.0.1:4711".to_owned(),
            types: vec![kind("CDS", "Synced", 4, 0), late],
            ..v1::Proxy::default()
        };
        let mut refused = kind("CDS", "Nack", 4, 1);
        refused.nack = Some(v1::Nack {
            message: "duplicate cluster\n".to_owned(),
            version: "v2".to_owned(),
            code: 3,
        });
        let two = v1::Proxy {
            id: "b".to_owned(),
            dialect: "sotw".to_owned(),
            types: vec![refused],
            ..Default::default()
        };
        assert_eq!(
            proxies(
                &v1::ListProxiesResponse {
                    proxies: vec![one, two]
                },
                now,
                Paint::Plain
            ),
            "\
ID                             MEMBER   NETWORK   INBOUND              DIALECT   CDS          EDS               CONNECTED   PEER
sidecar~10.1.0.1~a.shop~shop   west     net1      STRICT 8080+probes   delta     SYNCED (4)   2 behind for 3s   5m          10.1.0.1:4711
b                              -        -         -                    sotw      NACK         -                 -           -

sidecar~10.1.0.1~a.shop~shop says it is on network net1, its pod is on net2

b refused CDS:
  duplicate cluster
"
        );
    }
}
