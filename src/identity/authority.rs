//! A certificate authority that issues workload certificates: what its files must be like, and what it issues. Pure.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{self, PemObject};

use super::certificate::Certificate;
use super::error::AuthorityError;
use super::spiffe::SpiffeId;

/// Clocks of a mesh differ by a little, so a certificate is valid from somewhat before it was issued.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(120);

/// The longest chain of intermediates that is followed.
const LONGEST_CHAIN: usize = 8;

/// A file that was read, under the name that errors call it by.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// Its path.
    pub path: PathBuf,
    /// What is in it.
    pub content: Vec<u8>,
}

/// A key may be in it.
impl fmt::Debug for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.path.display(), self.content.len())
    }
}

/// The files of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityFiles {
    /// The certificate that signs, first; intermediates may follow.
    pub certificate: NamedFile,
    /// Its key.
    pub key: NamedFile,
    /// More intermediates.
    pub chain: Option<NamedFile>,
    /// All roots that workloads trust.
    pub roots: NamedFile,
}

/// What a workload shows, and the key to it.
#[derive(Clone)]
pub struct WorkloadCertificate {
    /// Whose it is.
    pub id: SpiffeId,
    /// The certificate and its intermediates, PEM.
    pub chain: Arc<str>,
    /// The private key, PEM (PKCS #8).
    pub key: SecretPem,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

impl fmt::Debug for WorkloadCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkloadCertificate")
            .field("id", &self.id)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// A private key that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretPem(Arc<str>);

impl SecretPem {
    pub(super) fn of(key: &KeyPair) -> Self {
        Self(key.serialize_pem().into())
    }

    /// The PEM text, for whoever has to hand it to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(private key)")
    }
}

/// An authority that was checked when it was read.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    own: Certificate,
    /// The own certificate and its intermediates without any root, PEM: what a workload shows after its own.
    chain: String,
    roots: Vec<Certificate>,
    roots_file: PathBuf,
    bundle: Arc<str>,
    /// The way from the own certificate up to its root.
    links: Vec<Link>,
}

/// A certificate and the file that it was read from.
#[derive(Clone)]
struct Link {
    certificate: Certificate,
    file: PathBuf,
}

