//! What is read of a certificate. Pure.

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::AttributeTypeAndValue;

use super::spiffe::{SpiffeError, SpiffeId};
use crate::model::ClusterId;

/// A certificate is spoken of when it ends this soon, or when a third of its life is left where that is sooner: whoever renews
/// short ones by themselves does it before.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Why a certificate says nothing that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It can't be read.
    #[error("it is no X.509 certificate: {0}")]
    Unreadable(String),
    /// A workload's certificate has exactly one URI.
    #[error("it names {0} URIs; the certificate of a workload has one, its SPIFFE id")]
    Uris(usize),
    /// The URI is no id of a workload.
    #[error(transparent)]
    Spiffe(#[from] SpiffeError),
}

/// One certificate, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) der: CertificateDer<'static>,
    /// Its subject, for people.
    pub(super) subject: String,
    raw_subject: Vec<u8>,
    raw_issuer: Vec<u8>,
    /// The whole SubjectPublicKeyInfo.
    pub(super) public_key: Vec<u8>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) is_ca: bool,
    /// How many intermediates may be below it.
    pub(super) path_length: Option<u32>,
    /// The organizational unit and the name of its issuer.
    issuer: (Option<String>, Option<String>),
    /// The organization of its subject: the trust domain, in roots that we made.
    pub(super) organization: Option<String>,
    uris: Vec<String>,
}

impl Certificate {
    /// Reads one.
    pub(super) fn read(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let unreadable = |error: String| CertificateError::Unreadable(error);
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| unreadable(error.to_string()))?;
        let constraints = parsed
            .basic_constraints()
            .map_err(|error| unreadable(error.to_string()))?
            .map(|extension| (extension.value.ca, extension.value.path_len_constraint));
        let signs = parsed
            .key_usage()
            .map_err(|error| unreadable(error.to_string()))?
            .is_none_or(|usage| usage.value.key_cert_sign());
        let names = parsed
            .subject_alternative_name()
            .map_err(|error| unreadable(error.to_string()))?;
        let names = names
            .map(|names| names.value.general_names.as_slice())
            .unwrap_or_default();
        let uris = names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        });
        let unit = parsed.issuer().iter_organizational_unit().next();
        let name = parsed.issuer().iter_common_name().next();
        let text = |value: Option<&AttributeTypeAndValue<'_>>| Some(value?.as_str().ok()?.to_owned());
        let organization = parsed.subject().iter_organization().next();
        Ok(Self {
            der: der.clone().into_owned(),
            subject: parsed.subject().to_string(),
            raw_subject: parsed.subject().as_raw().to_vec(),
            raw_issuer: parsed.issuer().as_raw().to_vec(),
            public_key: parsed.public_key().raw.to_vec(),
            not_before: time(parsed.validity().not_before.timestamp()),
            not_after: time(parsed.validity().not_after.timestamp()),
            is_ca: signs && constraints.is_some_and(|(ca, _)| ca),
            path_length: constraints.and_then(|(_, length)| length),
            issuer: (text(unit), text(name)),
            organization: text(organization),
            uris: uris.collect(),
        })
    }

    /// All certificates of a PEM text, in order; `None` where it is damaged.
    pub(super) fn read_all(pem: &[u8]) -> Option<Result<Vec<Self>, CertificateError>> {
        let ders: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        Some(ders.ok()?.iter().map(Self::read).collect())
    }

    /// Whether this one's key made the signature of `other`, by name and by mathematics.
    pub(super) fn signed(&self, other: &Self) -> bool {
        if other.raw_issuer != self.raw_subject {
            return false;
        }
        let (Ok((_, signer)), Ok((_, signed))) = (
            X509Certificate::from_der(&self.der),
            X509Certificate::from_der(&other.der),
        ) else {
            return false;
        };
        signed.verify_signature(Some(signer.public_key())).is_ok()
    }

    /// Whether its end is near.
    pub(super) fn ends_soon(&self, now: Timestamp) -> bool {
        let third = self.not_after.duration_since(self.not_before) / 3;
        self.not_after.duration_since(now) <= third.min(SOON)
    }

    /// The member whose intermediate signed it, where `parallax ca` made that intermediate. The name of the issuer is part of
    /// what was signed, so it is as sure as the signature.
    pub(super) fn member_of_issuer(&self) -> Option<ClusterId> {
        let (Some(unit), Some(name)) = &self.issuer else {
            return None;
        };
        let member = ClusterId::new(unit).ok()?;
        (*name == intermediate_name(&member)).then_some(member)
    }

    /// The workload that it is of.
    pub(super) fn workload(&self) -> Result<SpiffeId, CertificateError> {
        match self.uris.as_slice() {
            [uri] => Ok(SpiffeId::parse(uri)?),
            uris => Err(CertificateError::Uris(uris.len())),
        }
    }
}

/// What the intermediate of a member is called.
pub(super) fn intermediate_name(member: &ClusterId) -> String {
    format!("intermediate of {member}")
}

/// A time of the certificate; beyond the calendar is never.
fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// A certificate as PEM.
pub(super) fn pem(der: &CertificateDer<'_>) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("CERTIFICATE", &**der), config)
}
