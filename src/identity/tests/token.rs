//! Tokens as Kubernetes makes them, and others.

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::*;
use crate::identity::token::{BearerToken, KeySet, ServiceAccount, TokenError};

/// An API server's key for tokens.
pub(super) struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    id: String,
}

impl Signer {
    pub(super) fn new(id: &str) -> Self {
        Self {
            key: EncodingKey::from_ec_der(&KeyPair::generate().unwrap().serialize_der()),
            algorithm: Algorithm::ES256,
            id: id.to_owned(),
        }
    }

    fn rsa(id: &str) -> Self {
        let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        // PKCS #8 is a PKCS #1 key with 26 bytes before it, for a key of this size.
        let der = key.serialize_der();
        Self {
            key: EncodingKey::from_rsa_der(&der[26..]),
            algorithm: Algorithm::RS256,
            id: id.to_owned(),
        }
    }

    fn jwk(&self) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.clone());
        jwk
    }

    pub(super) fn jwks(&self) -> String {
        serde_json::to_string(&JwkSet { keys: vec![self.jwk()] }).unwrap()
    }

    pub(super) fn sign(&self, claims: &Value) -> BearerToken {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.clone());
        bearer(&encode(&header, claims, &self.key).unwrap())
    }
}

fn bearer(token: &str) -> BearerToken {
    BearerToken::from_header(&format!("Bearer {token}")).unwrap()
}

/// The claims of a projected token, good for an hour after a time.
pub(super) fn claims(now: Timestamp) -> Value {
    json!({
        "iss": "https://kubernetes.default.svc",
        "sub": "system:serviceaccount:shop:web",
        "aud": ["istio-ca"],
        "iat": now.as_second(), "nbf": now.as_second(), "exp": now.as_second() + 3600,
        "kubernetes.io": {
            "namespace": "shop",
            "pod": { "name": "web-1", "uid": "1" },
            "serviceaccount": { "name": "web", "uid": "2" },
        },
    })
}

fn check(signer: &Signer, token: &BearerToken, at: Timestamp) -> Result<ServiceAccount, TokenError> {
    let keys = KeySet::read(&signer.jwks(), Some("https://kubernetes.default.svc")).unwrap();
    keys.check(token, &["istio-ca".to_owned()], at)
}

#[test]
fn a_token_of_either_kind_of_key_says_whose_it_is() {
    for signer in [Signer::new("a"), Signer::rsa("a")] {
        let account = check(&signer, &signer.sign(&claims(now())), now()).unwrap();
        let expected = ServiceAccount {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            pod: Some("web-1".to_owned()),
        };
        assert_eq!(account, expected);
    }
}

#[test]
fn a_token_that_proves_nothing_is_refused_and_never_repeated() {
    let signer = Signer::new("a");
    let with = |key: &str, value: Value| {
        let mut claims = claims(now());
        claims[key] = value;
        signer.sign(&claims)
    };
    let good = signer.sign(&claims(now()));
    let at = |token: &BearerToken, time| check(&signer, token, time).unwrap_err();
    let refused = |token: &BearerToken| at(token, now());

    assert!(matches!(at(&good, after(2 * HOUR)), TokenError::Expired(_)));
    assert!(matches!(
        at(&good, now() - SignedDuration::from_hours(1)),
        TokenError::NotYet(_)
    ));
    assert!(
        check(&signer, &good, now() - SignedDuration::from_secs(10)).is_ok(),
        "clocks differ"
    );
    assert!(matches!(
        refused(&with("aud", json!(["kubernetes"]))),
        TokenError::Audience(_)
    ));
    assert!(matches!(
        refused(&with("aud", json!(null))),
        TokenError::Unreadable(_) | TokenError::Audience(_)
    ));
    assert_eq!(refused(&with("iss", json!("https://other"))), TokenError::Issuer);
    assert_eq!(refused(&with("sub", json!("admin"))), TokenError::Subject);
    assert!(matches!(
        refused(&with("exp", json!("never"))),
        TokenError::Unreadable(_)
    ));
    assert_eq!(
        refused(&Signer::new("other").sign(&claims(now()))),
        TokenError::UnknownKey
    );
    assert_eq!(refused(&Signer::new("a").sign(&claims(now()))), TokenError::Signature);
    // Signed by nobody, or with the public key as a secret.
    let body = good.reveal().split('.').nth(1).unwrap();
    let none = format!("eyJhbGciOiJub25lIn0.{body}.");
    assert!(matches!(refused(&bearer(&none)), TokenError::Unreadable(_)));
    let secret = EncodingKey::from_secret(signer.jwks().as_bytes());
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("a".to_owned());
    let forged = encode(&header, &claims(now()), &secret).unwrap();
    assert_eq!(refused(&bearer(&forged)), TokenError::Signature);

    for text in ["x", "a.b.c", &"a".repeat(100_000)] {
        let said = refused(&bearer(text)).to_string();
        assert!(said.len() < 100 && said.contains("can't be read"), "{said}");
    }
    assert_eq!(format!("{good:?}"), "(token)");
    assert_eq!(BearerToken::from_header("Basic eDp5"), None);
    assert!(KeySet::read("{\"keys\": []}", None).is_err());
    assert!(KeySet::read("<html>", None).is_err());
}
