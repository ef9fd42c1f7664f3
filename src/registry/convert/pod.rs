//! A Pod: its network, whether it speaks mutual TLS, where it runs, and how a kubelet asks after it.

use std::sync::Arc;

use serde::Deserialize;

use crate::model::{Addresses, Locality};
use crate::table::{PodRecord, PodTraits};

use super::Wanted;
use super::Wanted::{Each, Fields, Whole};
use super::probes;
use super::subject::{Label, Subject};

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
    (
        "spec",
        Fields(&[
            ("nodeName", Whole),
            ("serviceAccountName", Whole),
            ("containers", Each(&probes::CONTAINER)),
            ("initContainers", Each(&probes::CONTAINER)),
        ]),
    ),
    (
        "status",
        Fields(&[
            ("phase", Whole),
            ("podIP", Whole),
            ("podIPs", Each(&Fields(&[("ip", Whole)]))),
            ("conditions", Each(&Fields(&[("type", Whole), ("status", Whole)]))),
        ]),
    ),
];

/// Whether a pod speaks mutual TLS.
pub(super) const TLS_MODE: &str = "security.istio.io/tlsMode";
/// The present name and the older one.
const LOCALITY: [&str; 2] = ["topology.istio.io/locality", "istio-locality"];

/// Labels that controllers give to single pods or to those of one revision. They are not kept, so that all pods of a workload
/// have the same.
const OF_ONE: [&str; 11] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-name",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
    "pod-template-generation",
    "pod-template-hash",
    "rollouts-pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// Whether a label of pods with this key is not kept.
pub(super) fn is_of_one(key: &str) -> bool {
    OF_ONE.contains(&key)
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Option<String>,
    service_account_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
    conditions: Option<Vec<Condition>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    r#type: Option<String>,
    status: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodIp {
    ip: Option<String>,
}

/// `None` for a pod that is over, and for one whose network can't be told: its endpoints then count as those of an
/// unknown pod, which no other network is given.
pub(super) fn convert(subject: &mut Subject<'_>) -> Option<PodRecord> {
    let spec: Spec = subject.part("spec")?;
    let status: Status = subject.part("status")?;
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let network = match subject.network("the pod counts as unknown, so other networks don't get it") {
        Label::Valid(network) => Some(network),
        Label::Absent => None,
        Label::Invalid => return None,
    };
    let listed = status.pod_ips.unwrap_or_default();
    let texts = listed
        .into_iter()
        .filter_map(|pod_ip| pod_ip.ip)
        .chain(status.pod_ip)
        .filter(|text| !text.is_empty());
    let mut addresses: Option<Addresses> = None;
    for text in texts {
        if let Some(address) = subject.address("status.podIPs", &text) {
            addresses = Some(addresses.map_or_else(|| address.into(), |known| known.with(address)));
        }
    }
    let mut labels = subject.labels();
    labels.retain(|(key, _)| !is_of_one(key));
    Some(PodRecord {
        name: subject.name().into(),
        network,
        mtls: subject.label(TLS_MODE).as_deref() == Some("istio"),
        node: spec.node_name.filter(|name| !name.is_empty()).map(Into::into),
        locality: LOCALITY
            .iter()
            .filter_map(|key| subject.label(key))
            .find(|text| !text.is_empty())
            .map(|text| locality(&text)),
        addresses,
        ready: is_ready(status.conditions.as_deref().unwrap_or_default()),
        traits: Arc::new(PodTraits {
            labels,
            account: spec.service_account_name.unwrap_or_default().into(),
            probes: probes::convert(subject),
        }),
    })
}

/// What no condition is said of counts as ready, as in a manifest.
fn is_ready(conditions: &[Condition]) -> bool {
    let ready = conditions
        .iter()
        .find(|condition| condition.r#type.as_deref() == Some("Ready"));
    ready.is_none_or(|ready| ready.status.as_deref() == Some("True"))
}

/// `region/zone/subzone`; in a label, which can't hold a slash, with dots.
pub(super) fn locality(text: &str) -> Locality {
    let separator = if text.contains('/') { '/' } else { '.' };
    let mut parts = text.splitn(3, separator);
    let mut part = || parts.next().unwrap_or_default();
    Locality::new(part(), part(), part())
}
