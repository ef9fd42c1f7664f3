//! When credentials expire, as far as they say: certificates in their validity, tokens in their `exp`.

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kube::Config;
use kube::config::AuthInfo;
use secrecy::ExposeSecret;
use serde::Deserialize;
use x509_parser::prelude::{FromDer, Pem, X509Certificate};

use super::super::MemberSource;
use super::super::status::MemberStatus;
use super::client;

/// How often files with credentials are looked at again.
const AGAIN: Duration = Duration::from_secs(60);

/// A credential that expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Credential {
    /// What we show the API server, as certificate.
    ClientCertificate,
    /// What we show the API server, as token.
    Token,
    /// What the API server's certificate is checked with.
    CertificateAuthority,
}

impl Credential {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ClientCertificate, Self::Token, Self::CertificateAuthority];
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ClientCertificate => "client-certificate",
            Self::Token => "token",
            Self::CertificateAuthority => "certificate-authority",
        })
    }
}

/// When a credential expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// Which one.
    pub credential: Credential,
    /// Its last moment.
    pub at: SystemTime,
}

impl Expiry {
    fn new(credential: Credential, seconds: i64) -> Self {
        let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let at = SystemTime::UNIX_EPOCH.checked_add(seconds);
        Self {
            credential,
            at: at.unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }

    /// In Unix time.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        let since = self.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }
}

/// Keeps the status told of a member's credentials, for ever.
pub(super) async fn watch(source: &MemberSource, status: &MemberStatus) -> Infallible {
    loop {
        let source = source.clone();
        let runtime = tokio::runtime::Handle::current();
        let found =
            tokio::task::spawn_blocking(move || runtime.block_on(client::config(source)).map(|config| of(&config)));
        // What keeps it from being read is told where it is used.
        if let Ok(Ok(expiries)) = found.await {
            status.credentials(expiries);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// What a configuration says. Reads files that it names.
fn of(config: &Config) -> Vec<Expiry> {
    let authority = match &config.root_cert_file {
        Some(path) => read(path).map(|pem| of_pem(&pem)).unwrap_or_default(),
        None => {
            let certificates = config.root_cert.iter().flatten();
            certificates.filter_map(|der| not_after(der)).collect()
        }
    };
    let user = &config.auth_info;
    [
        // The first one is our own, the others stand behind it.
        (
            Credential::ClientCertificate,
            client_certificate(user).and_then(|pem| of_pem(&pem).first().copied()),
        ),
        (Credential::Token, token(user).and_then(|token| of_token(&token))),
        // Any of them may have signed the server's certificate: all is lost when the last one goes.
        (Credential::CertificateAuthority, authority.into_iter().max()),
    ]
    .into_iter()
    .filter_map(|(credential, seconds)| Some(Expiry::new(credential, seconds?)))
    .collect()
}

fn client_certificate(user: &AuthInfo) -> Option<Vec<u8>> {
    match (&user.client_certificate_data, &user.client_certificate) {
        (Some(data), _) => STANDARD.decode(data).ok(),
        (None, Some(path)) => read(path),
        (None, None) => None,
    }
}

fn token(user: &AuthInfo) -> Option<String> {
    match (&user.token, &user.token_file) {
        (Some(token), _) => Some(token.expose_secret().to_owned()),
        (None, Some(path)) => String::from_utf8(read(path)?).ok(),
        (None, None) => None,
    }
}

fn read(path: impl AsRef<Path>) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

/// The last moments of the certificates of a PEM file.
fn of_pem(pem: &[u8]) -> Vec<i64> {
    let blocks = Pem::iter_from_buffer(pem).filter_map(Result::ok);
    let certificates = blocks.filter(|block| block.label == "CERTIFICATE");
    certificates.filter_map(|block| not_after(&block.contents)).collect()
}

fn not_after(der: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// The `exp` of a JSON Web Token; other tokens don't say.
fn of_token(token: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct Claims {
        exp: Option<i64>,
    }
    let claims = token.trim().split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok()?.exp
}

#[cfg(test)]
mod tests {
    use kube::config::{KubeConfigOptions, Kubeconfig};
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use serde_json::json;

    use super::*;

    fn certificate(year: i32) -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().pem()
    }

    fn start_of(year: i32) -> i64 {
        date_time_ymd(year, 1, 1).unix_timestamp()
    }

    async fn of_kubeconfig(cluster: serde_json::Value, user: serde_json::Value) -> Vec<(Credential, i64)> {
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": user}],
        });
        let kubeconfig = Kubeconfig::from_yaml(&text.to_string()).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        let expiries = of(&config);
        expiries
            .iter()
            .map(|expiry| (expiry.credential, expiry.seconds()))
            .collect()
    }

    #[tokio::test]
    async fn certificates_and_tokens_tell_when_they_expire() {
        let token = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        let data = |pem: String| STANDARD.encode(pem);
        let server = "https://192.0.2.1";
        let found = of_kubeconfig(
            // Of two authorities the later one.
            json!({"server": server, "certificate-authority-data": data(certificate(2041) + &certificate(2043))}),
            json!({"token": token(r#"{"exp": 1234, "sub": "x"}"#)}),
        );
        let authority = (Credential::CertificateAuthority, start_of(2043));
        assert_eq!(found.await, [(Credential::Token, 1234), authority]);
        let found = of_kubeconfig(
            json!({"server": server}),
            json!({"client-certificate-data": data(certificate(2042)), "client-key-data": data(String::new())}),
        );
        assert_eq!(found.await, [(Credential::ClientCertificate, start_of(2042))]);
        for silent in ["opaque", "a.b.c", &token("{}"), &token("[]")] {
            let found = of_kubeconfig(json!({"server": server}), json!({"token": silent}));
            assert_eq!(found.await, [], "{silent}");
        }
    }

    #[tokio::test]
    async fn a_token_file_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            format!("e30.{}.s\n", URL_SAFE_NO_PAD.encode(r#"{"exp":99}"#)),
        )
        .unwrap();
        let found = of_kubeconfig(
            json!({"server": "https://192.0.2.1"}),
            json!({"tokenFile": file.path()}),
        );
        assert_eq!(found.await, [(Credential::Token, 99)]);
    }
}
