//! Which endpoints come first, which are taken out because they fail, and who sees services that say nothing about it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::error::InvalidValue;
use super::reader::{Reader, Section};
use super::tree::{Node, Scalar, Value};
use super::values;

/// `traffic.locality`: which endpoints come first of services that say nothing about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalityConfig {
    /// `mode`.
    pub mode: LocalityChoice,
    /// `order`: what the nearest share with a proxy.
    pub order: Vec<SharedChoice>,
    /// `failover`: where proxies of a region go first of what is in another, in the order of the file.
    pub failover: Vec<FailoverConfig>,
}

/// `traffic.locality.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalityChoice {
    /// All are alike.
    Off,
    /// The nearest first, others where those are not there or fail.
    Failover,
}

/// One of `traffic.locality.order`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedChoice {
    /// `network`.
    Network,
    /// `region`.
    Region,
    /// `zone`.
    Zone,
    /// `subzone`.
    Subzone,
}

/// One of `traffic.locality.failover`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailoverConfig {
    /// The region of the proxies.
    pub from: String,
    /// The regions that they go to first.
    pub to: Vec<String>,
}

/// One of `zones`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZoneConfig {
    /// `weight`: what each endpoint there counts, in percent of others; at most 1000, 100 where `None`.
    pub weight: Option<u16>,
}

/// `traffic.outlier`: when a sidecar takes an endpoint out that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierConfig {
    /// `failurePercentage`: it goes where so much of what it was asked failed; 0 for never.
    pub failure_percentage: u32,
    /// `minimumRequests`: how many there must have been within an interval.
    pub minimum_requests: u32,
    /// `consecutive`: it goes too after so many failures one after the other, however long that took; 0 for never.
    pub consecutive: u32,
    /// `interval`: how often that is looked at.
    pub interval: Duration,
    /// `ejection`: for how long it goes, times how often it went.
    pub ejection: Duration,
}

impl Default for LocalityConfig {
    fn default() -> Self {
        Self {
            mode: LocalityChoice::Off,
            order: vec![SharedChoice::Region, SharedChoice::Zone, SharedChoice::Subzone],
            failover: Vec::new(),
        }
    }
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            failure_percentage: 90,
            minimum_requests: 5,
            consecutive: 20,
            interval: Duration::from_secs(2),
            ejection: Duration::from_secs(15),
        }
    }
}

pub(super) fn locality(reader: &mut Reader<'_>, traffic: &Section<'_>) -> LocalityConfig {
    let default = LocalityConfig::default();
    let section = section(reader, traffic, "locality", "traffic.locality");
    let mode = |scalar: &Scalar| {
        let choices = [("off", LocalityChoice::Off), ("failover", LocalityChoice::Failover)];
        values::one_of(scalar, &choices)
    };
    let mut failover: Vec<FailoverConfig> = Vec::new();
    for (index, node) in reader.list(&section, "failover").iter().enumerate() {
        let path = format!("{}[{index}]", section.key_path("failover"));
        let entry = reader.section(Some(node), "traffic.locality.failover[]", path);
        for key in ["from", "to"] {
            reader.require(&entry, key, "write `{from: REGION, to: [REGION, …]}`");
        }
        let from = reader.value(&entry, "from", |scalar| values::text(scalar).map(str::to_owned));
        let to = texts(reader, &entry, "to", |text| Ok(text.to_owned()));
        let Some(from) = from else { continue };
        if failover.iter().any(|other| other.from == from) {
            let what = InvalidValue::new(
                format!("region {from} is there already"),
                "write all of its regions in one `to`",
            );
            reader.error(node.at, entry.key_path("from"), what);
        } else {
            failover.push(FailoverConfig { from, to });
        }
    }
    let order = texts(reader, &section, "order", |text| match text {
        "network" => Ok(SharedChoice::Network),
        "region" => Ok(SharedChoice::Region),
        "zone" => Ok(SharedChoice::Zone),
        "subzone" => Ok(SharedChoice::Subzone),
        _ => Err(InvalidValue::new(
            format!("{} is nothing that endpoints share", values::shown(text)),
            "use network, region, zone and subzone",
        )),
    });
    LocalityConfig {
        mode: reader.value(&section, "mode", mode).unwrap_or(default.mode),
        order: if section.has("order") { order } else { default.order },
        failover,
    }
}

