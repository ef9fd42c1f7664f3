//! Whose certificates a server asks for.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

/// Who may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clients {
    /// Everybody; nobody is asked for a certificate.
    Anybody,
    /// Who shows a certificate that one of the authorities in this file signed.
    SignedBy(PathBuf),
    /// Who shows a certificate and has its key. Who signed it is left to whoever serves the connection.
    Known,
    /// Likewise, and who shows none.
    KnownOrNot,
}

/// Takes every certificate of a client that has the key to it: it proves possession and nothing else.
#[derive(Debug)]
pub(super) struct AnySigner {
    provider: Arc<CryptoProvider>,
    required: Required,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Required {
    Yes,
    No,
}

impl AnySigner {
    pub(super) fn required(provider: &Arc<CryptoProvider>) -> Arc<dyn ClientCertVerifier> {
        Self::verifier(provider, Required::Yes)
    }

    pub(super) fn optional(provider: &Arc<CryptoProvider>) -> Arc<dyn ClientCertVerifier> {
        Self::verifier(provider, Required::No)
    }

    fn verifier(provider: &Arc<CryptoProvider>, required: Required) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Self {
            provider: Arc::clone(provider),
            required,
        })
    }
}

impl ClientCertVerifier for AnySigner {
    fn client_auth_mandatory(&self) -> bool {
        self.required == Required::Yes
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
