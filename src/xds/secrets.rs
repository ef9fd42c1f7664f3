//! The secrets of one stream: the certificate of whoever proved to be at its other end, and the roots that it trusts. They are
//! kept here alone, never in a view, and renewed for as long as the stream lives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::cache::{Changes, Lookup, Subscriber};
use crate::identity::{Authority, Issuer, SpiffeId};
use crate::lifecycle::random;
use crate::resources::{ROOTS_SECRET, Resource, ResourceType, SecretSpec, Version, WORKLOAD_SECRET};

/// How soon a certificate that could not be issued is tried again, about: streams that failed together must not come together.
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

    /// Secrets are asked for: those that there are will be found from the return on. A client that comes back says which version of
    /// its certificate it holds, if any.
    pub(super) fn want(&mut self, names: &[Arc<str>], claim: Option<Version>) {
        self.wanted.extend(names.iter().cloned());
        for name in names {
            match &**name {
                // One that is good is given again: who asks and gives back over and over costs nothing.
                WORKLOAD_SECRET if self.renew_at.is_none_or(|at| at <= Instant::now()) => {
                    self.issue(claim);
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
                    if self.issue(None) {
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
    ///
    /// One that the client claims to hold, of this authority and not due yet, is as good: the new one gets its version, is there if it is
    /// asked for all the same, and else stays here until the time comes. Another one every time that streams end would have an
    /// Envoy build all its TLS contexts anew. Whoever claims what it does not hold harms itself only.
    fn issue(&mut self, claim: Option<Version>) -> bool {
        self.renew_at = None;
        if !self.wanted.contains(WORKLOAD_SECRET) {
            self.shelf.lock().remove(WORKLOAD_SECRET);
            return false;
        }
        let source = &self.source;
        // Read before the certificate is made: by a newer one than its version says, it is made once more.
        let authority = Arc::clone(&source.authority.borrow());
        match source.issuer.issue(&source.id) {
            Ok((certificate, mut renew_after)) => {
                let made_by = (authority.signer(), source.id.to_string());
                let now = Timestamp::now().as_millisecond().unsigned_abs();
                let held = claim.and_then(|claim| Some((claim, claim.end_of(&made_by)?.checked_sub(now)?)));
                let version = match held.filter(|(_, left)| *left > 0) {
                    Some((version, left)) => {
                        renew_after = renew_after.min(Duration::from_millis(left));
                        version
                    }
                    None => {
                        let due = renew_after.as_millis().try_into().unwrap_or(u64::MAX);
                        Version::until(&made_by, now.saturating_add(due))
                    }
                };
                self.renew_at = Some(Instant::now() + renew_after);
                let key = certificate.key.reveal();
                self.shelf.put(
                    SecretSpec::Workload {
                        chain: &certificate.chain,
                        key,
                        version,
                    }
                    .encode(),
                )
            }
            Err(error) => {
                // The issuer says it aloud, once for all.
                tracing::debug!(id = %source.id, %error, "a workload certificate can't be issued");
                self.renew_at = Some(Instant::now() + AGAIN.mul_f64(0.5 + random()));
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

    fn issuer(domain: &TrustDomain) -> Arc<Issuer> {
        let folder = tempfile::tempdir().unwrap();
        let workshop = Workshop::new(folder.path());
        let now = Timestamp::now();
        workshop.init(domain, 300 * DAY, now).unwrap();
        let member = crate::model::ClusterId::new("a").unwrap();
        workshop
            .issue_intermediate(&member, crate::identity::Renewal::NotAsked, 200 * DAY, now)
            .unwrap();
        let metrics = IdentityMetrics::default();
        let keeper = Keeper::open(&workshop.member_folder(&member), metrics.clone()).unwrap();
        Arc::new(Issuer::new(Arc::new(keeper), DAY, metrics))
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_back_keeps_a_certificate_of_its_own_of_this_authority_until_it_is_due() {
        let domain = TrustDomain::new("cluster.local").unwrap();
        let [issuer, other] = [(); 2].map(|()| issuer(&domain));
        let id = |account: &str| SpiffeId::new(domain.clone(), "shop", account).unwrap();
        let name = [Arc::from(WORKLOAD_SECRET)];
        // What is held by whoever claims something on a new stream, and which is the next.
        let held = async |issuer: &Arc<Issuer>, account: &str, claim: Option<Version>| {
            let shelf = Shelf::default();
            let mut secrets = SecretKeeper::new(&shelf, Arc::clone(issuer), id(account));
            secrets.want(&name, claim);
            let held = || shelf.lock().get(WORKLOAD_SECRET).map(|resource| resource.version);
            let first = held();
            let renewed = tokio::time::timeout(DAY, secrets.changed(|| 0.5)).await;
            assert!(renewed.is_ok() && held() != first, "it is renewed in time");
            first
        };
        let mine = held(&issuer, "web", None).await;
        assert_eq!(held(&issuer, "web", mine).await, mine);
        assert_ne!(held(&issuer, "client", mine).await, mine, "another's");
        assert_ne!(held(&other, "web", mine).await, mine, "of another authority");
        let authority = Arc::clone(&issuer.watch().borrow());
        let made_by = (authority.signer(), id("web").to_string());
        let now = Timestamp::now().as_millisecond().unsigned_abs();
        let due = Some(Version::until(&made_by, now - 1));
        assert_ne!(held(&issuer, "web", due).await, due, "it is over");
        // Who says more than there is to have is given none for longer than others are.
        let lie = Some(Version::until(&made_by, u64::MAX));
        assert_eq!(held(&issuer, "web", lie).await, lie);
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_that_is_good_is_given_again_and_one_that_nobody_wants_is_forgotten_when_it_is_due() {
        let domain = TrustDomain::new("cluster.local").unwrap();
        let issuer = issuer(&domain);
        let id = SpiffeId::new(domain, "shop", "web").unwrap();
        let shelf = Shelf::default();
        let held = || shelf.lock().get(WORKLOAD_SECRET).map(|resource| resource.version);
        let mut secrets = SecretKeeper::new(&shelf, issuer, id);
        let name = [Arc::from(WORKLOAD_SECRET)];
        secrets.want(&name, None);
        let first = held();
        assert!(first.is_some());
        for _ in 0..3 {
            secrets.give_back(&name);
            secrets.want(&name, None);
        }
        assert_eq!(held(), first);

        let renewed = tokio::time::timeout(DAY, secrets.changed(|| 0.5)).await;
        assert!(renewed.is_ok() && held() != first);
        secrets.give_back(&name);
        let renewed = tokio::time::timeout(DAY, secrets.changed(|| 0.5)).await;
        assert!(renewed.is_err() && held().is_none());
        secrets.want(&name, None);
        assert!(held().is_some());
    }
}
