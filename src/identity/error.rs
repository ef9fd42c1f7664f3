//! Why an authority is refused.

use std::path::PathBuf;

use jiff::Timestamp;

use super::certificate::CertificateError;

/// Why an authority is refused. Names the file and what to do; never shows what is in it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Neither of the two layouts.
    #[error(
        "{} holds no authority: it needs ca-cert.pem, ca-key.pem and root-cert.pem (`parallax ca` makes them), or tls.crt, tls.key and ca.crt", folder.display()
    )]
    Absent {
        /// The folder.
        folder: PathBuf,
    },
    /// A file can't be read.
    #[error("cannot read {}: {cause}; every file of an authority must be there and readable by this user", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A file is no PEM, or has no certificate.
    #[error("{} holds no certificate; it needs at least one block `BEGIN CERTIFICATE`", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// A certificate can't be read.
    #[error("a certificate in {} can't be used: {cause}", file.display())]
    BadCertificate {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        cause: CertificateError,
    },
    /// No private key, or one of a kind that can't sign.
    #[error("{} holds no key that can sign; it needs an unencrypted ECDSA P-256, P-384, Ed25519 or RSA key in PEM", file.display())]
    BadKey {
        /// The file.
        file: PathBuf,
    },
    /// Key and certificate are not a pair.
    #[error("the key in {} does not belong to the certificate in {}; give the pair that was made together", key.display(), certificate.display())]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// A certificate that may sign no others.
    #[error("{} ({subject}) is no authority: its basic constraints or key usage let it sign no certificates; issue one with CA:TRUE and keyCertSign", file.display())]
    NotAuthority {
        /// The file.
        file: PathBuf,
        /// Whose certificate.
        subject: String,
    },
    /// An authority that may have no intermediates below it has one.
    #[error("{} ({subject}) allows {allowed} intermediates below it, and there are {needed}; issue it with a larger path length, or sign directly with it", file.display())]
    PathLength {
        /// The file.
        file: PathBuf,
        /// Whose certificate.
        subject: String,
        /// Its path length.
        allowed: u32,
        /// How many there are.
        needed: u32,
    },
    /// Too old.
    #[error("{} ({subject}) expired at {at:.0}; issue it anew (`parallax ca issue-intermediate`, or `parallax ca rotate-root` for a root)", file.display())]
    Expired {
        /// The file.
        file: PathBuf,
        /// Whose certificate.
        subject: String,
        /// Its end.
        at: Timestamp,
    },
    /// Too new.
    #[error("{} ({subject}) is valid from {at:.0}, which is not yet; is the clock right?", file.display())]
    NotYet {
        /// The file.
        file: PathBuf,
        /// Whose certificate.
        subject: String,
        /// Its beginning.
        at: Timestamp,
    },
    /// Nothing in the bundle signed it.
    #[error("{} ({subject}) was signed by no root in {}; the bundle must hold the root that its chain ends in", file.display(), roots.display())]
    Untrusted {
        /// The file.
        file: PathBuf,
        /// Whose certificate.
        subject: String,
        /// The bundle.
        roots: PathBuf,
    },
    /// A certificate can't be made.
    #[error("a certificate can't be made: {0}")]
    Issue(#[from] rcgen::Error),
}
