//! Server TLS from PEM files. Errors name the file and what to do, and never show what is in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::clients::{AnySigner, Clients};
use super::metrics::AcceptorMetrics;
use super::renewed::Renewed;
use super::validity::Validity;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};

/// Makes aws-lc the crypto of the whole process; later calls do nothing. Call it first: libraries that build TLS settings
/// without naming a provider panic where there is none.
pub fn install_provider() {
    // An error means that a provider is there already, which is what we want.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Why there is no TLS from these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {cause}; name a file that this user may read", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A file is not PEM. The parser's own words are left out: they quote lines of the file.
    #[error("{} is damaged PEM; each block needs its BEGIN and END lines with base64 between them", file.display())]
    BadPem {
        /// The file.
        file: PathBuf,
    },
    /// A file holds no certificate.
    #[error("{} holds no certificate; it needs at least one block `BEGIN CERTIFICATE`", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// A certificate cannot be used.
    #[error("a certificate in {} cannot be used: {reason}; issue it anew", file.display())]
    BadCertificate {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file holds no private key.
    #[error("{} holds no private key; it needs an unencrypted block `BEGIN PRIVATE KEY`", file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// A private key cannot be used.
    #[error("the private key in {} cannot be used; use ECDSA P-256 or P-384, Ed25519 or RSA of 2048 bits or more", file.display())]
    BadKey {
        /// The file.
        file: PathBuf,
    },
    /// Certificate and key are not a pair.
    #[error("the key in {} does not belong to the first certificate in {}; give the pair, own certificate first", key.display(), certificate.display())]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
}

/// TLS settings of the xDS endpoint: TLS 1.2 and 1.3, HTTP/2 only. Clones share them.
#[derive(Clone, Debug)]
pub struct ServerTls(Arc<Renewed>);

impl ServerTls {
    /// Reads a certificate with its intermediates and its key; `clients` says who connects.
    ///
    /// # Errors
    /// A file that cannot be read or used, by name.
    pub fn from_files(certificate: &Path, key: &Path, clients: Clients) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(Renewed::open(Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            clients,
        })?)))
    }

    /// Takes up changes of the files for as long as it is polled. Connections that are there keep what they have.
    pub(super) async fn renew(&self, metrics: &AcceptorMetrics) {
        self.0.renew(metrics).await;
    }

    /// The settings of now, for the next connection.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.config()
    }
}

/// Where it is read from.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    key: PathBuf,
    clients: Clients,
}

/// What the files said at one time.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) config: Arc<ServerConfig>,
    /// What is shown, and who may have signed what clients show: another one of these is a change.
    pub(super) certificates: [Vec<CertificateDer<'static>>; 2],
    /// Of the certificate that is shown.
    pub(super) validity: Option<Validity>,
}

impl Files {
    pub(super) fn read(&self) -> Result<Read, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for TLS 1.2 and 1.3");
        let mut authorities = Vec::new();
        let builder = match &self.clients {
            Clients::Anybody => builder.with_no_client_auth(),
            Clients::Known => builder.with_client_cert_verifier(AnySigner::required(&provider)),
            Clients::KnownOrNot => builder.with_client_cert_verifier(AnySigner::optional(&provider)),
            Clients::SignedBy(file) => {
                authorities = certificates(file)?;
                let roots = roots(file, &authorities)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                    .build()
                    .map_err(|error| TlsError::BadCertificate {
                        file: file.into(),
                        reason: error.to_string(),
                    })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let own = pair(&self.certificate, &self.key)?;
        let shown = own.cert.clone();
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Read {
            config: Arc::new(config),
            validity: shown.first().and_then(Validity::of),
            certificates: [shown, authorities],
        })
    }
}

/// A certificate with its key, read and checked.
fn pair(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let provider = aws_lc_rs::default_provider();
    let chain = certificates(certificate)?;
    let private = private_key(key, &provider)?;
    CertifiedKey::from_der(chain, private, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch {
            certificate: certificate.into(),
            key: key.into(),
        },
        other => TlsError::BadCertificate {
            file: certificate.into(),
            reason: other.to_string(),
        },
    })
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|cause| TlsError::Read {
        file: file.into(),
        cause,
    })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(TlsError::NoCertificate { file: file.into() }),
        Ok(chain) => Ok(chain),
        Err(_) => Err(TlsError::BadPem { file: file.into() }),
    }
}

fn roots(file: &Path, authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|error| TlsError::BadCertificate {
            file: file.into(),
            reason: error.to_string(),
        })?;
    }
    Ok(roots)
}

fn private_key(file: &Path, provider: &CryptoProvider) -> Result<PrivateKeyDer<'static>, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey { file: file.into() },
        _ => TlsError::BadPem { file: file.into() },
    })?;
    // Tried alone first: together with the certificate one could not tell which of the two is wrong.
    match provider.key_provider.load_private_key(key.clone_key()) {
        Ok(_) => Ok(key),
        Err(_) => Err(TlsError::BadKey { file: file.into() }),
    }
}
