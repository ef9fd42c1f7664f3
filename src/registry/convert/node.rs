//! A Node: where its pods run, and how it is reached where it is a gateway.

use std::net::IpAddr;

use serde::Deserialize;

use crate::model::Locality;
use crate::table::NodeRecord;

use super::Wanted;
use super::Wanted::{Each, Fields, Whole};
use super::subject::Subject;

/// What is read of one.
pub(super) const WANTED: &[(&str, Wanted)] = &[
    (
        "metadata",
        Fields(&[("name", Whole), ("resourceVersion", Whole), ("labels", Whole)]),
    ),
    (
        "status",
        Fields(&[
            ("addresses", Whole),
            ("conditions", Each(&Fields(&[("type", Whole), ("status", Whole)]))),
        ]),
    ),
];

const REGION: [&str; 2] = [
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/region",
];
const ZONE: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];
const SUBZONE: &str = "topology.istio.io/subzone";

#[derive(Deserialize)]
struct Address<'a> {
    r#type: &'a str,
    address: &'a str,
}

#[derive(Deserialize)]
struct Condition<'a> {
    r#type: &'a str,
    status: &'a str,
}

pub(super) fn convert(subject: &mut Subject<'_>) -> Option<NodeRecord> {
    let first = |keys: &[&str]| {
        keys.iter()
            .filter_map(|key| subject.label(key))
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    };
    let locality = Locality::new(&first(&REGION), &first(&ZONE), &first(&[SUBZONE]));
    let (external, internal) = addresses(subject);
    Some(NodeRecord {
        name: subject.name().name.clone(),
        locality,
        labels: subject.labels(),
        external,
        internal,
        ready: ready(subject),
    })
}

fn addresses(subject: &mut Subject<'_>) -> (Vec<IpAddr>, Vec<IpAddr>) {
    let (mut external, mut internal) = (Vec::new(), Vec::new());
    for (at, value) in subject.list(&["status", "addresses"]).iter().enumerate() {
        let place = format!("status.addresses[{at}]");
        let Some(listed) = subject.element::<Address<'_>>(&place, value) else {
            continue;
        };
        let of_type = match listed.r#type {
            "ExternalIP" => &mut external,
            "InternalIP" => &mut internal,
            _ => continue,
        };
        of_type.extend(subject.address(&format!("{place}.address"), listed.address));
    }
    for addresses in [&mut external, &mut internal] {
        addresses.sort_unstable();
        addresses.dedup();
    }
    (external, internal)
}

/// What no condition is said of counts as ready, as in a manifest.
fn ready(subject: &mut Subject<'_>) -> bool {
    let conditions = subject.list(&["status", "conditions"]).iter().enumerate();
    let mut said = conditions
        .filter_map(|(at, value)| subject.element::<Condition<'_>>(&format!("status.conditions[{at}]"), value));
    said.find(|condition| condition.r#type == "Ready")
        .is_none_or(|condition| condition.status == "True")
}
