//! What an Envoy holds, as its own admin interface tells: the clusters that came over ADS, and their hosts.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::Value;

/// The active clusters that came over CDS, by name, each with its hosts in order. Clusters of the bootstrap are left out,
/// and so are those that still warm.
pub type Clusters = BTreeMap<String, Vec<Host>>;

/// One endpoint of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host {
    /// 0 is the highest.
    pub priority: u32,
    /// Of the locality; empty if it has none. So with the next two.
    pub region: String,
    /// Of the locality.
    pub zone: String,
    /// Of the locality.
    pub sub_zone: String,
    /// The IP address, or the path of a Unix socket.
    pub address: String,
    /// The port; 0 with a Unix socket.
    pub port: u16,
    /// The weight within its locality. The locality's own weight is only in `config_dump("dynamic_endpoint_configs")`.
    pub weight: u32,
    /// What EDS said: `HEALTHY`, `UNHEALTHY`, `DRAINING`, `DEGRADED`, ….
    pub eds_health: String,
    /// What Envoy found out itself, for instance `failed_outlier_check`, sorted.
    pub health_flags: Vec<String>,
}

/// Reads the answer of `/clusters?format=json` (Envoy's `admin.v3.Clusters`, fields with default values left out).
pub(super) fn parse(json: &str) -> anyhow::Result<Clusters> {
    let answer: Value = serde_json::from_str(json).context("/clusters is no JSON")?;
    let statuses = answer["cluster_statuses"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let added = statuses.iter().filter(|status| status["added_via_api"] == true);
    added
        .map(|status| Ok((text(&status["name"]), hosts(status)?)))
        .collect()
}

fn hosts(status: &Value) -> anyhow::Result<Vec<Host>> {
    let statuses = status["host_statuses"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut hosts = statuses.iter().map(host).collect::<anyhow::Result<Vec<_>>>()?;
    hosts.sort();
    Ok(hosts)
}

fn host(status: &Value) -> anyhow::Result<Host> {
    let socket = &status["address"]["socket_address"];
    let pipe = &status["address"]["pipe"]["path"];
    let locality = &status["locality"];
    let health = &status["health_status"];
    let mut health_flags: Vec<String> = health
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| **value == true)
        .map(|(name, _)| name.clone())
        .collect();
    health_flags.sort();
    Ok(Host {
        priority: number(&status["priority"])?,
        region: text(&locality["region"]),
        zone: text(&locality["zone"]),
        sub_zone: text(&locality["sub_zone"]),
        address: text(if pipe.is_string() { pipe } else { &socket["address"] }),
        port: u16::try_from(number(&socket["port_value"])?).context("a port above 65535")?,
        weight: number(&status["weight"])?,
        eds_health: text(&health["eds_health_status"]),
        health_flags,
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> anyhow::Result<u32> {
    match value {
        Value::Null => Ok(0),
        value => value
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .with_context(|| format!("expected a number, found {value}")),
    }
}

#[test]
fn an_answer_of_a_real_envoy_is_read() {
    // Envoy 1.40.0, statistics left out.
    let answer = r#"{ "cluster_statuses": [
        { "name": "xds", "host_statuses": [] },
        { "name": "outbound|80||x", "added_via_api": true, "host_statuses": [
            { "address": { "socket_address": { "address": "10.0.0.2", "port_value": 15443 } },
              "health_status": { "eds_health_status": "UNHEALTHY", "failed_outlier_check": true },
              "weight": 7, "priority": 1, "locality": { "region": "r", "zone": "y", "sub_zone": "s" } },
            { "address": { "pipe": { "path": "/tmp/x" } },
              "health_status": { "eds_health_status": "HEALTHY" }, "weight": 1, "locality": {} } ] } ] }"#;
    let held = parse(answer).unwrap();
    assert_eq!(held.keys().collect::<Vec<_>>(), ["outbound|80||x"]);
    let [socket, far] = held["outbound|80||x"].as_slice() else {
        panic!("two hosts, the nearest first: {held:?}")
    };
    assert_eq!((socket.address.as_str(), socket.port, socket.weight), ("/tmp/x", 0, 1));
    assert_eq!(far.priority, 1);
    assert_eq!(
        (far.region.as_str(), far.zone.as_str(), far.sub_zone.as_str()),
        ("r", "y", "s")
    );
    assert_eq!((far.address.as_str(), far.port, far.weight), ("10.0.0.2", 15443, 7));
    assert_eq!(far.eds_health, "UNHEALTHY");
    assert_eq!(far.health_flags, ["failed_outlier_check"]);

    assert_eq!(parse("{}").unwrap(), Clusters::new());
    let error = parse(&answer.replace("15443", "99999")).unwrap_err();
    assert_eq!(error.to_string(), "a port above 65535");
}
