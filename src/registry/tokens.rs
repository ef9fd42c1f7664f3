//! What the members' API servers say of service account tokens: the keys that they sign them with, and their own look at one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::kubernetes::{self, Failure};
use super::{MemberSource, Members};
use crate::model::ClusterId;

/// The extra field of a user that says which pod a token is bound to.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";

/// What an API server publishes about its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKeys {
    /// The set of keys, as JSON.
    pub jwks: String,
    /// Who issues the tokens, where that can be read.
    pub issuer: Option<String>,
}

/// What an API server found about a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenVerdict {
    /// It is this user's.
    User {
        /// `system:serviceaccount:NAMESPACE:NAME` for service accounts.
        name: String,
        /// The pod it is bound to.
        pod: Option<String>,
    },
    /// It is not good, and why.
    Refused(String),
}

/// The API servers of the members, for questions about tokens.
#[derive(Debug)]
pub struct MemberTokens {
    members: Members,
    /// A way to each member that was asked something. Never held while one is made: a member that can't be reached holds up nobody
    /// else.
    ways: Mutex<BTreeMap<ClusterId, Arc<Way>>>,
}

/// The way to an API server.
struct Way {
    source: MemberSource,
    /// Made by whoever needs it first.
    client: OnceCell<Client>,
}

/// The client has nothing to show.
impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.source)
    }
}

/// The part of `/.well-known/openid-configuration` that matters.
#[derive(Deserialize)]
struct OpenIdConfiguration {
    issuer: String,
}

impl MemberTokens {
    /// Of these members.
    #[must_use]
    pub fn new(members: Members) -> Self {
        Self {
            members,
            ways: Mutex::default(),
        }
    }

    /// The members that have an API server.
    #[must_use]
    pub fn members(&self) -> Vec<ClusterId> {
        self.members.with_api_server()
    }

