//! The secrets that an Envoy holds, as its admin interface tells.

use serde_json::Value;

use super::client;
use super::pod::ADMIN;
use super::space::Space;

/// Of one Envoy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// Its own certificate, PEM.
    pub(crate) certificate: String,
    /// How many roots it trusts.
    pub(crate) roots: usize,
}

impl Held {
    /// By the Envoy in a namespace.
    pub(crate) fn by(space: &Space) -> Self {
        let path = "/config_dump?resource=dynamic_active_secrets";
        let answer = space.within(|| client::get(ADMIN, "admin", path));
        let dump: Value = serde_json::from_str(&answer.expect("it answers").body).unwrap_or_default();
        let pem = |name: &str, part: &str, field: &str| {
            let all = dump["configs"].as_array().into_iter().flatten();
            let secret = all
                .map(|config| &config["secret"])
                .find(|secret| secret["name"] == name);
            let text = secret.map(|secret| secret[part][field]["inline_string"].clone());
            text.and_then(|text| text.as_str().map(str::to_owned))
                .unwrap_or_default()
        };
        let chain = pem("default", "tls_certificate", "certificate_chain");
        let roots = pem("ROOTCA", "validation_context", "trusted_ca");
        let (own, _) = chain.split_once("-----END").unwrap_or_default();
        Self {
            certificate: own.to_owned(),
            roots: roots.matches("BEGIN CERTIFICATE").count(),
        }
    }
}
