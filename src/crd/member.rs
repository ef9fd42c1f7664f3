//! A `Member`: what a person asks for, and what is told of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `spec`: what a person asks for. Unknown fields are passed over: a newer definition must not stop an older reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberSpec {
    /// `secretRef`: the Secret with the member's kubeconfig, in the same namespace.
    pub secret_ref: SecretRef,
    /// `network`: the member's network where its own labels say nothing. A Kubernetes label value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// `stale`: what becomes of the member's endpoints while it can't be read; the mesh's policy where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<StaleSpec>,
    /// `namespaces`: the namespaces that are read; all where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// `weight`: percent of the share that the member's endpoints would get, 0 to 1000; 100 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// `budget`: what the member may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetSpec>,
}

/// `spec.secretRef`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRef {
    /// `name`: the Secret.
    pub name: String,
    /// `key`: the key with the kubeconfig; where absent the member's name, else `kubeconfig`, else the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// `spec.stale`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaleSpec {
    /// `policy`.
    pub policy: StalePolicySpec,
    /// `after`: how long the member has to be stale first ([`super::parse_duration`]); absent with `Keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// `spec.stale.policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StalePolicySpec {
    /// Endpoints of a stale member are served on.
    Keep,
    /// They are served only where nothing else is ready.
    Demote,
    /// They are taken out.
    Drop,
}

/// `spec.budget`: what a member may cost; the mesh's budget where a part is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetSpec {
    /// `objects`: how many objects it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
    /// `bytes`: how many bytes they may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// `eventsPerSecond`: how many changes it may tell in a second, in the long run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<u64>,
}

/// `status`: how the member fares. Times are RFC 3339.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberResourceStatus {
    /// `observedGeneration`: the generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `conditions`, in order of their types.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// `network`: the network of what nothing in the member places elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// `serverVersion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// `services` held of it.
    #[serde(default)]
    pub services: u64,
    /// `endpoints` held of it, one for each port of a service.
    #[serde(default)]
    pub endpoints: u64,
    /// `counts`: objects held, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// `credentialsExpire`: when the first of its credentials expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_expire: Option<String>,
    /// `lastEvent`: when it last told of an object, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event: Option<String>,
}

/// One of `status.conditions`, as Kubernetes has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `type`: what it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// `status`: whether it is so.
    pub status: ConditionStatus,
    /// `observedGeneration`: the generation of the spec that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `lastTransitionTime`: when `status` last changed.
    pub last_transition_time: String,
    /// `reason`: why, as one word for programs.
    pub reason: String,
    /// `message`: what is so and what to do about it, for people.
    pub message: String,
}

/// `status` of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// It is so.
    True,
    /// It is not.
    False,
    /// Nobody can tell.
    Unknown,
}
