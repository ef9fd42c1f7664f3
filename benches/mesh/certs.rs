//! Certificates for runs with mutual TLS: one authority, one server, one client that all proxies share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where the PEM files of a run are.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    client_certificate: PathBuf,
    client_key: PathBuf,
}

impl Certificates {
    /// Makes them in a folder.
    pub(crate) fn generate(folder: &Path) -> anyhow::Result<Self> {
        let these = Self::of(folder);
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca, ca_key);
        std::fs::write(&these.ca, ca_certificate.pem())?;
        for (certificate, key) in [
            (&these.certificate, &these.key),
            (&these.client_certificate, &these.client_key),
        ] {
            let pair = KeyPair::generate()?;
            let params = CertificateParams::new(["localhost".to_owned()])?;
            std::fs::write(certificate, params.signed_by(&pair, &issuer)?.pem())?;
            std::fs::write(key, pair.serialize_pem())?;
        }
        Ok(these)
    }

    /// Those that were made there.
    pub(crate) fn of(folder: &Path) -> Self {
        let file = |name: &str| folder.join(name);
        Self {
            ca: file("ca.pem"),
            certificate: file("server.pem"),
            key: file("server.key"),
            client_certificate: file("client.pem"),
            client_key: file("client.key"),
        }
    }

    /// What proxies connect with.
    pub(crate) fn client(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.ca).context("the authority")?)?;
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(&self.client_certificate)?],
                PrivateKeyDer::from_pem_file(&self.client_key)?,
            )?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A proxy that reconnects to another replica has no session to resume.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }
}
