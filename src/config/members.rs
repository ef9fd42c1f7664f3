//! What the settings say of members: where each is read from, and how it is treated.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::allow;
use super::error::{InvalidValue, Position};
use super::reader::{Reader, Section};
use super::settings::{BudgetConfig, MemberConfig, MemberDefaults, MemberSecretsConfig, MemberSource, StaleConfig};
use super::tree::{Scalar, Value};
use super::values;

/// A member may be away for as long before something is done about it.
const LONGEST_STALE: Duration = Duration::from_secs(30 * 24 * 3600);

/// `memberDefaults`.
pub(super) fn defaults(reader: &mut Reader<'_>, root: &Section<'_>, default: MemberDefaults) -> MemberDefaults {
    let section = reader.child(root, "memberDefaults");
    MemberDefaults {
        stale: stale(reader, &section, "memberDefaults.stale", default.stale),
        budget: budget(reader, &section, "memberDefaults.budget", default.budget),
    }
}

/// `stale` of a section; all of it is that of `default` where it is absent.
fn stale(reader: &mut Reader<'_>, parent: &Section<'_>, name: &str, default: StaleConfig) -> StaleConfig {
    if !parent.has("stale") {
        return default;
    }
    let section = reader.section(parent.node("stale"), name, parent.key_path("stale"));
    let wait = |scalar: &Scalar| values::duration(scalar, Duration::from_millis(1)..=LONGEST_STALE);
    let after = reader.value(&section, "after", wait);
    let policy = |scalar: &Scalar| match values::text(scalar)? {
        word @ ("keep" | "demote" | "drop") => Ok(word.to_owned()),
        other => Err(InvalidValue::new(
            format!("{} is no policy", values::shown(other)),
            "write keep, demote or drop",
        )),
    };
    let policy = reader.value(&section, "policy", policy);
    reader.require(&section, "policy", "write keep, demote or drop");
    let Some(policy) = policy else { return default };
    if policy == "keep" {
        if section.has("after") {
            let what = InvalidValue::new(
                "says nothing where what is known is kept",
                "remove it, or write demote or drop",
            );
            reader.error(section.place("after"), section.key_path("after"), what);
        }
        return StaleConfig::Keep;
    }
    reader.require(
        &section,
        "after",
        "say how long the member may be stale before, such as 5m",
    );
    match (policy.as_str(), after) {
        ("demote", Some(after)) => StaleConfig::Demote(after),
        ("drop", Some(after)) => StaleConfig::Drop(after),
        _ => default,
    }
}

/// `budget` of a section; each key that is absent is that of `default`.
fn budget(reader: &mut Reader<'_>, parent: &Section<'_>, name: &str, default: BudgetConfig) -> BudgetConfig {
    let section = reader.section(parent.node("budget"), name, parent.key_path("budget"));
    let objects = |scalar: &Scalar| values::integer(scalar, 1..=1_000_000_000);
    let bytes = |scalar: &Scalar| values::size(scalar, 1 << 20..=1 << 40);
    let events = |scalar: &Scalar| values::integer(scalar, 1..=10_000_000);
    BudgetConfig {
        objects: reader.value(&section, "objects", objects).unwrap_or(default.objects),
        bytes: reader.value(&section, "bytes", bytes).unwrap_or(default.bytes),
        events_per_second: reader
            .value(&section, "eventsPerSecond", events)
            .unwrap_or(default.events_per_second),
    }
}

/// `namespaces` of a member: a list of names, each once.
fn namespaces(reader: &mut Reader<'_>, section: &Section<'_>) -> Vec<String> {
    let mut names = BTreeSet::new();
    for (index, node) in reader.list(section, "namespaces").iter().enumerate() {
        let name = match &node.value {
            Value::Scalar(scalar) => values::dns_label(scalar),
            _ => Err(InvalidValue::new("is no single value", "write the name of a namespace")),
        };
        let name = name.and_then(|name| match names.insert(name.clone()) {
            true => Ok(()),
            false => Err(InvalidValue::new(
                format!("{name:?} is given twice"),
                "remove one of them",
            )),
        });
        if let Err(what) = name {
            reader.error(node.at, format!("{}[{index}]", section.key_path("namespaces")), what);
        }
    }
    names.into_iter().collect()
}

