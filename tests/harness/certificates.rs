//! Keys and certificates for a member's API server.

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// What an API server needs, all PEM.
#[derive(Debug)]
pub(super) struct ServerCredentials {
    /// Who signed the certificate: for the clients.
    pub(super) ca: String,
    /// For 127.0.0.1 and localhost.
    pub(super) certificate: String,
    /// Of the certificate.
    pub(super) key: String,
    /// Signs the tokens of service accounts (ECDSA P-256).
    pub(super) token_key: String,
    /// Verifies them.
    pub(super) token_public_key: String,
}

impl ServerCredentials {
    /// New keys, and a certificate authority for the member `name` alone, so that mixing up two members is an error.
    pub(super) fn generate(name: &str) -> anyhow::Result<Self> {
        let make = || -> Result<Self, rcgen::Error> {
            let ca_key = KeyPair::generate()?;
            let mut ca = CertificateParams::new(Vec::new())?;
            ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            ca.distinguished_name
                .push(DnType::CommonName, format!("CA of the test member {name}"));
            let ca_certificate = ca.self_signed(&ca_key)?;

            let key = KeyPair::generate()?;
            let server = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
            let certificate = server.signed_by(&key, &Issuer::new(ca, ca_key))?;

            let token_key = KeyPair::generate()?;
            Ok(Self {
                ca: ca_certificate.pem(),
                certificate: certificate.pem(),
                key: key.serialize_pem(),
                token_key: token_key.serialize_pem(),
                token_public_key: token_key.public_key_pem(),
            })
        };
        make().with_context(|| format!("cannot make certificates for the member {name}"))
    }
}
