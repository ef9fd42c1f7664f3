//! A `PeerAuthentication`: what workloads ask of who connects.

use serde_json::{Map, Value};

use crate::table::{PeerAuthenticationRecord, PeerMode};

use super::subject::Subject;
use super::workload::{object, selector};

pub(super) fn convert(subject: &mut Subject<'_>) -> Option<PeerAuthenticationRecord> {
    let spec: Map<String, Value> = subject.part("spec")?;
    let spec = Value::Object(spec);
    subject.only("spec", &spec, &["selector", "mtls", "portLevelMtls"]);
    let place = "spec.selector";
    // Without the selector it would be for a whole namespace.
    let is_object = |value: Option<&Value>| value.is_none_or(|value| value.is_null() || value.is_object());
    let said = spec.get("selector");
    if !is_object(said) || !is_object(said.and_then(|said| said.get("matchLabels"))) {
        subject.report(
            "spec.selector can't be read, so the object is passed over",
            "write matchLabels as keys with values",
        );
        return None;
    }
    let labels = object(subject, place, spec.get("selector")).get("matchLabels");
    let of = spec.get("selector").cloned().unwrap_or_default();
    subject.only(place, &of, &["matchLabels"]);
    // One that selects by no label is for its whole namespace.
    let selector = selector(subject, "spec.selector.matchLabels", labels).filter(|labels| !labels.is_empty());
    let mut ports = Vec::new();
    for (port, value) in object(subject, "spec.portLevelMtls", spec.get("portLevelMtls")) {
        let place = format!("spec.portLevelMtls.{port}");
        let number = port.parse::<i64>().unwrap_or_default();
        if let Some(number) = subject.port(&place, number) {
            ports.push((number, mode(subject, &place, Some(value))));
        }
    }
    if selector.is_none() && !ports.is_empty() {
        subject.report(
            "spec.portLevelMtls is there without a selector; it is passed over",
            "select the workloads that these ports are of",
        );
        ports.clear();
    }
    ports.sort_unstable();
    Some(PeerAuthenticationRecord {
        mode: mode(subject, "spec.mtls", spec.get("mtls")),
        created: subject.created(),
        name: subject.name().clone(),
        selector,
        ports,
    })
}

/// What is not known is read as the strictest: nobody is let in by a mistake.
fn mode(subject: &mut Subject<'_>, place: &str, value: Option<&Value>) -> PeerMode {
    if let Some(other) = value.filter(|value| !value.is_null() && !value.is_object()) {
        subject.report(
            format!("{place} is {other}; STRICT is taken"),
            "write it as an object with a mode",
        );
        return PeerMode::Strict;
    }
    match object(subject, place, value).get("mode") {
        None | Some(Value::Null) => PeerMode::Unset,
        Some(Value::String(text)) if text == "UNSET" => PeerMode::Unset,
        Some(Value::String(text)) if text == "DISABLE" => PeerMode::Disable,
        Some(Value::String(text)) if text == "PERMISSIVE" => PeerMode::Permissive,
        Some(Value::String(text)) if text == "STRICT" => PeerMode::Strict,
        Some(other) => {
            subject.report(
                format!("{place}.mode is {other}; STRICT is taken"),
                "use UNSET, DISABLE, PERMISSIVE or STRICT",
            );
            PeerMode::Strict
        }
    }
}
