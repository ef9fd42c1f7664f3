//! Tokens of the reader's account in a member: taken, tried, revoked.
//!
//! Each has a Secret in the member that stands for it, and ends with that Secret: so that one can be revoked while others,
//! its successor or another control plane's, stay valid. By default it has no other end. A token with an end of its own
//! makes a member go dark on the day when nobody renewed it, and many API servers cut its time to hours or a day; whoever
//! renews it would need to write in the member, which the reader may not.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Resource, ResourceExt};

use super::super::Failure;
use super::cluster::Cluster;
use super::manifests::{self, HOME, Lasting, READER_NAME};
use super::sides::Sides;

/// How long the member's controllers may take to write a token into its Secret.
const WRITTEN: Duration = Duration::from_secs(30);
/// How long a role may take to count for a new account: API servers learn of it by their own watches.
const IN_FORCE: Duration = Duration::from_secs(15);
const INTERVAL: Duration = Duration::from_millis(200);

/// A token, and the Secret in the member that stands for it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) secret: String,
    /// Its end, as RFC 3339, where it has one of its own.
    pub(super) ends: Option<String>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

/// Takes a new token for the account, for the control plane at home.
pub(super) async fn take(sides: &Sides, namespace: &str, lifetime: Option<Duration>) -> Result<Token, Failure> {
    let member = &sides.member;
    let secrets: Api<Secret> = Api::namespaced(member.client.clone(), namespace);
    let lasting = lifetime.map_or(Lasting::UntilRevoked, |_| Lasting::Bound);
    let object = manifests::token_secret(namespace, Some(&sides.home_uid), lasting);
    let object = serde_json::from_value(object).expect("a Secret");
    let made = secrets.create(&PostParams::default(), &object).await;
    let made = made.map_err(|error| member.failure(&format!("make a Secret in {namespace}"), &error))?;
    let name = made.metadata.name.clone().unwrap_or_default();
    let taken = match lifetime {
        None => written(member, &secrets, &name).await,
        Some(lifetime) => request(member, namespace, &made, lifetime).await,
    };
    match taken {
        Ok((text, ends)) => Ok(Token {
            text,
            secret: name,
            ends,
        }),
        Err(failure) => {
            // Of no use to anybody; that it can't be removed either would only hide why.
            let _ = secrets.delete(&name, &DeleteParams::default()).await;
            Err(failure)
        }
    }
}

type Taken = Result<(String, Option<String>), Failure>;

/// Waits until the member's controllers have written the token.
async fn written(member: &Cluster, secrets: &Api<Secret>, name: &str) -> Taken {
    let look = async {
        loop {
            let secret = secrets.get(name).await;
            let secret = secret.map_err(|error| member.failure("read the Secret of a token", &error))?;
            let token = secret.data.and_then(|mut data| data.remove("token"));
            if let Some(token) = token.and_then(|token| String::from_utf8(token.0).ok()) {
                return Ok((token, None));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    tokio::time::timeout(WRITTEN, look).await.unwrap_or_else(|_| {
        Err(Failure::NotInTime(format!(
            "{}: its controllers wrote no token into the Secret {name} within {} s; check that kube-controller-manager \
             runs there, or take a token with --expires-in",
            member.shown,
            WRITTEN.as_secs()
        )))
    })
}

/// Asks for a token that is bound to a Secret.
async fn request(member: &Cluster, namespace: &str, secret: &Secret, lifetime: Duration) -> Taken {
    let accounts: Api<ServiceAccount> = Api::namespaced(member.client.clone(), namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: Vec::new(),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Secret".to_owned()),
                name: secret.metadata.name.clone(),
                uid: secret.metadata.uid.clone(),
            }),
            expiration_seconds: i64::try_from(lifetime.as_secs()).ok(),
        },
        ..TokenRequest::default()
    };
    let doing = format!("ask for a token of the ServiceAccount {namespace}/{READER_NAME}");
    let answer = accounts
        .create_token_request(READER_NAME, &PostParams::default(), &request)
        .await
        .map_err(|error| member.failure(&doing, &error))?;
    match answer.status {
        Some(status) => Ok((status.token, Some(status.expiration_timestamp.0.to_string()))),
        None => Err(Failure::Refused(format!(
            "the API server of {} gives no token for the ServiceAccount {namespace}/{READER_NAME}",
            member.shown
        ))),
    }
}

