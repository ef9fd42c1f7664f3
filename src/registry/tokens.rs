//! What the members' API servers say of service account tokens: the keys that they sign them with, and their own look at one.

use std::collections::BTreeMap;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::Deserialize;
use tokio::sync::Mutex;

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
    /// A client for each, and what it was made from.
    clients: Mutex<BTreeMap<ClusterId, Connected>>,
}

struct Connected {
    source: MemberSource,
    client: Client,
}

/// The client has nothing to show.
impl std::fmt::Debug for Connected {
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
            clients: Mutex::default(),
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
        let client = self.client(member).await?;
        let get = async |path: &str| {
            let request = http::Request::get(path).body(Vec::new()).expect("a constant request");
            client.request_text(request).await
        };
        let jwks = get("/openid/v1/jwks").await;
        let jwks = jwks.map_err(|error| Failure::of("openid/v1/jwks", &error).to_string())?;
        let configuration = match get("/.well-known/openid-configuration").await {
            Ok(text) => serde_json::from_str::<OpenIdConfiguration>(&text).ok(),
            // An API server may keep it from us for good. A failure that passes must not make keys of any issuer count.
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403 | 404) => None,
            Err(error) => return Err(Failure::of("openid-configuration", &error).to_string()),
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
        let reviews: Api<TokenReview> = Api::all(self.client(member).await?);
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: Some(audiences.to_vec()),
            },
            ..TokenReview::default()
        };
        let answer = reviews.create(&PostParams::default(), &review).await;
        let answer = answer.map_err(|error| Failure::of("tokenreviews", &error).to_string())?;
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

    async fn client(&self, member: &ClusterId) -> Result<Client, String> {
        let Some(source) = self.members.source(member) else {
            return Err("it is no member any more".to_owned());
        };
        let mut clients = self.clients.lock().await;
        if let Some(known) = clients.get(member).filter(|known| known.source == source) {
            return Ok(known.client.clone());
        }
        let client = kubernetes::connect(&source)
            .await
            .map_err(|failure| failure.to_string())?;
        let connected = Connected {
            source,
            client: client.clone(),
        };
        clients.insert(member.clone(), connected);
        Ok(client)
    }
}
