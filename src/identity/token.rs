//! Tokens of service accounts, checked by the keys that their API server publishes. Pure.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

/// The longest token that is looked at, in bytes: one of Kubernetes has about 1,200.
const MAX_BYTES: usize = 16 << 10;

/// Clocks of a mesh differ by a little.
const CLOCK_SKEW: i64 = 30;

/// Why a token proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token of a kind that is checked here.
    #[error("the token can't be read: {0}")]
    Unreadable(&'static str),
    /// Its key is not among those that are published.
    #[error("the token is signed by a key that no member publishes; is it of a member of this mesh?")]
    UnknownKey,
    /// Only its own member could tell, and nobody says which that is.
    #[error(
        "the token is signed by a key that no member publishes, and the node does not say which member to ask; set CLUSTER_ID in its metadata"
    )]
    WhichMember,
    /// It was changed, or signed by somebody else.
    #[error("the signature of the token is wrong")]
    Signature,
    /// It is too old.
    #[error("the token expired at {0:.0}; the kubelet renews a projected token by itself, so read the file again")]
    Expired(Timestamp),
    /// It is too new.
    #[error("the token is valid from {0:.0} only; is the clock right?")]
    NotYet(Timestamp),
    /// It is for somebody else.
    #[error("the token is not for us; its audience must be one of: {}", .0.join(", "))]
    Audience(Vec<String>),
    /// It is of another issuer than the keys.
    #[error("the token is of another issuer than its member's API server")]
    Issuer,
    /// It is not of a service account.
    #[error("the token is not of a service account")]
    Subject,
}

/// A bearer token; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(Arc<str>);

impl BearerToken {
    /// Takes the value of an `authorization` header; `None` where it is of another scheme.
    #[must_use]
    pub fn from_header(value: &str) -> Option<Self> {
        let (scheme, token) = value.trim().split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Self(token.into()))
    }

    /// The text, for whoever checks it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Which key is said to have signed it.
    ///
    /// # Errors
    /// When it is no signed token.
    pub(super) fn key_id(&self) -> Result<Option<String>, TokenError> {
        if self.0.len() > MAX_BYTES {
            return Err(TokenError::Unreadable("it is too long"));
        }
        let header = decode_header(&*self.0).map_err(|_| TokenError::Unreadable("it is no JSON web token"))?;
        Ok(header.kid)
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(token)")
    }
}

/// A service account, and the pod that it is used by where the token is bound to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The pod.
    pub pod: Option<String>,
}

impl ServiceAccount {
    /// Reads a user name of Kubernetes, `system:serviceaccount:NAMESPACE:NAME`.
    #[must_use]
    pub fn from_user(user: &str, pod: Option<String>) -> Option<Self> {
        let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        Some(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            pod,
        })
    }
}

/// The keys that an API server signs tokens with.
pub(super) struct KeySet {
    issuer: Option<String>,
    keys: Vec<Key>,
    /// What it was read from, to see whether it changed.
    text: String,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl KeySet {
    /// Reads what `/openid/v1/jwks` answers; `issuer` is what `/.well-known/openid-configuration` names. Keys of kinds that
    /// sign no tokens of service accounts are passed over.
    ///
    /// # Errors
    /// In words, when it is no set of keys.
    pub(super) fn read(jwks: &str, issuer: Option<&str>) -> Result<Self, String> {
        let set: JwkSet = serde_json::from_str(jwks).map_err(|error| format!("no JSON web key set: {error}"))?;
        let keys: Vec<Key> = set.keys.iter().filter_map(Key::read).collect();
        if keys.is_empty() {
            return Err("a JSON web key set without any RS256, ES256 or ES384 key".to_owned());
        }
        Ok(Self {
            issuer: issuer.map(str::to_owned),
            keys,
            text: format!("{}\n{jwks}", issuer.unwrap_or_default()),
        })
    }

    /// Whether a key of this id is among them.
    pub(super) fn has(&self, key_id: Option<&str>) -> bool {
        self.keys.iter().any(|key| key.is(key_id))
    }

    /// Who issues the tokens, where that is known.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Whether they are the same keys.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.text == other.text
    }

    /// Checks a token at a time.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn check(
        &self,
        token: &BearerToken,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<ServiceAccount, TokenError> {
        let key_id = token.key_id()?;
        let mut outcome = Err(TokenError::UnknownKey);
        for key in self.keys.iter().filter(|key| key.is(key_id.as_deref())) {
            outcome = key.verify(token);
            if outcome.is_ok() {
                break;
            }
        }
        self.judge(outcome?, audiences, now)
    }

    fn judge(&self, body: Body, audiences: &[String], now: Timestamp) -> Result<ServiceAccount, TokenError> {
        if body.exp.saturating_add(CLOCK_SKEW) <= now.as_second() {
            return Err(TokenError::Expired(instant(body.exp)));
        }
        if let Some(from) = body.nbf
            && from.saturating_sub(CLOCK_SKEW) > now.as_second()
        {
            return Err(TokenError::NotYet(instant(from)));
        }
        if self.issuer.is_some() && self.issuer != body.iss {
            return Err(TokenError::Issuer);
        }
        if !body.aud.contains_one_of(audiences) {
            return Err(TokenError::Audience(audiences.to_vec()));
        }
        let pod = body.kubernetes.and_then(|bound| bound.pod).map(|pod| pod.name);
        ServiceAccount::from_user(&body.sub, pod).ok_or(TokenError::Subject)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("issuer", &self.issuer)
            .field("keys", &self.keys.len())
            .finish()
    }
}

impl Key {
    fn read(jwk: &Jwk) -> Option<Self> {
        // The kind of the key decides, never the token: a token that could choose might choose none.
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => Algorithm::ES256,
                EllipticCurve::P384 => Algorithm::ES384,
                _ => return None,
            },
            _ => return None,
        };
        Some(Self {
            id: jwk.common.key_id.clone(),
            algorithm,
            key: DecodingKey::from_jwk(jwk).ok()?,
        })
    }

    fn is(&self, key_id: Option<&str>) -> bool {
        key_id.is_none() || self.id.is_none() || self.id.as_deref() == key_id
    }

    fn verify(&self, token: &BearerToken) -> Result<Body, TokenError> {
        let mut rules = Validation::new(self.algorithm);
        // These are judged by the caller's clock, and with words of our own.
        rules.validate_exp = false;
        rules.validate_nbf = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        let read = decode::<Body>(token.reveal(), &self.key, &rules);
        read.map(|read| read.claims).map_err(|error| match error.kind() {
            jsonwebtoken::errors::ErrorKind::Json(_) => {
                TokenError::Unreadable("its claims are not those of Kubernetes")
            }
            _ => TokenError::Signature,
        })
    }
}

/// What a token says.
#[derive(Deserialize)]
struct Body {
    iss: Option<String>,
    sub: String,
    #[serde(default)]
    aud: Audience,
    exp: i64,
    nbf: Option<i64>,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Bound>,
}

#[derive(Deserialize)]
struct Bound {
    pod: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Audience {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn contains_one_of(&self, wanted: &[String]) -> bool {
        match self {
            Self::None => false,
            Self::One(audience) => wanted.contains(audience),
            Self::Many(audiences) => audiences.iter().any(|audience| wanted.contains(audience)),
        }
    }
}

fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