pub(super) fn outlier(reader: &mut Reader<'_>, traffic: &Section<'_>) -> OutlierConfig {
    let default = OutlierConfig::default();
    let section = section(reader, traffic, "outlier", "traffic.outlier");
    let number = |most: usize| {
        move |scalar: &Scalar| {
            let number = values::integer(scalar, 0..=most)?;
            Ok(u32::try_from(number).expect("it is in the range"))
        }
    };
    let wait = |scalar: &Scalar| values::duration(scalar, Duration::from_millis(100)..=Duration::from_secs(3600));
    OutlierConfig {
        failure_percentage: reader
            .value(&section, "failurePercentage", number(100))
            .unwrap_or(default.failure_percentage),
        minimum_requests: reader
            .value(&section, "minimumRequests", number(1_000_000))
            .unwrap_or(default.minimum_requests),
        consecutive: reader
            .value(&section, "consecutive", number(1_000_000))
            .unwrap_or(default.consecutive),
        interval: reader.value(&section, "interval", wait).unwrap_or(default.interval),
        ejection: reader.value(&section, "ejection", wait).unwrap_or(default.ejection),
    }
}

/// `zones`: regions and zones, by `REGION` or `REGION/ZONE`.
pub(super) fn zones(reader: &mut Reader<'_>, root: &Section<'_>) -> BTreeMap<(String, String), ZoneConfig> {
    let mut zones = BTreeMap::new();
    for (name, at, node) in reader.entries(root, "zones") {
        let path = format!("zones.{name}");
        let (region, zone) = name.split_once('/').unwrap_or((name, ""));
        let is_right = |part: &str| part.is_empty() || values::is_label_value(part);
        if name.trim_matches('/').is_empty() || name.ends_with('/') || ![region, zone].into_iter().all(is_right) {
            let what = InvalidValue::new(
                format!("{} names no zone", values::shown(name)),
                "write REGION/ZONE, or REGION for all of its zones, as in the labels topology.kubernetes.io/region and zone",
            );
            reader.error(at, path.clone(), what);
        }
        let section = reader.section(Some(node).filter(|node| !node.is_null()), "zones.NAME", path);
        let weight = reader.value(&section, "weight", super::networks::weight);
        zones.insert((region.to_owned(), zone.to_owned()), ZoneConfig { weight });
    }
    zones
}

/// `mesh.exportTo`: namespaces, `*`, `.`; nobody where it is an empty list.
pub(super) fn export_to(reader: &mut Reader<'_>, mesh: &Section<'_>, default: BTreeSet<String>) -> BTreeSet<String> {
    let read = texts(reader, mesh, "exportTo", |text| match text {
        "*" | "." => Ok(text.to_owned()),
        name if values::is_dns_label(name) => Ok(name.to_owned()),
        other => Err(InvalidValue::new(
            format!("{} is no namespace", values::shown(other)),
            "use \"*\" (all), \".\" (a Service's own), or names of namespaces; [] for nobody",
        )),
    });
    if mesh.has("exportTo") {
        read.into_iter().collect()
    } else {
        default
    }
}

/// `mesh.clusterLocal`: `NAME.NAMESPACE`, or `*.NAMESPACE`.
pub(super) fn cluster_local(
    reader: &mut Reader<'_>,
    mesh: &Section<'_>,
    default: BTreeSet<String>,
) -> BTreeSet<String> {
    let read = texts(reader, mesh, "clusterLocal", |text| {
        let parts = text.split_once('.');
        let is_right = |name: &str| name == "*" || values::is_dns_label(name);
        match parts {
            Some((name, namespace)) if is_right(name) && values::is_dns_label(namespace) => Ok(text.to_owned()),
            _ => Err(InvalidValue::new(
                format!("{} names no service", values::shown(text)),
                "write NAME.NAMESPACE, or \"*.NAMESPACE\" for all of one",
            )),
        }
    });
    if mesh.has("clusterLocal") {
        read.into_iter().collect()
    } else {
        default
    }
}

