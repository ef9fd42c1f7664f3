//! A root, an intermediate for each member, and certificates of workloads with SPIFFE ids.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use serde_json::json;

/// A certificate with its chain and key, and whom it trusts; all PEM.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) roots: String,
}

/// An authority that signs for workloads.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, where it is no root.
    chain: String,
    roots: String,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    pub(crate) fn root(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = authority(name);
        let certificate = params.self_signed(&key).expect("it signs");
        Self {
            issuer: Issuer::new(params, key),
            chain: String::new(),
            roots: certificate.pem(),
        }
    }

    /// One below this, for a member.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = authority(name);
        let certificate = params.signed_by(&key, &self.issuer).expect("it signs");
        Self {
            issuer: Issuer::new(params, key),
            chain: certificate.pem(),
            roots: self.roots.clone(),
        }
    }

    pub(crate) fn workload(&self, spiffe_id: &str) -> Credentials {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(spiffe_id.try_into().expect("an ASCII text"))];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("it signs");
        Credentials {
            chain: certificate.pem() + &self.chain,
            key: key.serialize_pem(),
            roots: self.roots.clone(),
        }
    }
}

impl Credentials {
    /// As the two files of Envoy's file-based SDS: names and texts.
    pub(crate) fn files(&self) -> [(&'static str, String); 2] {
        let file = |secret: serde_json::Value| json!({ "resources": [secret] }).to_string();
        let url = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
        let own = json!({
            "@type": url,
            "name": "default",
            "tls_certificate": {
                "certificate_chain": { "inline_string": self.chain },
                "private_key": { "inline_string": self.key },
            },
        });
        let roots = json!({
            "@type": url,
            "name": "ROOTCA",
            "validation_context": { "trusted_ca": { "inline_string": self.roots } },
        });
        [("default.yaml", file(own)), ("ROOTCA.yaml", file(roots))]
    }
}
