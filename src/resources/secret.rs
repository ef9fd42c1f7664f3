//! Secrets, for the one stream that they are for. Unlike all other resources they belong to no view and are kept by nobody else.

use std::fmt;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate,
};

use super::{Resource, ResourceType, Version};

/// The name under which a proxy asks for its own workload's certificate, as Istio's proxies do.
pub const WORKLOAD_SECRET: &str = "default";

/// The name of the roots that workloads trust.
pub const ROOTS_SECRET: &str = "ROOTCA";

/// What a secret is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SecretSpec<'a> {
    /// The certificate of a workload with its intermediates, and its key; both PEM.
    Workload {
        /// The certificate first.
        chain: &'a str,
        /// The private key.
        key: &'a str,
        /// Which certificates are as good as this one, and until when: of one that a client holds already, no other is sent to it.
        version: Version,
    },
    /// The roots that workloads trust, PEM.
    Roots(&'a str),
}

impl SecretSpec<'_> {
    /// The `Secret`. Its version tells nothing of a key.
    #[must_use]
    pub fn encode(&self) -> Resource {
        let (name, version, content) = match self {
            Self::Workload { chain, key, version } => {
                let certificate = TlsCertificate {
                    certificate_chain: Some(inline(chain)),
                    private_key: Some(inline(key)),
                    ..TlsCertificate::default()
                };
                (WORKLOAD_SECRET, *version, Type::TlsCertificate(certificate))
            }
            Self::Roots(roots) => {
                let trusted = CertificateValidationContext {
                    trusted_ca: Some(inline(roots)),
                    ..CertificateValidationContext::default()
                };
                (ROOTS_SECRET, Version::of(roots), Type::ValidationContext(trusted))
            }
        };
        let secret = Secret {
            name: name.to_owned(),
            r#type: Some(content),
        };
        Resource::encode(ResourceType::Secret, Arc::from(name), version, &secret)
    }
}

/// There is a key in it.
impl fmt::Debug for SecretSpec<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workload { .. } => "Workload(…)",
            Self::Roots(_) => "Roots(…)",
        })
    }
}

fn inline(pem: &str) -> DataSource {
    DataSource {
        specifier: Some(Specifier::InlineString(pem.to_owned())),
        ..DataSource::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_printed_shows_a_key_and_the_version_does_not_depend_on_it() {
        let version = Version::until(&"shop", 7);
        let spec = |key| SecretSpec::Workload {
            chain: "chain",
            key,
            version,
        };
        let resource = spec("s3cret").encode();
        assert!(String::from_utf8_lossy(&resource.any).contains("s3cret"));
        for shown in [format!("{resource:?}"), format!("{:?}", spec("s3cret"))] {
            assert!(!shown.contains("s3cret") && !shown.contains("115"), "{shown}");
        }
        assert_eq!(resource.version, spec("other").encode().version);
        assert_ne!(
            SecretSpec::Roots("a").encode().version,
            SecretSpec::Roots("b").encode().version
        );
    }
}