    /// Asks a member for the keys of its tokens. Without a limit of time: the caller sets one.
    ///
    /// # Errors
    /// In words, when it does not answer, or not to us: the role `system:service-account-issuer-discovery` lets it.
    pub async fn keys(&self, member: &ClusterId) -> Result<TokenKeys, String> {
        let (way, client) = self.client(member).await?;
        let get = async |path: &str| {
            let request = http::Request::get(path).body(Vec::new()).expect("a constant request");
            client.request_text(request).await
        };
        let jwks = get("/openid/v1/jwks").await;
        let jwks = jwks.map_err(|error| self.failed(member, &way, Failure::of("openid/v1/jwks", &error)))?;
        let configuration = match get("/.well-known/openid-configuration").await {
            Ok(text) => serde_json::from_str::<OpenIdConfiguration>(&text).ok(),
            // An API server may keep it from us for good. A failure that passes must not make keys of any issuer count.
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403 | 404) => None,
            Err(error) => return Err(self.failed(member, &way, Failure::of("openid-configuration", &error))),
        };
        Ok(TokenKeys {
            jwks,
            issuer: configuration.map(|configuration| configuration.issuer),
        })
    }

    /// Has a member look at a token. Without a limit of time: the caller sets one.
    ///
    /// # Errors
    /// In words, when it does not answer, or not to us: the role `system:auth-delegator` lets it.
    pub async fn review(&self, member: &ClusterId, token: &str, audiences: &[String]) -> Result<TokenVerdict, String> {
        let (way, client) = self.client(member).await?;
        let reviews: Api<TokenReview> = Api::all(client);
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: Some(audiences.to_vec()),
            },
            ..TokenReview::default()
        };
        let answer = reviews.create(&PostParams::default(), &review).await;
        let answer = answer.map_err(|error| self.failed(member, &way, Failure::of("tokenreviews", &error)))?;
        let status = answer.status.unwrap_or_default();
        // An API server that does not know audiences says none, and would take a token for anybody.
        let for_us = status
            .audiences
            .iter()
            .flatten()
            .any(|audience| audiences.contains(audience));
        match status.user {
            Some(user) if status.authenticated == Some(true) && for_us => Ok(TokenVerdict::User {
                name: user.username.unwrap_or_default(),
                pod: user
                    .extra
                    .and_then(|mut extra| extra.remove(POD_NAME))
                    .and_then(|names| names.into_iter().next()),
            }),
            _ => Ok(TokenVerdict::Refused(status.error.unwrap_or_default())),
        }
    }

    /// What is said of a failure. Credentials that are refused are not used again: another token may be there by now.
    fn failed(&self, member: &ClusterId, way: &Arc<Way>, failure: Failure) -> String {
        if matches!(failure, Failure::Unauthorized(_)) {
            let mut ways = self.ways();
            if ways.get(member).is_some_and(|known| Arc::ptr_eq(known, way)) {
                ways.remove(member);
            }
        }
        failure.to_string()
    }

    async fn client(&self, member: &ClusterId) -> Result<(Arc<Way>, Client), String> {
        let way = self.way(member)?;
        let connecting = way
            .client
            .get_or_try_init(async || kubernetes::connect(&way.source).await);
        let client = connecting.await.map_err(|failure| failure.to_string())?.clone();
        Ok((way, client))
    }

    /// The way to a member as it is read at present. Those to members that left are forgotten.
    fn way(&self, member: &ClusterId) -> Result<Arc<Way>, String> {
        let mut ways = self.ways();
        ways.retain(|name, way| self.members.source(name).as_ref() == Some(&way.source));
        let Some(source) = self.members.source(member) else {
            return Err("it is no member any more".to_owned());
        };
        let way = ways.entry(member.clone()).or_insert_with(|| {
            Arc::new(Way {
                source,
                client: OnceCell::new(),
            })
        });
        Ok(Arc::clone(way))
    }

    fn ways(&self) -> std::sync::MutexGuard<'_, BTreeMap<ClusterId, Arc<Way>>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::id;
    use super::super::{MemberOptions, SecretText};
    use super::*;
    use crate::model::ObjectName;

    fn source(kubeconfig: &str) -> MemberSource {
        MemberSource::Secret {
            secret: ObjectName::new("home", "east"),
            kubeconfig: SecretText::new(kubeconfig),
            allowed: Arc::default(),
        }
    }

    #[tokio::test]
    async fn a_way_lasts_until_the_member_moves_or_leaves_or_refuses_us() {
        let members = Members::default();
        let _east = members.join(&id("east"), &source("one"), MemberOptions::default());
        let _west = members.join(&id("west"), &source("one"), MemberOptions::default());
        let tokens = MemberTokens::new(members.clone());
        let east = tokens.way(&id("east")).unwrap();
        tokens.way(&id("west")).unwrap();
        assert!(Arc::ptr_eq(&east, &tokens.way(&id("east")).unwrap()));
        // A kubeconfig that is of no use is tried again, and told each time.
        for _ in 0..2 {
            let said = tokens.keys(&id("east")).await.unwrap_err();
            assert!(said.contains("kubeconfig"), "{said}");
        }
        tokens.failed(&id("east"), &east, Failure::Unauthorized("expired".to_owned()));
        let again = tokens.way(&id("east")).unwrap();
        assert!(!Arc::ptr_eq(&east, &again));
        // Late news of the way before costs the new one nothing.
        tokens.failed(&id("east"), &east, Failure::Unauthorized("expired".to_owned()));
        assert!(Arc::ptr_eq(&again, &tokens.way(&id("east")).unwrap()));
        members.moved(&id("east"), &source("two"));
        assert!(!Arc::ptr_eq(&again, &tokens.way(&id("east")).unwrap()));
        members.leave(&id("west"));
        tokens.way(&id("east")).unwrap();
        assert_eq!(tokens.ways().keys().collect::<Vec<_>>(), [&id("east")]);
    }
}
