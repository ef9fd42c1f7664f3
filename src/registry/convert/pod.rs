//! A Pod: its network, whether it speaks mutual TLS, and where it runs.

use serde::Deserialize;

use crate::model::{Addresses, Locality};
use crate::table::PodRecord;

use super::Wanted;
use super::Wanted::{Each, Fields, Whole};
use super::subject::{Label, NETWORK_LABEL, Subject};

/// What is read of one.
pub(super) const WANTED: &[(&str, Wanted)] = &[
    (
        "metadata",
        Fields(&[
            ("name", Whole),
            ("namespace", Whole),
            ("resourceVersion", Whole),
            (
                "labels",
                Fields(&[
                    (NETWORK_LABEL, Whole),
                    (TLS_MODE, Whole),
                    (LOCALITY[0], Whole),
                    (LOCALITY[1], Whole),
                ]),
            ),
        ]),
    ),
    ("spec", Fields(&[("nodeName", Whole)])),
    (
        "status",
        Fields(&[
            ("phase", Whole),
            ("podIP", Whole),
            ("podIPs", Each(&Fields(&[("ip", Whole)]))),
        ]),
    ),
];

const TLS_MODE: &str = "security.istio.io/tlsMode";
/// The present name and the older one.
const LOCALITY: [&str; 2] = ["topology.istio.io/locality", "istio-locality"];

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
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
    Some(PodRecord {
        name: subject.name().clone(),
        network,
        mtls: subject.label(TLS_MODE).as_deref() == Some("istio"),
        node: spec.node_name.filter(|name| !name.is_empty()).map(Into::into),
        locality: LOCALITY
            .iter()
            .filter_map(|key| subject.label(key))
            .find(|text| !text.is_empty())
            .map(|text| locality(&text)),
        addresses,
    })
}

/// `region/zone/subzone`; in a label, which can't hold a slash, with dots.
fn locality(text: &str) -> Locality {
    let separator = if text.contains('/') { '/' } else { '.' };
    let mut parts = text.splitn(3, separator);
    let mut part = || parts.next().unwrap_or_default();
    Locality::new(part(), part(), part())
}
