//! Authorities on disk, as the commands make them and as others do.

mod authority;
mod gate;
mod keeper;
mod token;
mod workshop;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;

use super::error::AuthorityError;
use super::files::read_authority_files;
use super::{Authority, Renewal, SpiffeId, TrustDomain, Workshop};
use crate::model::ClusterId;

pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn now() -> Timestamp {
    "2030-06-01T12:00:00Z".parse().unwrap()
}

pub(super) fn after(duration: Duration) -> Timestamp {
    now() + SignedDuration::try_from(duration).unwrap()
}

pub(super) fn domain() -> TrustDomain {
    TrustDomain::new("cluster.local").unwrap()
}

pub(super) fn web() -> SpiffeId {
    SpiffeId::new(domain(), "shop", "web").unwrap()
}

pub(super) fn member(name: &str) -> ClusterId {
    ClusterId::new(name).unwrap()
}

pub(super) fn open(folder: &Path) -> Result<Authority, AuthorityError> {
    Authority::read(&read_authority_files(folder)?, now())
}

/// A workshop with a root and the intermediates of these members.
pub(super) fn workshop(folder: &Path, members: &[&str]) -> Workshop {
    let workshop = Workshop::new(folder);
    workshop.init(&domain(), 3650 * DAY, now()).unwrap();
    for name in members {
        workshop
            .issue_intermediate(&member(name), Renewal::NotAsked, 730 * DAY, now())
            .unwrap();
    }
    workshop
}

/// Whether whoever trusts a bundle takes this chain, by the rules of TLS.
pub(super) fn trusts(bundle: &str, chain: &str) -> bool {
    trusts_at(now() + SignedDuration::from_hours(1), bundle, chain)
}

/// Likewise by the real clock.
pub(super) fn trusts_now(bundle: &str, chain: &str) -> bool {
    trusts_at(Timestamp::now(), bundle, chain)
}

fn trusts_at(time: Timestamp, bundle: &str, chain: &str) -> bool {
    let ders = |pem: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .unwrap()
    };
    let mut roots = RootCertStore::empty();
    for root in ders(bundle) {
        roots.add(root).unwrap();
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    let chain = ders(chain);
    let at = UnixTime::since_unix_epoch(Duration::from_secs(time.as_second().unsigned_abs()));
    verifier.verify_client_cert(&chain[0], &chain[1..], at).is_ok()
}
