//! The keys that members sign tokens with: fetched from each API server, kept while it is away.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures::future::{BoxFuture, join_all};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::gate::Refusal;
use super::token::{BearerToken, KeySet, ServiceAccount, TokenError};
use crate::model::ClusterId;

/// How often keys are fetched anew.
const REFRESH: Duration = Duration::from_secs(300);
/// How soon again from a member that has given none yet, and at most how often because a token came with an unknown key.
const AGAIN: Duration = Duration::from_secs(10);
/// How long an API server has for an answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How many tokens may be under review at a time; more wait.
const REVIEWS: usize = 16;

/// What an API server publishes about the tokens that it signs.
#[derive(Debug, Clone)]
pub struct PublishedKeys {
    /// `/openid/v1/jwks`.
    pub jwks: String,
    /// The issuer in `/.well-known/openid-configuration`, where we may read it; without it, one that was read before counts on.
    pub issuer: Option<String>,
}

/// What an API server says of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Review {
    /// It is good.
    Authentic(ServiceAccount),
    /// It is not.
    Refused(String),
}

/// The API servers of the members, as far as tokens are concerned. Errors are in words.
pub trait TokenAuthorities: Debug + Send + Sync {
    /// The members that have an API server.
    fn members(&self) -> Vec<ClusterId>;
    /// Asks one for its keys.
    fn published_keys<'a>(&'a self, member: &'a ClusterId) -> BoxFuture<'a, Result<PublishedKeys, String>>;
    /// Has one look at a token.
    fn review<'a>(
        &'a self,
        member: &'a ClusterId,
        token: &'a BearerToken,
        audiences: &'a [String],
    ) -> BoxFuture<'a, Result<Review, String>>;
}

/// The keys of all members.
#[derive(Debug)]
pub(super) struct KeyRing {
    authorities: Arc<dyn TokenAuthorities>,
    members: Mutex<BTreeMap<ClusterId, Arc<MemberKeys>>>,
    reviews: Semaphore,
}

#[derive(Debug, Default)]
struct MemberKeys {
    /// The last good ones.
    keys: ArcSwapOption<KeySet>,
    /// When they were asked for last. Held while they are being fetched, so that nobody else does.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

impl KeyRing {
    pub(super) fn new(authorities: Arc<dyn TokenAuthorities>) -> Self {
        Self {
            authorities,
            members: Mutex::default(),
            reviews: Semaphore::new(REVIEWS),
        }
    }

    /// Keeps all keys fresh for as long as it is polled: what is known when an API server goes away is what is used then.
    pub(super) async fn run(&self) {
        loop {
            let due = self.all().into_iter().map(|(member, keys)| async move {
                let fresh = if keys.keys.load().is_some() { REFRESH } else { AGAIN };
                self.fetch(&member, &keys, fresh).await;
            });
            join_all(due).await;
            sleep(AGAIN).await;
        }
    }

    /// The member that signed a token, and whose it is.
    pub(super) async fn check(
        &self,
        token: &BearerToken,
        claimed: Option<&ClusterId>,
        audiences: &[String],
    ) -> Result<(ClusterId, ServiceAccount), Refusal> {
        let key_id = token.key_id()?;
        match self.by_keys(token, key_id.as_deref(), claimed, audiences) {
            Err(TokenError::UnknownKey) => {}
            outcome => return Ok(outcome?),
        }
        // A key may be new, or its member.
        let mut asked = self.all();
        if let Some(claimed) = claimed {
            asked.retain(|(member, _)| member == claimed);
        }
        if asked.is_empty() {
            return Err(TokenError::UnknownKey.into());
        }
        let fetching = asked.iter().map(|(member, keys)| self.fetch(member, keys, AGAIN));
        join_all(fetching).await;
        match self.by_keys(token, key_id.as_deref(), claimed, audiences) {
            Err(TokenError::UnknownKey) => {}
            outcome => return Ok(outcome?),
        }
        // Who publishes no keys to us can still be asked about the token; but a token is shown to no other member than its own.
        let alone = asked.len() == 1;
        asked.retain(|(_, keys)| keys.keys.load().is_none());
        if !asked.is_empty() && !alone {
            return Err(TokenError::WhichMember.into());
        }
        let mut outcome = Refusal::from(TokenError::UnknownKey);
        for (member, _) in asked {
            match self.review(&member, token, audiences).await {
                Ok(Review::Authentic(account)) => return Ok((member, account)),
                Ok(Review::Refused(reason)) => tracing::debug!(%member, reason, "a token was refused in review"),
                Err(problem) => outcome = Refusal::Unknown(format!("member {member}: {problem}")),
            }
        }
        Err(outcome)
    }

    /// Checks by the keys at hand, those of the member that is claimed first.
    fn by_keys(
        &self,
        token: &BearerToken,
        key_id: Option<&str>,
        claimed: Option<&ClusterId>,
        audiences: &[String],
    ) -> Result<(ClusterId, ServiceAccount), TokenError> {
        let mut all = self.all();
        all.sort_by_key(|(member, _)| Some(member) != claimed);
        let mut worst = TokenError::UnknownKey;
        for (member, keys) in all {
            if let Some(keys) = keys.keys.load_full()
                && keys.has(key_id)
            {
                match keys.check(token, audiences, Timestamp::now()) {
                    Ok(account) => return Ok((member, account)),
                    Err(error) if worst == TokenError::UnknownKey => worst = error,
                    Err(_) => {}
                }
            }
        }
        Err(worst)
    }

    async fn review(&self, member: &ClusterId, token: &BearerToken, audiences: &[String]) -> Result<Review, String> {
        let asking = async {
            let _turn = self.reviews.acquire().await;
            self.authorities.review(member, token, audiences).await
        };
        timeout(ANSWER, asking)
            .await
            .unwrap_or_else(|_| Err(format!("its API server did not answer within {ANSWER:?}")))
    }

    /// Fetches the keys of a member, unless that was tried within `fresh`. What can't be fetched takes nothing away.
    async fn fetch(&self, member: &ClusterId, held: &MemberKeys, fresh: Duration) {
        let mut asked = held.asked.lock().await;
        if asked.is_some_and(|at| at.elapsed() < fresh) {
            return;
        }
        let answer = timeout(ANSWER, self.authorities.published_keys(member)).await;
        *asked = Some(Instant::now());
        let known = held.keys.load_full();
        let read = match answer {
            Ok(Ok(published)) => {
                // What was known once is not forgotten because it can't be read at the moment.
                let issuer = published.issuer.as_deref();
                let issuer = issuer.or_else(|| known.as_ref()?.issuer());
                KeySet::read(&published.jwks, issuer)
            }
            Ok(Err(problem)) => Err(problem),
            Err(_) => Err(format!("no answer within {ANSWER:?}")),
        };
        match read {
            Ok(keys) => {
                if !known.is_some_and(|old| old.is_same(&keys)) {
                    tracing::info!(%member, ?keys, "keys of service account tokens");
                    held.keys.store(Some(Arc::new(keys)));
                }
            }
            Err(problem) => tracing::debug!(%member, problem, "no keys of service account tokens"),
        }
    }

    /// All members that there are now, with what is known of each.
    fn all(&self) -> Vec<(ClusterId, Arc<MemberKeys>)> {
        let present = self.authorities.members();
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|member, _| present.contains(member));
        let known = present.into_iter().map(|member| {
            let keys = Arc::clone(members.entry(member.clone()).or_default());
            (member, keys)
        });
        known.collect()
    }
}