fn section<'t>(reader: &mut Reader<'_>, parent: &Section<'t>, key: &str, name: &str) -> Section<'t> {
    let node: Option<&'t Node> = parent.node(key).filter(|node| !node.is_null());
    reader.section(node, name, parent.key_path(key))
}

/// The texts of a list, each read by `parse`.
fn texts<T>(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    key: &str,
    parse: impl Fn(&str) -> Result<T, InvalidValue>,
) -> Vec<T> {
    let mut read = Vec::new();
    for (index, node) in reader.list(section, key).iter().enumerate() {
        let parsed = match &node.value {
            Value::Scalar(scalar) => values::text(scalar).and_then(&parse),
            _ => Err(InvalidValue::new("is no text", "write one in a line")),
        };
        match parsed {
            Ok(value) => read.push(value),
            Err(what) => reader.error(node.at, format!("{}[{index}]", section.key_path(key)), what),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn every_key_takes_effect_and_mistakes_say_what_is_expected() {
        let text = "
mesh: {exportTo: ['.', tools], clusterLocal: [db.shop, '*.ops']}
zones: {r1: {weight: 50}, r1/a: {weight: 0}, /z: {}}
traffic:
  locality: {mode: failover, order: [network, zone], failover: [{from: r1, to: [r2, r3]}]}
  outlier: {failurePercentage: 0, minimumRequests: 3, consecutive: 0, interval: 1s, ejection: 1m}
";
        let config = Config::from_yaml(text, "f").unwrap();
        assert_eq!(config.mesh.export_to, [".".to_owned(), "tools".to_owned()].into());
        assert_eq!(config.mesh.cluster_local.len(), 2);
        let zones = config.zones.iter();
        let zones: Vec<_> = zones
            .map(|((region, zone), said)| (region.as_str(), zone.as_str(), said.weight))
            .collect();
        assert_eq!(zones, [("", "z", None), ("r1", "", Some(50)), ("r1", "a", Some(0))]);
        let locality = LocalityConfig {
            mode: LocalityChoice::Failover,
            order: vec![SharedChoice::Network, SharedChoice::Zone],
            failover: vec![FailoverConfig {
                from: "r1".to_owned(),
                to: vec!["r2".to_owned(), "r3".to_owned()],
            }],
        };
        assert_eq!(config.traffic.locality, locality);
        let outlier = config.traffic.outlier;
        assert_eq!((outlier.failure_percentage, outlier.consecutive), (0, 0));
        assert_eq!((outlier.interval.as_secs(), outlier.ejection.as_secs()), (1, 60));
        for (wrong, says) in [
            ("mesh: {exportTo: [A]}", "is no namespace"),
            ("mesh: {clusterLocal: [db]}", "NAME.NAMESPACE"),
            ("traffic: {locality: {mode: near}}", "use one of: off, failover"),
            (
                "traffic: {locality: {order: [rack]}}",
                "network, region, zone and subzone",
            ),
            ("traffic: {locality: {failover: [{from: a}]}}", "is missing"),
            (
                "traffic: {locality: {failover: [{from: a, to: [b]}, {from: a, to: [c]}]}}",
                "is there already",
            ),
            ("traffic: {outlier: {failurePercentage: 101}}", "out of range"),
            ("traffic: {outlier: {interval: 0s}}", "out of range"),
            ("networks: {n: {weight: 1001}}", "out of range"),
            ("zones: {r1: {weight: 1001}}", "out of range"),
            ("zones: {r1/a/rack: {weight: 0}}", "names no zone"),
            ("zones: {r1/: {weight: 0}}", "names no zone"),
            ("zones: {r1: {wieght: 0}}", "did you mean `zones.NAME.weight`"),
        ] {
            let errors = Config::from_yaml(wrong, "f").expect_err(wrong).to_string();
            assert!(errors.contains(says), "{wrong}: {errors}");
        }
    }
}