impl Authority {
    /// Reads and checks the files of an authority as they are at a time.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn read(files: &AuthorityFiles, now: Timestamp) -> Result<Self, AuthorityError> {
        let mut certificates = certificates(&files.certificate)?;
        let roots = certificates_of_roots(&files.roots, now)?;
        let own = certificates.remove(0);
        let mut above = certificates;
        if let Some(chain) = &files.chain {
            above.extend(self::certificates(chain)?);
        }
        let key = signing_key(&files.key)?;
        if key_of(&key) != own.public_key {
            return Err(AuthorityError::Mismatch {
                certificate: files.certificate.path.clone(),
                key: files.key.path.clone(),
            });
        }
        check(&own, &files.certificate.path, now)?;
        let path = Path {
            files,
            above,
            roots: &roots,
            now,
        };
        let links = path.from(&own)?;
        let certificates = links.iter().map(|link| &link.certificate);
        let intermediates = certificates.filter(|link| !roots.iter().any(|root| root.der == link.der));
        let issuer = Issuer::from_ca_cert_der(&own.der, key)?;
        Ok(Self {
            issuer,
            chain: pem_of(intermediates),
            bundle: pem_of(&roots).into(),
            own,
            roots,
            roots_file: files.roots.path.clone(),
            links,
        })
    }

    /// Issues a certificate for a workload, valid for `lifetime` or as long as the authority itself is, with a new key.
    ///
    /// # Errors
    /// When the authority, or something above it, has expired since it was read.
    pub fn issue(
        &self,
        id: &SpiffeId,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<WorkloadCertificate, AuthorityError> {
        let mut params = CertificateParams::default();
        // SPIFFE: no subject, and so the one URI is critical.
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(id.to_string().try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(id, params, lifetime, now)
    }

    /// Issues a certificate for a server with host names or IP addresses, such as our own xDS endpoint; it has the id too, so
    /// that clients may check either.
    ///
    /// # Errors
    /// As [`Authority::issue`]; and for a name that can't be in a certificate.
    pub fn issue_server(
        &self,
        id: &SpiffeId,
        hosts: &[String],
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<WorkloadCertificate, AuthorityError> {
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names.push(SanType::URI(id.to_string().try_into()?));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(id, params, lifetime, now)
    }

    fn sign(
        &self,
        id: &SpiffeId,
        mut params: CertificateParams,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<WorkloadCertificate, AuthorityError> {
        for link in &self.links {
            check(&link.certificate, &link.file, now)?;
        }
        let lifetime = SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX);
        let not_before = whole_seconds(earlier(now, CLOCK_SKEW).max(self.own.not_before));
        let not_after = whole_seconds(later(now, lifetime).min(self.not_after()));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.not_before = date(not_before);
        params.not_after = date(not_after);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(WorkloadCertificate {
            id: id.clone(),
            chain: format!("{}{}", certificate.pem(), self.chain).into(),
            key: SecretPem::of(&key),
            not_before,
            not_after,
        })
    }

    /// All roots that workloads trust, PEM.
    #[must_use]
    pub fn bundle(&self) -> Arc<str> {
        Arc::clone(&self.bundle)
    }

    /// The same, each as DER.
    #[must_use]
    pub fn roots(&self) -> Vec<rustls::pki_types::CertificateDer<'static>> {
        self.roots.iter().map(|root| root.der.clone()).collect()
    }

    /// Until when the authority and everything above it is valid.
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        let ends = self.links.iter().map(|link| link.certificate.not_after);
        ends.min().unwrap_or(self.own.not_after)
    }

    /// What whoever looks after the authority should know.
    #[must_use]
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut tell = |certificate: &Certificate, file: &std::path::Path, remedy: &str| {
            let Certificate { subject, not_after, .. } = certificate;
            if certificate.ends_soon(now) {
                let file = file.display();
                warnings.push(format!("{file} ({subject}) expires at {not_after:.0}; {remedy}"));
            }
        };
        for Link { certificate, file } in &self.links {
            if !self.roots.contains(certificate) {
                tell(
                    certificate,
                    file,
                    "issue it anew: `parallax ca issue-intermediate --renew`",
                );
            }
        }
        for root in &self.roots {
            tell(root, &self.roots_file, "change the root: `parallax ca rotate-root`");
        }
        warnings
    }

    /// The same authority with the same roots: nothing has to be issued or told anew.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.signs_as(other) && self.bundle == other.bundle
    }

    /// The same authority, whichever roots are trusted beside its own: what it issued need not be issued anew.
    #[must_use]
    pub fn signs_as(&self, other: &Self) -> bool {
        self.own.der == other.own.der && self.chain == other.chain
    }

    /// What tells it from any other, as [`Authority::signs_as`] does: its own certificate, and those above it. Nothing of a key.
    #[must_use]
    pub fn signer(&self) -> (&[u8], &str) {
        (&self.own.der, &self.chain)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("subject", &self.own.subject)
            .field("not_after", &self.not_after())
            .field("roots", &self.roots.len())
            .finish_non_exhaustive()
    }
}

/// The way from the certificate that signs up to a root.
struct Path<'a> {
    files: &'a AuthorityFiles,
    above: Vec<Certificate>,
    roots: &'a [Certificate],
    now: Timestamp,
}

impl Path<'_> {
    /// The certificates on it, the one that signs first, a root last.
    fn from(&self, own: &Certificate) -> Result<Vec<Link>, AuthorityError> {
        let link = |certificate: &Certificate, file: &NamedFile| Link {
            certificate: certificate.clone(),
            file: file.path.clone(),
        };
        let mut chain = vec![link(own, &self.files.certificate)];
        while chain.len() <= LONGEST_CHAIN {
            let last = &chain.last().expect("it begins with one").certificate;
            if self.roots.iter().any(|root| root.der == last.der) {
                return Ok(chain);
            }
            let below = u32::try_from(chain.len()).unwrap_or(u32::MAX);
            // Of several with one key, as after a renewal, the one that lasts.
            let signers = self.roots.iter().filter(|root| root.signed(last));
            let next = if let Some(root) = signers.max_by_key(|root| root.not_after) {
                check_length(root, &self.files.roots.path, below)?;
                link(root, &self.files.roots)
            } else {
                let Some(next) = self
                    .above
                    .iter()
                    .find(|next| !chain.iter().any(|link| link.certificate == **next) && next.signed(last))
                else {
                    break;
                };
                let file = self.files.chain.as_ref().unwrap_or(&self.files.certificate);
                check(next, &file.path, self.now)?;
                check_length(next, &file.path, below)?;
                link(next, file)
            };
            chain.push(next);
        }
        Err(AuthorityError::Untrusted {
            file: self.files.certificate.path.clone(),
            subject: own.subject.clone(),
            roots: self.files.roots.path.clone(),
        })
    }
}

