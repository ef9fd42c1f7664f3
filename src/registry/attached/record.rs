//! What is kept of the Secrets and `Member` objects that members are listed in.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::DynamicObject;

use super::super::SecretText;
use crate::crd::MemberSpec;
use crate::model::ObjectName;

/// The annotation or label of a Secret that places its members.
const NETWORK: &str = "topology.istio.io/network";

/// What is kept of a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SecretRecord {
    /// Seconds since the epoch.
    pub(super) created: Option<i64>,
    /// Its annotation or label `topology.istio.io/network`.
    pub(super) network: Option<String>,
    /// Each key names a member; the value is its kubeconfig, `None` where it is no text.
    pub(super) data: BTreeMap<String, Option<SecretText>>,
}

/// What is kept of a `Member` object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberRecord {
    /// Seconds since the epoch.
    pub(super) created: Option<i64>,
    pub(super) uid: String,
    pub(super) generation: Option<i64>,
    /// What it asks for, or why that can't be read.
    pub(super) spec: Result<MemberSpec, String>,
}

pub(super) fn of_secret(secret: Secret) -> (ObjectName, SecretRecord) {
    let name = ObjectName::new(&secret.namespace().unwrap_or_default(), &secret.name_any());
    let network = secret
        .annotations()
        .get(NETWORK)
        .or_else(|| secret.labels().get(NETWORK))
        .cloned();
    let created = secret
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0.as_second());
    let data = secret.data.unwrap_or_default().into_iter();
    let data = data.map(|(key, value)| (key, std::str::from_utf8(&value.0).ok().map(SecretText::new)));
    (
        name,
        SecretRecord {
            created,
            network,
            data: data.collect(),
        },
    )
}

pub(super) fn of_member(object: DynamicObject) -> (ObjectName, MemberRecord) {
    let name = ObjectName::new(&object.namespace().unwrap_or_default(), &object.name_any());
    let created = object
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0.as_second());
    let spec = object.data.get("spec").cloned().unwrap_or_default();
    (
        name,
        MemberRecord {
            created,
            uid: object.metadata.uid.unwrap_or_default(),
            generation: object.metadata.generation,
            spec: serde_json::from_value(spec).map_err(|error| error.to_string()),
        },
    )
}
