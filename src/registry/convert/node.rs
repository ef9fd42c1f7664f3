//! A Node: where its pods run.

use crate::model::Locality;
use crate::table::NodeRecord;

use super::Wanted;
use super::Wanted::{Fields, Whole};
use super::subject::Subject;

/// What is read of one.
pub(super) const WANTED: &[(&str, Wanted)] = &[(
    "metadata",
    Fields(&[("name", Whole), ("resourceVersion", Whole), ("labels", Whole)]),
)];

const REGION: [&str; 2] = [
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/region",
];
const ZONE: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];
const SUBZONE: &str = "topology.istio.io/subzone";

pub(super) fn convert(subject: &mut Subject<'_>) -> Option<NodeRecord> {
    let first = |keys: &[&str]| {
        keys.iter()
            .filter_map(|key| subject.label(key))
            .find(|text| !text.is_empty())
            .unwrap_or_default()
    };
    Some(NodeRecord {
        name: subject.name().name.clone(),
        locality: Locality::new(&first(&REGION), &first(&ZONE), &first(&[SUBZONE])),
    })
}
