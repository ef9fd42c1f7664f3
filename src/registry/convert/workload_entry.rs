//! A `WorkloadEntry`: a virtual machine, or whatever else serves without being a pod.

use serde_json::{Map, Value};

use crate::table::WorkloadEntryRecord;

use super::Wanted;
use super::Wanted::{Fields, Whole};
use super::subject::Subject;
use super::workload::{Names, workload};

/// What is read of one.
pub(super) const WANTED: &[(&str, Wanted)] = &[
    (
        "metadata",
        Fields(&[
            ("name", Whole),
            ("namespace", Whole),
            ("resourceVersion", Whole),
            ("labels", Whole),
        ]),
    ),
    ("spec", Whole),
];

pub(super) fn convert(subject: &mut Subject<'_>) -> Option<WorkloadEntryRecord> {
    let spec: Map<String, Value> = subject.part("spec")?;
    // Labels of the object win over those in its spec, as in Istio.
    let labels = subject.labels();
    Some(WorkloadEntryRecord {
        workload: workload(subject, "spec", &Value::Object(spec), Names::Refused, labels)?,
        name: subject.name().clone(),
    })
}