/// `members`; what one of them leaves out is that of `defaults`.
pub(super) fn members(reader: &mut Reader<'_>, root: &Section<'_>, defaults: &MemberDefaults) -> Vec<MemberConfig> {
    let mut first_of_name: BTreeMap<String, Position> = BTreeMap::new();
    let mut members = Vec::new();
    for (index, node) in reader.list(root, "members").iter().enumerate() {
        let section = reader.section(Some(node), "members[]", format!("members[{index}]"));
        reader.require(&section, "name", "give the member a unique name");
        let name = reader.value(&section, "name", values::label_value);
        let at = section.place("name");
        if let Some(name) = &name
            && let Some(first) = first_of_name.get(name)
        {
            let problem = format!("{name:?} is already the member of line {}", first.line);
            reader.error(
                at,
                section.key_path("name"),
                InvalidValue::new(problem, "give each member its own name"),
            );
        }
        let network = reader.value(&section, "network", values::label_value);
        let source = source(reader, &section, &["folder", "kubeconfig"]);
        let weight = |scalar: &Scalar| values::integer(scalar, 0..=1000);
        let weight = reader.value(&section, "weight", weight).unwrap_or(100);
        let namespaces = namespaces(reader, &section);
        let stale = stale(reader, &section, "members[].stale", defaults.stale);
        let budget = budget(reader, &section, "members[].budget", defaults.budget);
        if let Some(name) = name {
            first_of_name.entry(name.clone()).or_insert(at);
            members.extend(source.map(|source| MemberConfig {
                name,
                network,
                source,
                namespaces,
                stale,
                weight: u16::try_from(weight).expect("checked above"),
                budget,
            }));
        }
    }
    members
}

/// `memberSecrets`.
pub(super) fn member_secrets(reader: &mut Reader<'_>, root: &Section<'_>) -> Option<MemberSecretsConfig> {
    if !root.has("memberSecrets") {
        return None;
    }
    let section = reader.child(root, "memberSecrets");
    let namespace = reader.value(&section, "namespace", values::dns_label);
    let allow = allow::allow(reader, &section);
    let source = source(reader, &section, &["kubeconfig"])?;
    Some(MemberSecretsConfig {
        source,
        namespace,
        allow,
    })
}

/// The one source of a member, `inCluster` or one of `paths`; `None` where there is none, several or a wrong one.
fn source(reader: &mut Reader<'_>, section: &Section<'_>, paths: &[&str]) -> Option<MemberSource> {
    let folder = if paths.contains(&"folder") {
        reader.path(section, "folder")
    } else {
        None
    };
    let kubeconfig = reader.path(section, "kubeconfig");
    let context = reader.value(section, "context", |scalar| values::text(scalar).map(str::to_owned));
    let in_cluster = reader.value(section, "inCluster", values::boolean);

    let mut given: Vec<&str> = paths.iter().copied().filter(|key| section.has(key)).collect();
    if section.has("inCluster") && in_cluster != Some(false) {
        given.push("inCluster");
    }
    if section.has("context") && !section.has("kubeconfig") {
        let what = InvalidValue::new("needs a kubeconfig", "add `kubeconfig: FILE`, or remove the context");
        reader.error(section.place("context"), section.key_path("context"), what);
    } else if given.is_empty() && paths.iter().all(|key| section.lacks(key)) {
        let what = InvalidValue::new(
            "has no source",
            format!("add one of `{}` or `inCluster: true`", paths.join("`, `")),
        );
        reader.error(section.at, section.path.clone(), what);
    }
    if given.len() > 1 {
        let problem = format!("has {} sources: {}", given.len(), given.join(", "));
        reader.error(
            section.at,
            section.path.clone(),
            InvalidValue::new(problem, "keep one of them"),
        );
        return None;
    }
    match (folder, kubeconfig, in_cluster) {
        (Some(folder), None, _) => Some(MemberSource::Folder(folder)),
        (None, Some(path), _) => Some(MemberSource::Kubeconfig { path, context }),
        (None, None, Some(true)) => Some(MemberSource::InCluster),
        _ => None,
    }
}
