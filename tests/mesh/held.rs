//! The certificates and roots that an Envoy has, as its admin interface tells.

use std::collections::BTreeSet;

use serde_json::Value;

use super::pod;
use super::space::Space;

/// Of one Envoy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// The serial numbers of the certificates that it shows, over all its listeners and clusters.
    pub(crate) serials: BTreeSet<String>,
    /// How many roots it trusts.
    pub(crate) roots: usize,
}

impl Held {
    /// By the Envoy in a namespace.
    pub(crate) fn by(space: &Space) -> Self {
        let read = |path| serde_json::from_str::<Value>(&pod::admin(space, path)).unwrap_or_default();
        let (certificates, secrets) = (read("/certs"), read("/config_dump?resource=dynamic_active_secrets"));
        let all = certificates["certificates"].as_array().into_iter().flatten();
        let shown = all.flat_map(|context| context["cert_chain"].as_array().into_iter().flatten());
        let serials = shown.filter_map(|certificate| certificate["serial_number"].as_str());
        let mut secrets = secrets["configs"].as_array().into_iter().flatten();
        let roots = secrets.find(|config| config["secret"]["name"] == "ROOTCA");
        let roots = roots.map(|config| &config["secret"]["validation_context"]["trusted_ca"]["inline_string"]);
        let roots = roots.and_then(Value::as_str).unwrap_or_default();
        Self {
            serials: serials.map(str::to_owned).collect(),
            roots: roots.matches("BEGIN CERTIFICATE").count(),
        }
    }
}
