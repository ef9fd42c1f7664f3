//! Ties together who proxies are: the authority, the gate, and the members that know their tokens.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::config::{IdentityConfig, ProxyProof};
use crate::identity::{
    BearerToken, Gate, IdentityMetrics, Issuer, Keeper, PublishedKeys, Requirement, Review, ServiceAccount,
    TokenAuthorities, TrustDomain, TrustDomains,
};
use crate::lifecycle::Tasks;
use crate::model::ClusterId;
use crate::registry::{MemberTokens, Members, TokenVerdict};

/// What proves and certifies identities.
pub(super) struct Identity {
    pub(super) gate: Arc<Gate>,
    pub(super) issuer: Arc<Issuer>,
    keeper: Arc<Keeper>,
}

impl Identity {
    /// Reads the authority of the settings.
    pub(super) fn open(config: &IdentityConfig, members: &Members, metrics: IdentityMetrics) -> anyhow::Result<Self> {
        let keeper = Arc::new(Keeper::open(&config.ca, metrics.clone())?);
        let aliases = config.trust_domain_aliases.iter().map(|alias| TrustDomain::new(alias));
        let domains = TrustDomains {
            own: TrustDomain::new(&config.trust_domain)?,
            aliases: aliases.collect::<Result<_, _>>()?,
        };
        let requirement = match config.require {
            ProxyProof::None => Requirement::Nothing,
            ProxyProof::Token => Requirement::Token,
            ProxyProof::Certificate => Requirement::Certificate,
            ProxyProof::Any => Requirement::Either,
        };
        let authorities = Arc::new(Authorities(MemberTokens::new(members.clone())));
        let gate = Gate::new(
            requirement,
            domains,
            config.audiences.clone(),
            Arc::clone(&keeper),
            authorities,
            metrics.clone(),
        );
        Ok(Self {
            gate: Arc::new(gate),
            issuer: Arc::new(Issuer::new(Arc::clone(&keeper), config.lifetime, metrics)),
            keeper,
        })
    }

    /// Keeps the authority and the members' keys up to date until the drain.
    pub(super) fn spawn(&self, tasks: &mut Tasks, drain: &CancellationToken) {
        let (keeper, gate) = (Arc::clone(&self.keeper), Arc::clone(&self.gate));
        let (first, second) = (drain.clone(), drain.clone());
        tasks.spawn("certificate authority", async move {
            first.run_until_cancelled(keeper.run()).await;
        });
        tasks.spawn("keys of tokens", async move {
            second.run_until_cancelled(gate.run()).await;
        });
    }
}

/// The members, as the gate asks them.
#[derive(Debug)]
struct Authorities(MemberTokens);

impl TokenAuthorities for Authorities {
    fn members(&self) -> Vec<ClusterId> {
        self.0.members()
    }

    fn published_keys<'a>(&'a self, member: &'a ClusterId) -> BoxFuture<'a, Result<PublishedKeys, String>> {
        Box::pin(async {
            let keys = self.0.keys(member).await?;
            Ok(PublishedKeys {
                jwks: keys.jwks,
                issuer: keys.issuer,
            })
        })
    }

    fn review<'a>(
        &'a self,
        member: &'a ClusterId,
        token: &'a BearerToken,
        audiences: &'a [String],
    ) -> BoxFuture<'a, Result<Review, String>> {
        Box::pin(async {
            Ok(match self.0.review(member, token.reveal(), audiences).await? {
                TokenVerdict::User { name, pod } => match ServiceAccount::from_user(&name, pod) {
                    Some(account) => Review::Authentic(account),
                    None => Review::Refused(format!("{name} is no service account")),
                },
                TokenVerdict::Refused(reason) => Review::Refused(reason),
            })
        })
    }
}
