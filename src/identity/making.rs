//! Roots and intermediates as the commands `parallax ca` make them: ECDSA P-256, one root for the mesh, one intermediate for
//! each member. Pure.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SerialNumber,
};

use super::authority::{
    NamedFile, SecretPem, certificates, check, check_length, date, key_of, later, pem_of, signing_key,
};
use super::certificate::{Certificate, intermediate_name};
use super::error::AuthorityError;
use super::spiffe::TrustDomain;
use crate::model::ClusterId;

/// A certificate and its key.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: SecretPem,
}

/// A root with its key, read and checked: it can sign intermediates.
pub(super) struct Root {
    pub(super) certificate: Certificate,
    trust_domain: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Makes a root for a trust domain, for a key that there is or a new one.
pub(super) fn root(
    domain: &TrustDomain,
    key: Option<&NamedFile>,
    lifetime: Duration,
    now: Timestamp,
) -> Result<Pair, AuthorityError> {
    let key = key_or_new(key)?;
    let serial = serial();
    // Two roots of one mesh live side by side while one follows the other, so each has a name of its own.
    let mark: String = serial
        .to_bytes()
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name = format!("root of {domain} {:.10} {mark}", now.to_string());
    let params = authority(
        domain.as_str(),
        None,
        &name,
        BasicConstraints::Unconstrained,
        lifetime,
        now,
        serial,
    );
    Ok(Pair {
        certificate: params.self_signed(&key)?.pem(),
        key: SecretPem::of(&key),
    })
}

impl Root {
    /// The root among the certificates of a file whose key this is.
    pub(super) fn read(certificate: &NamedFile, key: &NamedFile, now: Timestamp) -> Result<Self, AuthorityError> {
        let pair = signing_key(key)?;
        let public = key_of(&pair);
        let own = certificates(certificate)?
            .into_iter()
            .find(|one| one.public_key == public);
        let own = own.ok_or_else(|| AuthorityError::Mismatch {
            certificate: certificate.path.clone(),
            key: key.path.clone(),
        })?;
        check(&own, &certificate.path, now)?;
        check_length(&own, &certificate.path, 1)?;
        Ok(Self {
            trust_domain: own.organization.clone().unwrap_or_default(),
            issuer: Issuer::from_ca_cert_der(&own.der, pair)?,
            certificate: own,
        })
    }

    /// The trust domain that it was made for.
    pub(super) fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// Its certificate alone.
    pub(super) fn pem(&self) -> String {
        pem_of([&self.certificate])
    }

    /// Whether it signed this one, which is still good at a time.
    pub(super) fn vouches_for(&self, intermediate: &Certificate, now: Timestamp) -> bool {
        intermediate.not_after > now && self.certificate.signed(intermediate)
    }

    /// Issues the intermediate of a member, for a key that there is or a new one.
    pub(super) fn intermediate(
        &self,
        member: &ClusterId,
        key: Option<&NamedFile>,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Pair, AuthorityError> {
        let key = key_or_new(key)?;
        let name = intermediate_name(member);
        let constraint = BasicConstraints::Constrained(0);
        let domain = self.trust_domain();
        let mut params = authority(domain, Some(member), &name, constraint, lifetime, now, serial());
        params.not_after = params.not_after.min(date(self.certificate.not_after));
        params.use_authority_key_identifier_extension = true;
        Ok(Pair {
            certificate: params.signed_by(&key, &self.issuer)?.pem(),
            key: SecretPem::of(&key),
        })
    }
}

fn key_or_new(file: Option<&NamedFile>) -> Result<KeyPair, AuthorityError> {
    match file {
        Some(file) => signing_key(file),
        None => Ok(KeyPair::generate()?),
    }
}

fn authority(
    organization: &str,
    member: Option<&ClusterId>,
    name: &str,
    constraint: BasicConstraints,
    lifetime: Duration,
    now: Timestamp,
    serial: SerialNumber,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organization);
    if let Some(member) = member {
        params
            .distinguished_name
            .push(DnType::OrganizationalUnitName, member.as_str());
    }
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(constraint);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(serial);
    params.not_before = date(super::authority::earlier(now, SignedDuration::from_secs(120)));
    params.not_after = date(later(
        now,
        SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX),
    ));
    params
}

/// A serial number that no other certificate of the same issuer has: one key may be certified again and again.
fn serial() -> SerialNumber {
    let mut bytes = Vec::with_capacity(16);
    for _ in 0..2 {
        // Each RandomState has its own keys, so the hash of nothing is a random number.
        bytes.extend(RandomState::new().build_hasher().finish().to_be_bytes());
    }
    // Neither negative nor with leading zeros.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from(bytes)
}
