//! The secrets of one stream: the certificate of whoever proved to be at its other end, and the roots that it trusts. They are
//! kept here alone, never in a view, and renewed for as long as the stream lives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::cache::{Changes, Lookup, Subscriber};
use crate::identity::{Authority, Issuer, SpiffeId};
use crate::resources::{ROOTS_SECRET, Resource, ResourceType, SecretSpec, WORKLOAD_SECRET};

/// How soon a certificate that could not be issued is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Over how long the certificates of all streams are issued anew when the authority changed.
const SPREAD: Duration = Duration::from_secs(5);

/// What a stream's proxy holds, or is about to; read when answers are built.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<BTreeMap<Arc<str>, Arc<Resource>>>);

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Resource>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a secret in place; false when it is the same as before.
    fn put(&self, resource: Resource) -> bool {
        let mut held = self.lock();
        let same = held
            .get(&resource.name)
            .is_some_and(|old| old.version == resource.version);
        if !same {
            held.insert(Arc::clone(&resource.name), Arc::new(resource));
        }
        !same
    }
}

/// All that a stream may look up: what its view has, and its own secrets.
pub(super) struct Everything<'a> {
    pub(super) subscriber: &'a Subscriber,
    pub(super) shelf: &'a Shelf,
}

impl Lookup for Everything<'_> {
    fn get(&self, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        match kind {
            ResourceType::Secret => self.shelf.lock().get(name).cloned(),
            _ => self.subscriber.get(kind, name),
        }
    }

    fn all(&self, kind: ResourceType) -> Vec<Arc<Resource>> {
        self.subscriber.all(kind)
    }
}

/// Keeps the secrets that a stream asked for up to date.
pub(super) struct SecretKeeper<'a> {
    shelf: &'a Shelf,
    /// Who gets them and from whom.
    source: Source,
    wanted: BTreeSet<Arc<str>>,
    /// When the certificate is due to be issued anew.
    renew_at: Option<Instant>,
}

struct Source {
    issuer: Arc<Issuer>,
    id: SpiffeId,
    authority: watch::Receiver<Arc<Authority>>,
    /// The authority that was seen last.
    last: Arc<Authority>,
}

impl<'a> SecretKeeper<'a> {
    pub(super) fn new(shelf: &'a Shelf, issuer: Arc<Issuer>, id: SpiffeId) -> Self {
        let mut authority = issuer.watch();
        let last = Arc::clone(&authority.borrow_and_update());
        Self {
            shelf,
            source: Source {
                issuer,
                id,
                authority,
                last,
            },
            wanted: BTreeSet::new(),
            renew_at: None,
        }
    }

    /// Secrets are asked for: those that there are will be found from the return on.
    pub(super) fn want(&mut self, names: &[Arc<str>]) {
        self.wanted.extend(names.iter().cloned());
        for name in names {
            match &**name {
                // One that is good is given again: who asks and gives back over and over costs nothing.
                WORKLOAD_SECRET if self.renew_at.is_none_or(|at| at <= Instant::now()) => {
                    self.issue();
                }
                ROOTS_SECRET => {
                    self.put_roots();
                }
                _ => {}
            }
        }
    }

    /// Secrets are given back. A certificate is kept until it is due to be renewed, in case it is asked for again.
    pub(super) fn give_back(&mut self, names: &[Arc<str>]) {
        for name in names {
            self.wanted.remove(name);
        }
    }

    /// Waits until a secret was renewed; returns which. Safe to drop and call again.
    pub(super) async fn changed(&mut self, random: impl Fn() -> f64) -> Changes {
        loop {
            let source = &mut self.source;
            let renewal = async {
                match self.renew_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let mut names = BTreeSet::new();
            tokio::select! {
                () = renewal => {
                    if self.issue() {
                        names.insert(WORKLOAD_SECRET);
                    }
                }
                // The sender lives in the issuer, which the source keeps.
                Ok(()) = source.authority.changed() => {
                    let now = Arc::clone(&source.authority.borrow_and_update());
                    let before = std::mem::replace(&mut source.last, Arc::clone(&now));
                    // The roots first: who gets a certificate under a new one meets nobody who does not know it.
                    if self.put_roots() {
                        names.insert(ROOTS_SECRET);
                    }
                    if !now.signs_as(&before) {
                        let soon = Instant::now() + SPREAD.mul_f64(random());
                        self.renew_at = self.renew_at.map(|at| at.min(soon));
                    }
                }
            }
            if !names.is_empty() {
                return Changes::from([(ResourceType::Secret, names.into_iter().map(Arc::from).collect())]);
            }
        }
    }

    /// Issues the certificate; false when it can't be, and what there is stays. Where nobody wants it any more, it is forgotten.
    fn issue(&mut self) -> bool {
        self.renew_at = None;
        if !self.wanted.contains(WORKLOAD_SECRET) {
            self.shelf.lock().remove(WORKLOAD_SECRET);
            return false;
        }
        let source = &self.source;
        match source.issuer.issue(&source.id) {
            Ok((certificate, renew_after)) => {
                self.renew_at = Some(Instant::now() + renew_after);
                let key = certificate.key.reveal();
                self.shelf.put(
                    SecretSpec::Workload {
                        chain: &certificate.chain,
                        key,
                    }
                    .encode(),
                )
            }
            Err(error) => {
                tracing::error!(id = %source.id, %error, "a workload certificate can't be issued");
                self.renew_at = Some(Instant::now() + AGAIN);
                false
            }
        }
    }

    fn put_roots(&self) -> bool {
        self.wanted.contains(ROOTS_SECRET) && self.shelf.put(SecretSpec::Roots(&self.source.issuer.bundle()).encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{IdentityMetrics, Keeper, TrustDomain, Workshop};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[tokio::test(start_paused = true)]
    async fn a_certificate_that_is_good_is_given_again_and_one_that_nobody_wants_is_forgotten_when_it_is_due() {
        let folder = tempfile::tempdir().unwrap();
        let domain = TrustDomain::new("cluster.local").unwrap();
        let workshop = Workshop::new(folder.path());
        let now = jiff::Timestamp::now();
        workshop.init(&domain, 300 * DAY, now).unwrap();
        let member = crate::model::ClusterId::new("a").unwrap();
        workshop
            .issue_intermediate(&member, crate::identity::Renewal::NotAsked, 200 * DAY, now)
            .unwrap();
        let metrics = IdentityMetrics::default();
        let keeper = Keeper::open(&workshop.member_folder(&member), metrics.clone()).unwrap();
        let issuer = Arc::new(Issuer::new(Arc::new(keeper), DAY, metrics));
        let id = SpiffeId::new(domain, "shop", "web").unwrap();
        let shelf = Shelf::default();
        let held = || shelf.lock().get(WORKLOAD_SECRET).map(|resource| resource.version);
        let mut secrets = SecretKeeper::new(&shelf, issuer, id);
        let name = [Arc::from(WORKLOAD_SECRET)];
        secrets.want(&name);
        let first = held();
        assert!(first.is_some());
        for _ in 0..3 {
            secrets.give_back(&name);
            secrets.want(&name);
        }
        assert_eq!(held(), first);

        let renewed = tokio::time::timeout(DAY, secrets.changed(|| 0.5)).await;
        assert!(renewed.is_ok() && held() != first);
        secrets.give_back(&name);
        let renewed = tokio::time::timeout(DAY, secrets.changed(|| 0.5)).await;
        assert!(renewed.is_err() && held().is_none());
        secrets.want(&name);
        assert!(held().is_some());
    }
}