/// What is known of a token that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was taken just now: the API server may not have heard of it yet.
    New,
    /// It worked once.
    Earlier,
}

/// Reads a little of every kind with a token, as the control plane will; tells whether the token is valid. What the account
/// may not read is waited for a while.
pub(super) async fn try_out(member: &Cluster, token: &str, origin: Origin) -> Result<bool, Failure> {
    let reader = member.with_token(token).await?;
    let deadline = tokio::time::Instant::now() + IN_FORCE;
    loop {
        let status = match read_all(&reader).await {
            Ok(()) => return Ok(true),
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => status,
            Err(error) => return Err(reader.failure("read", &error)),
        };
        if status.code == 401 && origin == Origin::Earlier {
            return Ok(false);
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(Failure::Forbidden(format!(
                "{}: the account of the reader may not read what it should: {}; does something there change the \
                 ClusterRole {READER_NAME}?",
                member.shown, status.message
            )));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn read_all(reader: &Cluster) -> Result<(), kube::Error> {
    read_kind::<Namespace>(reader).await?;
    read_kind::<Node>(reader).await?;
    read_kind::<Service>(reader).await?;
    read_kind::<EndpointSlice>(reader).await?;
    read_kind::<Pod>(reader).await
}

async fn read_kind<K>(reader: &Cluster) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::all(reader.client.clone());
    api.list_metadata(&ListParams::default().limit(1)).await.map(|_| ())
}

/// Ends the tokens that were taken for home, and the one named `known`, but for the one to keep. They may be those of
/// an attach or a rotation that was interrupted. Tells whose Secrets are gone now.
pub(super) async fn revoke(
    sides: &Sides,
    namespace: &str,
    known: Option<&str>,
    keep: Option<&str>,
) -> Result<Vec<String>, Failure> {
    let member = &sides.member;
    let secrets: Api<Secret> = Api::namespaced(member.client.clone(), namespace);
    let mut revoked = Vec::new();
    for name in of_home(sides, namespace, known).await?.ours {
        if Some(&*name) == keep {
            continue;
        }
        match secrets.delete(&name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(member.failure(&format!("delete the Secret {namespace}/{name}"), &error)),
            Ok(_) => revoked.push(name),
        }
    }
    Ok(revoked)
}

/// The Secrets that stand for tokens of the account.
#[derive(Debug)]
pub(super) struct Tokens {
    /// Those that were taken for home, and the known one.
    pub(super) ours: Vec<String>,
    /// All of them.
    pub(super) all: Vec<String>,
    /// How many are somebody else's.
    pub(super) others: usize,
}

/// Looks which tokens there are, and whose.
pub(super) async fn of_home(sides: &Sides, namespace: &str, known: Option<&str>) -> Result<Tokens, Failure> {
    let found = secrets(&sides.member, namespace).await?;
    let is_ours = |(name, of): &&(String, Option<String>)| {
        of.as_ref().is_some_and(|of| *of == sides.home_uid) || Some(&**name) == known
    };
    let ours: Vec<_> = found.iter().filter(is_ours).map(|(name, _)| name.clone()).collect();
    Ok(Tokens {
        others: found.len() - ours.len(),
        all: found.into_iter().map(|(name, _)| name).collect(),
        ours,
    })
}

/// The Secrets that stand for tokens of the account, each with the home that it is for, where that is known.
pub(super) async fn secrets(member: &Cluster, namespace: &str) -> Result<Vec<(String, Option<String>)>, Failure> {
    let secrets: Api<Secret> = Api::namespaced(member.client.clone(), namespace);
    let params = ListParams::default().labels(manifests::READER_SELECTOR);
    let found = secrets.list_metadata(&params).await;
    let found = found.map_err(|error| member.failure(&format!("list Secrets in {namespace}"), &error))?;
    let found = found.items.into_iter().map(|secret| {
        let home = secret.labels().get(HOME).cloned();
        (secret.name_any(), home)
    });
    Ok(found.collect())
}
