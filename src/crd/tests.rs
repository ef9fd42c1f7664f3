//! The definition and the types say the same.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

fn definition() -> Value {
    serde_saphyr::from_str(include_str!("../../config/kubernetes/crds.yaml")).expect("one YAML document")
}

/// The paths of all fields that a schema knows.
fn of_schema(schema: &Value, path: &str, paths: &mut BTreeSet<String>) {
    if let Some(items) = schema.get("items") {
        of_schema(items, &format!("{path}[]"), paths);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        assert!(field.get("type").is_some(), "{path} has no type");
        of_schema(field, &path, paths);
        paths.insert(path);
    }
}

/// The paths of all fields that a value has.
fn of_value(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if path != ".counts" => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                of_value(value, &path, paths);
                paths.insert(path);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| of_value(item, &format!("{path}[]"), paths)),
        _ => {}
    }
}

fn full_spec() -> MemberSpec {
    MemberSpec {
        secret_ref: SecretRef {
            name: "west".to_owned(),
            key: Some("west".to_owned()),
        },
        network: Some("net2".to_owned()),
        stale: Some(StaleSpec {
            policy: StalePolicySpec::Demote,
            after: Some("10m".to_owned()),
        }),
        namespaces: vec!["shop".to_owned()],
        weight: Some(50),
        budget: Some(BudgetSpec {
            objects: Some(1),
            bytes: Some(2),
            events_per_second: Some(3),
        }),
    }
}

fn full_status() -> MemberResourceStatus {
    let some = || Some("x".to_owned());
    MemberResourceStatus {
        observed_generation: Some(1),
        conditions: vec![Condition {
            kind: "Synced".to_owned(),
            status: ConditionStatus::Unknown,
            observed_generation: Some(1),
            last_transition_time: "2026-01-01T00:00:00Z".to_owned(),
            reason: "Reading".to_owned(),
            message: String::new(),
        }],
        network: some(),
        server_version: some(),
        services: 1,
        endpoints: 2,
        counts: [("Pod".to_owned(), 3)].into(),
        credentials_expire: some(),
        last_event: some(),
    }
}

#[test]
fn the_schema_has_exactly_the_fields_of_the_types() {
    let schema = &definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    for (part, value) in [
        ("spec", serde_json::to_value(full_spec()).unwrap()),
        ("status", serde_json::to_value(full_status()).unwrap()),
    ] {
        let (mut known, mut used) = (BTreeSet::new(), BTreeSet::new());
        of_schema(&schema["properties"][part], "", &mut known);
        of_value(&value, "", &mut used);
        assert_eq!(known, used, "{part}");
    }
}

#[test]
fn names_of_the_definition_are_the_constants() {
    let definition = definition();
    assert_eq!(definition["metadata"]["name"], format!("{MEMBER_PLURAL}.{GROUP}"));
    assert_eq!(definition["spec"]["group"], GROUP);
    assert_eq!(definition["spec"]["names"]["kind"], MEMBER_KIND);
    assert_eq!(definition["spec"]["names"]["plural"], MEMBER_PLURAL);
    assert_eq!(definition["spec"]["versions"][0]["name"], VERSION);
}

#[test]
fn a_short_spec_is_enough_and_what_is_unknown_is_passed_over() {
    let spec: MemberSpec = serde_json::from_value(json!({"secretRef": {"name": "west"}, "later": 1})).unwrap();
    assert_eq!(spec.secret_ref.name, "west");
    assert_eq!(
        serde_json::to_value(&spec).unwrap(),
        json!({"secretRef": {"name": "west"}})
    );
    let policies = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        ["stale"]["properties"]["policy"]["enum"]
        .clone();
    let ours = [StalePolicySpec::Keep, StalePolicySpec::Demote, StalePolicySpec::Drop];
    assert_eq!(policies, serde_json::to_value(ours).unwrap());
}
