//! Identity: who a workload is, the authority that certifies it, and how a proxy proves who it is.

mod authority;
mod certificate;
mod error;
mod files;
mod gate;
mod issuer;
mod keeper;
mod keyring;
mod making;
mod metrics;
mod proof;
mod spiffe;
mod token;
mod workshop;

pub use authority::{Authority, AuthorityFiles, NamedFile, SecretPem, WorkloadCertificate};
pub use certificate::CertificateError;
pub use error::AuthorityError;
pub use files::read_authority_files;
pub use gate::{Gate, PeerCertificates, Refusal, RefusalKind, Requirement, Shown};
pub use issuer::Issuer;
pub use keeper::Keeper;
pub use keyring::{PublishedKeys, Review, TokenAuthorities};
pub use metrics::IdentityMetrics;
pub use proof::{Claims, Means, Mismatch, Proven};
pub use spiffe::{SpiffeError, SpiffeId, TrustDomain, TrustDomains};
pub use token::{BearerToken, KeySet, ServiceAccount, TokenError};
pub use workshop::{Outcome, Renewal, RotationStep, Workshop, WorkshopError, issue_to_folder};

#[cfg(test)]
mod tests;
