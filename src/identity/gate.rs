//! Who may attach: a proxy shows a certificate or a token, and what it claims is held against that.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;

use super::certificate::{Certificate, CertificateError};
use super::keeper::Keeper;
use super::keyring::{KeyRing, TokenAuthorities};
use super::metrics::IdentityMetrics;
use super::proof::{Claims, Means, Mismatch, Proven};
use super::spiffe::{SpiffeError, SpiffeId, TrustDomains};
use super::token::{BearerToken, TokenError};

/// What is required of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing; who shows something is known by it.
    Nothing,
    /// A token of its service account.
    Token,
    /// A certificate that a root of the mesh vouches for.
    Certificate,
    /// Either of both.
    Either,
}

/// The certificates that a client showed in its handshake, its own first. It has the key to it; who signed it is not known.
#[derive(Debug, Clone)]
pub struct PeerCertificates(pub Arc<[CertificateDer<'static>]>);

/// What a client showed.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// Its certificates.
    pub certificates: Option<PeerCertificates>,
    /// Its token.
    pub token: Option<BearerToken>,
}

/// Why a proxy may not attach.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It showed nothing of what is required.
    #[error("who are you? {0}")]
    Nothing(&'static str),
    /// Its token proves nothing.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Its certificate proves nothing.
    #[error("the client certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// Its certificate is somebody else's.
    #[error("the client certificate was signed by no root of this mesh, or is not valid now: {0}")]
    Untrusted(String),
    /// It belongs to no workload of this mesh.
    #[error(transparent)]
    Foreign(#[from] SpiffeError),
    /// It claims what it did not prove.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// It says where it is, and that is known to be otherwise.
    #[error("the node {0}")]
    Contradiction(String),
    /// Nobody can be asked now.
    #[error("the token can't be checked now: {0}; try again")]
    Unknown(String),
}

/// What a refusal means for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// It is not known who it is.
    Unauthenticated,
    /// It is known, and may not.
    Denied,
    /// It may try again.
    Later,
}

impl Refusal {
    /// What it means for the client.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        match self {
            Self::Nothing(_) | Self::Token(_) | Self::Certificate(_) | Self::Untrusted(_) => {
                RefusalKind::Unauthenticated
            }
            Self::Foreign(_) | Self::Mismatch(_) | Self::Contradiction(_) => RefusalKind::Denied,
            Self::Unknown(_) => RefusalKind::Later,
        }
    }

    /// A word for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Nothing(_) => "nothing_shown",
            Self::Token(_) => "token",
            Self::Certificate(_) | Self::Untrusted(_) => "certificate",
            Self::Foreign(_) => "trust_domain",
            Self::Mismatch(_) | Self::Contradiction(_) => "claims_another",
            Self::Unknown(_) => "cannot_check",
        }
    }
}

/// Decides who may attach.
#[derive(Debug)]
pub struct Gate {
    requirement: Requirement,
    domains: TrustDomains,
    audiences: Vec<String>,
    keeper: Arc<Keeper>,
    keys: KeyRing,
    metrics: IdentityMetrics,
}

impl Gate {
    /// A gate of this mesh: certificates count that the keeper's roots vouch for, tokens that a member signed for one of the
    /// audiences.
    #[must_use]
    pub fn new(
        requirement: Requirement,
        domains: TrustDomains,
        audiences: Vec<String>,
        keeper: Arc<Keeper>,
        authorities: Arc<dyn TokenAuthorities>,
        metrics: IdentityMetrics,
    ) -> Self {
        Self {
            requirement,
            domains,
            audiences,
            keeper,
            keys: KeyRing::new(authorities),
            metrics,
        }
    }

    /// Keeps what tokens are checked by fresh, for as long as it is polled.
    pub async fn run(&self) {
        if self.requirement == Requirement::Certificate {
            std::future::pending::<()>().await;
        }
        self.keys.run().await;
    }

    /// Who a proxy is; none where nothing is required and nothing was shown. Ends within some seconds.
    ///
    /// # Errors
    /// When what is required was not shown, proves nothing, or does not cover what is claimed.
    pub async fn identify(&self, shown: &Shown, claims: &Claims) -> Result<Option<Proven>, Refusal> {
        let outcome = self.judge(shown, claims).await;
        match &outcome {
            Ok(Some(proven)) => self.metrics.identified(proven.means.word()),
            Ok(None) => {}
            Err(refusal) => self.metrics.refused(refusal.reason()),
        }
        outcome
    }

    /// Counts a refusal that somebody else found a reason for.
    pub fn count(&self, refusal: &Refusal) {
        self.metrics.refused(refusal.reason());
    }

    async fn judge(&self, shown: &Shown, claims: &Claims) -> Result<Option<Proven>, Refusal> {
        let token = shown
            .token
            .as_ref()
            .filter(|_| self.requirement != Requirement::Certificate);
        let certificates = shown
            .certificates
            .as_ref()
            .filter(|_| self.requirement != Requirement::Token);
        let proven = match (token, certificates) {
            // A token says more: the pod and the member too.
            (Some(token), _) => self.by_token(token, claims).await?,
            (None, Some(certificates)) => self.by_certificate(certificates)?,
            (None, None) => {
                let missing = match self.requirement {
                    Requirement::Nothing => return Ok(None),
                    Requirement::Token => "a service account token is required: `authorization: Bearer …`",
                    Requirement::Certificate => "a client certificate of this mesh is required",
                    Requirement::Either => {
                        "a service account token (`authorization: Bearer …`) or a client certificate of this mesh is required"
                    }
                };
                return Err(Refusal::Nothing(missing));
            }
        };
        proven.covers(claims)?;
        Ok(Some(proven))
    }

    async fn by_token(&self, token: &BearerToken, claims: &Claims) -> Result<Proven, Refusal> {
        let claimed = claims.member.as_ref();
        let (member, account) = self.keys.check(token, claimed, &self.audiences).await?;
        Ok(Proven {
            id: SpiffeId::new(self.domains.own.clone(), &account.namespace, &account.name)?,
            member: Some(member),
            pod: account.pod.map(Arc::from),
            means: Means::Token,
        })
    }

    fn by_certificate(&self, shown: &PeerCertificates) -> Result<Proven, Refusal> {
        let [own, intermediates @ ..] = &*shown.0 else {
            return Err(Refusal::Nothing(
                "the client's handshake showed an empty list of certificates",
            ));
        };
        self.verify(own, intermediates)?;
        let certificate = Certificate::read(own)?;
        Ok(Proven {
            id: self.domains.admit(certificate.workload()?)?,
            member: certificate.member_of_issuer(),
            pod: None,
            means: Means::Certificate,
        })
    }

    /// Whether the roots that count now vouch for a chain now.
    fn verify(&self, own: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Result<(), Refusal> {
        let untrusted = |error: &dyn std::fmt::Display| Refusal::Untrusted(error.to_string());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.keeper.current().roots());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| untrusted(&error))?;
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
        verifier
            .verify_client_cert(own, intermediates, now)
            .map(|_| ())
            .map_err(|error| untrusted(&error))
    }
}