/// The certificates of a file, at least one.
pub(super) fn certificates(file: &NamedFile) -> Result<Vec<Certificate>, AuthorityError> {
    match Certificate::read_all(&file.content) {
        Some(Ok(all)) if !all.is_empty() => Ok(all),
        Some(Err(cause)) => Err(AuthorityError::BadCertificate {
            file: file.path.clone(),
            cause,
        }),
        _ => Err(AuthorityError::NoCertificate {
            file: file.path.clone(),
        }),
    }
}

/// The roots of a bundle. One that has expired is left out where another is left: a bundle outlives its roots.
fn certificates_of_roots(file: &NamedFile, now: Timestamp) -> Result<Vec<Certificate>, AuthorityError> {
    let all = certificates(file)?;
    let checked: Vec<_> = all.iter().map(|root| check(root, &file.path, now)).collect();
    if checked.iter().all(Result::is_err)
        && let Some(Err(error)) = checked.into_iter().next()
    {
        return Err(error);
    }
    let mut roots: Vec<Certificate> = Vec::new();
    for root in all {
        if check(&root, &file.path, now).is_ok() && !roots.contains(&root) {
            roots.push(root);
        }
    }
    Ok(roots)
}

/// Whether a certificate may sign others now.
pub(super) fn check(certificate: &Certificate, file: &std::path::Path, now: Timestamp) -> Result<(), AuthorityError> {
    let (file, subject) = (file.to_owned(), certificate.subject.clone());
    if !certificate.is_ca {
        return Err(AuthorityError::NotAuthority { file, subject });
    }
    if certificate.not_after <= now {
        let at = certificate.not_after;
        return Err(AuthorityError::Expired { file, subject, at });
    }
    if certificate.not_before > later(now, CLOCK_SKEW) {
        let at = certificate.not_before;
        return Err(AuthorityError::NotYet { file, subject, at });
    }
    Ok(())
}

/// Whether so many intermediates may be below an authority.
pub(super) fn check_length(
    certificate: &Certificate,
    file: &std::path::Path,
    needed: u32,
) -> Result<(), AuthorityError> {
    match certificate.path_length {
        Some(allowed) if allowed < needed => Err(AuthorityError::PathLength {
            file: file.to_owned(),
            subject: certificate.subject.clone(),
            allowed,
            needed,
        }),
        _ => Ok(()),
    }
}

/// The key of a file, in any of the forms that tools write.
pub(super) fn signing_key(file: &NamedFile) -> Result<KeyPair, AuthorityError> {
    let bad = || AuthorityError::BadKey {
        file: file.path.clone(),
    };
    let der = PrivateKeyDer::from_pem_slice(&file.content).map_err(|_: pem::Error| bad())?;
    KeyPair::try_from(&der).map_err(|_| bad())
}

pub(super) fn key_of(key: &KeyPair) -> Vec<u8> {
    rcgen::PublicKeyData::subject_public_key_info(key)
}

/// Certificates as PEM, one after the other.
pub(super) fn pem_of<'a>(certificates: impl IntoIterator<Item = &'a Certificate>) -> String {
    let mut text = String::new();
    for certificate in certificates {
        text += &super::certificate::pem(&certificate.der);
    }
    text
}

pub(super) fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

pub(super) fn earlier(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// Certificates count whole seconds.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

pub(super) fn date(time: Timestamp) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(time.as_second()).expect("jiff's calendar is within that of `time`")
}
