//! What the kinds of Istio have in common: workloads outside of Kubernetes, selectors, and fields that are not supported.

use serde_json::{Map, Value};

use crate::model::{HostName, Locality, NetworkId};
use crate::table::{Labels, Workload, WorkloadAddress};

use super::Wanted;
use super::Wanted::{Fields, Whole};
use super::pod::{TLS_MODE, locality};
use super::subject::Subject;

/// What is read of an object of these kinds.
pub(super) const WANTED: &[(&str, Wanted)] = &[
    (
        "metadata",
        Fields(&[
            ("name", Whole),
            ("namespace", Whole),
            ("resourceVersion", Whole),
            ("creationTimestamp", Whole),
            ("labels", Whole),
        ]),
    ),
    ("spec", Whole),
];

/// The fields of a workload.
const FIELDS: [&str; 7] = [
    "address",
    "ports",
    "labels",
    "network",
    "locality",
    "weight",
    "serviceAccount",
];

/// What may stand for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// A proxy looks names up.
    Allowed,
    /// Nobody does.
    Refused,
}

/// Reads a workload; `None` and a problem where nothing can be sent to it, or where it can't be told on which network it is.
/// `more` are labels of the object around it, which win.
pub(super) fn workload(
    subject: &mut Subject<'_>,
    place: &str,
    value: &Value,
    names: Names,
    more: Labels,
) -> Option<Workload> {
    subject.only(place, value, &FIELDS);
    let address = address(subject, place, value, names)?;
    let network = match text(subject, place, value, "network").map(|text| NetworkId::new(&text)) {
        None => None,
        Some(Ok(network)) => Some(network),
        Some(Err(error)) => {
            subject.report(
                format!("{place}.network: {error}; it is passed over"),
                "name the network, or remove the field",
            );
            return None;
        }
    };
    let mut labels = labels(subject, &format!("{place}.labels"), value.get("labels"));
    labels.retain(|(key, _)| !more.iter().any(|(other, _)| other == key));
    labels.extend(more);
    labels.sort_unstable();
    let account = text(subject, place, value, "serviceAccount").map(Into::into);
    let mode = labels.iter().find(|(key, _)| **key == *TLS_MODE);
    let mtls = mode.map_or(account.is_some(), |(_, mode)| **mode == *"istio");
    let said = text(subject, place, value, "locality").map(|text| locality(&text));
    Some(Workload {
        address,
        ports: ports(subject, place, value),
        network,
        locality: said.filter(|locality: &Locality| !locality.is_unknown()),
        weight: weight(subject, place, value),
        labels,
        account,
        mtls,
    })
}

fn address(subject: &mut Subject<'_>, place: &str, value: &Value, names: Names) -> Option<WorkloadAddress> {
    let Some(said) = text(subject, place, value, "address") else {
        subject.report(format!("{place} has no address; it is passed over"), "give it one");
        return None;
    };
    if said.starts_with("unix://") {
        subject.report(
            format!("{place}.address {said:?}: sockets of a machine are not supported; it is passed over"),
            "have the workload listen on an IP address",
        );
        return None;
    }
    if names == Names::Refused || said.parse::<std::net::IpAddr>().is_ok() {
        let address = subject.address(&format!("{place}.address"), &said);
        return address.map(WorkloadAddress::Ip);
    }
    match HostName::new(&said) {
        Ok(host) => Some(WorkloadAddress::Host(host)),
        Err(error) => {
            subject.report(
                format!("{place}.address: {error}; it is passed over"),
                "write an IP address or a complete host name",
            );
            None
        }
    }
}

/// By name of a service port.
fn ports(subject: &mut Subject<'_>, place: &str, value: &Value) -> Vec<(std::sync::Arc<str>, u16)> {
    let mut ports = Vec::new();
    for (name, number) in object(subject, &format!("{place}.ports"), value.get("ports")) {
        let at = format!("{place}.ports.{name}");
        if let Some(number) = subject.element::<i64>(&at, number)
            && let Some(number) = subject.port(&at, number)
        {
            ports.push((name.as_str().into(), number));
        }
    }
    ports.sort_unstable();
    ports
}

/// One where it is not said. Zero means the same, as in Istio.
fn weight(subject: &mut Subject<'_>, place: &str, value: &Value) -> u16 {
    let at = format!("{place}.weight");
    let said = value.get("weight").filter(|weight| !weight.is_null());
    let Some(said) = said.and_then(|weight| subject.element::<i64>(&at, weight)) else {
        return 1;
    };
    match u16::try_from(said) {
        Ok(weight) => weight.max(1),
        Err(_) => {
            let taken = if said < 0 { 1 } else { u16::MAX };
            subject.report(
                format!("{at} is {said}; {taken} is taken"),
                "use a number from 1 to 65535",
            );
            taken
        }
    }
}

/// A text field; `None` where it is missing or empty, and with a problem where it is no text.
pub(super) fn text(subject: &mut Subject<'_>, place: &str, value: &Value, key: &str) -> Option<String> {
    let said = value.get(key).filter(|value| !value.is_null())?;
    let text = subject.element::<&str>(&format!("{place}.{key}"), said)?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// A selector; `None` where there is none.
pub(super) fn selector(subject: &mut Subject<'_>, place: &str, value: Option<&Value>) -> Option<Labels> {
    let value = value.filter(|value| !value.is_null())?;
    let labels = labels(subject, place, Some(value));
    let lost = labels.iter().find(|(key, _)| super::pod::is_of_one(key));
    if let Some((key, _)) = lost {
        subject.report(
            format!("{place} asks for {key}, which differs from pod to pod and is not kept; it selects no pod"),
            "select by labels that all pods of the workload have",
        );
    }
    Some(labels)
}

/// Keys and values, sorted. A manifest may have a number or a truth value where a text belongs; it is taken as it is written.
pub(super) fn labels(subject: &mut Subject<'_>, place: &str, value: Option<&Value>) -> Labels {
    let labels = object(subject, place, value).iter().filter_map(|(key, value)| {
        let value = match value {
            Value::Null => return None,
            Value::String(text) => text.as_str().into(),
            other => other.to_string().as_str().into(),
        };
        Some((key.as_str().into(), value))
    });
    let mut labels: Labels = labels.collect();
    labels.sort_unstable();
    labels
}

/// The fields of an object; none where it is missing, and with a problem where it is none.
pub(super) fn object<'v>(subject: &mut Subject<'_>, place: &str, value: Option<&'v Value>) -> &'v Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    match value {
        None | Some(Value::Null) => &NONE,
        Some(Value::Object(fields)) => fields,
        Some(_) => {
            subject.report(
                format!("{place} is no object; it is passed over"),
                "write it as keys with values",
            );
            &NONE
        }
    }
}
