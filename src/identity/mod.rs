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

pub use authority::Authority;
pub use gate::{Gate, PeerCertificates, Refusal, RefusalKind, Requirement, Shown};
pub use issuer::Issuer;
pub use keeper::Keeper;
pub use keyring::{PublishedKeys, Review, TokenAuthorities};
pub use metrics::IdentityMetrics;
pub use proof::Claims;
pub use spiffe::{SpiffeId, TrustDomain, TrustDomains};
pub use token::{BearerToken, ServiceAccount};
pub use workshop::{Outcome, Renewal, RotationStep, Workshop, WorkshopError, issue_to_folder};

#[cfg(test)]
mod tests;
