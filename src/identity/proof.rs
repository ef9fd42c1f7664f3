//! What a proxy claims, and whether that is covered by who it proved to be. Pure.

use std::fmt;
use std::sync::Arc;

use super::spiffe::SpiffeId;
use crate::model::ClusterId;

/// How a proxy proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// A token of its service account.
    Token,
    /// A client certificate.
    Certificate,
}

impl Means {
    /// A word for metrics and people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Certificate => "certificate",
        }
    }
}

/// Who a proxy is, proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Its workload, in our own trust domain.
    pub id: SpiffeId,
    /// Its member, where that is proven too.
    pub member: Option<ClusterId>,
    /// Its pod, where that is proven too.
    pub pod: Option<Arc<str>>,
    /// How.
    pub means: Means,
}

/// What a proxy says of itself; empty texts count as not said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// Its namespace, in each place where it says so.
    pub namespaces: Vec<Arc<str>>,
    /// Its service account.
    pub service_account: Arc<str>,
    /// Its pod.
    pub pod: Arc<str>,
    /// Its member.
    pub member: Option<ClusterId>,
}

/// A claim that is not covered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the node says its {what} is {said}, and its {} proves {proven}", means.word())]
pub struct Mismatch {
    what: &'static str,
    said: String,
    proven: String,
    means: Means,
}

impl Proven {
    /// Whether everything that is claimed, and can be compared, is so.
    ///
    /// # Errors
    /// The first claim that is not.
    pub fn covers(&self, claims: &Claims) -> Result<(), Mismatch> {
        for namespace in &claims.namespaces {
            self.compare("namespace", namespace, &self.id.namespace)?;
        }
        self.compare("service account", &claims.service_account, &self.id.service_account)?;
        if let Some(pod) = &self.pod {
            self.compare("pod", &claims.pod, pod)?;
        }
        if let (Some(said), Some(proven)) = (&claims.member, &self.member) {
            self.compare("member", said.as_str(), proven.as_str())?;
        }
        Ok(())
    }

    fn compare(&self, what: &'static str, said: &str, proven: &str) -> Result<(), Mismatch> {
        if said.is_empty() || said == proven {
            return Ok(());
        }
        Err(Mismatch {
            what,
            said: said.to_owned(),
            proven: proven.to_owned(),
            means: self.means,
        })
    }
}

impl fmt::Display for Proven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.id, self.means.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::TrustDomain;

    #[test]
    fn a_claim_counts_only_as_far_as_it_is_proven() {
        let west = ClusterId::new("west").unwrap();
        let proven = Proven {
            id: SpiffeId::new(TrustDomain::new("cluster.local").unwrap(), "shop", "web").unwrap(),
            member: Some(west.clone()),
            pod: Some("web-1".into()),
            means: Means::Token,
        };
        let right = Claims {
            namespaces: vec!["shop".into(), "shop".into()],
            service_account: "web".into(),
            pod: "web-1".into(),
            member: Some(west),
        };
        assert_eq!(proven.covers(&right), Ok(()));
        assert_eq!(proven.covers(&Claims::default()), Ok(()));
        type Change = (&'static str, fn(&mut Claims));
        let wrong: [Change; 4] = [
            ("namespace", |claims| claims.namespaces.push("bank".into())),
            ("service account", |claims| claims.service_account = "admin".into()),
            ("pod", |claims| claims.pod = "web-2".into()),
            ("member", |claims| claims.member = ClusterId::new("east").ok()),
        ];
        for (what, change) in wrong {
            let mut claims = right.clone();
            change(&mut claims);
            let said = proven.covers(&claims).unwrap_err().to_string();
            assert!(said.contains(&format!("its {what} is")), "{said}");
        }
        // A certificate may prove neither pod nor member.
        let certificate = Proven {
            member: None,
            pod: None,
            means: Means::Certificate,
            ..proven
        };
        let mut claims = right;
        claims.pod = "any".into();
        assert_eq!(certificate.covers(&claims), Ok(()));
    }
}
