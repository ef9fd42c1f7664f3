//! A Namespace: the network of a member, where it is the member's system namespace, and the terms of Services in it.

use crate::table::NamespaceRecord;

use super::Wanted;
use super::Wanted::{Fields, Whole};
use super::subject::{Label, NETWORK_LABEL, Subject};
use super::terms::{self, EXPORT_TO, TRAFFIC_DISTRIBUTION};

/// What is read of one.
pub(super) const WANTED: &[(&str, Wanted)] = &[(
    "metadata",
    Fields(&[
        ("name", Whole),
        ("resourceVersion", Whole),
        ("labels", Fields(&[(NETWORK_LABEL, Whole)])),
        (
            "annotations",
            Fields(&[(EXPORT_TO, Whole), (TRAFFIC_DISTRIBUTION, Whole)]),
        ),
    ]),
)];

pub(super) fn convert(subject: &mut Subject<'_>) -> Option<NamespaceRecord> {
    let network = match subject.network("the namespace counts as having none") {
        Label::Valid(network) => Some(network),
        Label::Absent | Label::Invalid => None,
    };
    Some(NamespaceRecord {
        name: subject.name().name.clone(),
        network,
        terms: terms::of_namespace(subject),
    })
}
