//! SPIFFE ids of workloads, `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`, and the trust domains of a mesh. Pure.

use std::fmt;
use std::sync::Arc;

/// The longest id that is read, in bytes: what the SPIFFE standard has every implementation take.
const MAX_ID_BYTES: usize = 2048;

/// Why a text is no trust domain or no id of a workload. The message says what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeError {
    /// A trust domain has characters that it can't have.
    #[error(
        "{text:?} is no trust domain; use 1 to 255 lower-case letters, digits, `.`, `-` or `_`, such as cluster.local"
    )]
    TrustDomain {
        /// The text, shortened.
        text: String,
    },
    /// An id that is not of the one form that workloads have.
    #[error(
        "{text:?} is no id of a workload: {problem}; spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT is expected"
    )]
    Id {
        /// The text, shortened.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An id of somebody else's mesh.
    #[error(
        "{id} is of trust domain {found}; this mesh is {expected}. Name the other one in `identity.trustDomainAliases` to trust it"
    )]
    Foreign {
        /// The id.
        id: SpiffeId,
        /// Its trust domain.
        found: TrustDomain,
        /// Ours.
        expected: TrustDomain,
    },
}

/// The name that a mesh's identities begin with, such as `cluster.local`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Takes a valid name.
    ///
    /// # Errors
    /// When it is empty, too long, or has other characters than the SPIFFE standard allows.
    pub fn new(text: &str) -> Result<Self, SpiffeError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        if (1..=255).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self(text.into()));
        }
        Err(SpiffeError::TrustDomain { text: shorten(text) })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The identity of a workload: a service account of a namespace, the same in every member of a mesh.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    /// Whose mesh it is in.
    pub trust_domain: TrustDomain,
    /// The Kubernetes namespace.
    pub namespace: Arc<str>,
    /// The service account.
    pub service_account: Arc<str>,
}

impl SpiffeId {
    /// Joins the parts.
    ///
    /// # Errors
    /// When the namespace or the service account has no name that can be in an id.
    pub fn new(trust_domain: TrustDomain, namespace: &str, service_account: &str) -> Result<Self, SpiffeError> {
        let id = Self {
            trust_domain,
            namespace: namespace.into(),
            service_account: service_account.into(),
        };
        // One rule for what is joined and what is read.
        Self::parse(&id.to_string())
    }

    /// Reads an id.
    ///
    /// # Errors
    /// When it is of another form.
    pub fn parse(text: &str) -> Result<Self, SpiffeError> {
        let wrong = |problem| SpiffeError::Id {
            text: shorten(text),
            problem,
        };
        if text.len() > MAX_ID_BYTES {
            return Err(wrong("it is too long"));
        }
        let rest = text
            .strip_prefix("spiffe://")
            .ok_or_else(|| wrong("it does not begin with spiffe://"))?;
        let parts: Vec<_> = rest.split('/').collect();
        let [domain, "ns", namespace, "sa", service_account] = parts[..] else {
            return Err(wrong("its path is another one"));
        };
        if !is_kubernetes_name(namespace, 63) || namespace.contains('.') {
            return Err(wrong("its namespace is no Kubernetes name"));
        }
        if !is_kubernetes_name(service_account, 253) {
            return Err(wrong("its service account is no Kubernetes name"));
        }
        Ok(Self {
            trust_domain: TrustDomain::new(domain)?,
            namespace: namespace.into(),
            service_account: service_account.into(),
        })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "spiffe://{}/ns/{}/sa/{}",
            self.trust_domain, self.namespace, self.service_account
        )
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The trust domains whose workloads belong to this mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustDomains {
    /// The one that certificates are issued in.
    pub own: TrustDomain,
    /// Others that mean the same workloads, as during a change of names or after a merger of meshes.
    pub aliases: Vec<TrustDomain>,
}

impl TrustDomains {
    /// The same workload in our own trust domain.
    ///
    /// # Errors
    /// When the id is of a trust domain that is neither ours nor an alias.
    pub fn admit(&self, id: SpiffeId) -> Result<SpiffeId, SpiffeError> {
        if id.trust_domain == self.own || self.aliases.contains(&id.trust_domain) {
            return Ok(SpiffeId {
                trust_domain: self.own.clone(),
                ..id
            });
        }
        Err(SpiffeError::Foreign {
            found: id.trust_domain.clone(),
            expected: self.own.clone(),
            id,
        })
    }
}

/// Letters, digits, `-` and `.`, with a letter or digit first and last, in lower case.
pub(super) fn is_kubernetes_name(text: &str, longest: usize) -> bool {
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=longest).contains(&bytes.len())
        && bytes.iter().all(|b| edge(b) || matches!(b, b'-' | b'.'))
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && !text.contains("..")
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_any_other_form_is_refused() {
        let text = "spiffe://cluster.local/ns/shop/sa/web.v1";
        let id = SpiffeId::parse(text).unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!((&*id.namespace, &*id.service_account), ("shop", "web.v1"));
        for wrong in [
            "",
            "https://cluster.local/ns/shop/sa/web",
            "spiffe://cluster.local/ns/shop/sa/",
            "spiffe://cluster.local/ns/shop/sa/web/",
            "spiffe://cluster.local/ns//sa/web",
            "spiffe://cluster.local/ns/sh.op/sa/web",
            "spiffe://cluster.local/ns/shop/sa/Web",
            "spiffe://cluster.local/ns/shop/sa/..",
            "spiffe://cluster.local/ns/shop/sa/a..b",
            "spiffe://cluster.local/ns/shop/sa/web?x",
            "spiffe://cluster.local/ns/shop/sa/web%2f",
            "spiffe://cluster.local:80/ns/shop/sa/web",
            "spiffe://me@cluster.local/ns/shop/sa/web",
            "spiffe://CLUSTER.local/ns/shop/sa/web",
            "spiffe:///ns/shop/sa/web",
            "spiffe://cluster.local/sa/web/ns/shop",
        ] {
            SpiffeId::parse(wrong).expect_err(wrong);
        }
        let long = format!("spiffe://cluster.local/ns/shop/sa/{}", "a".repeat(3000));
        assert!(SpiffeId::parse(&long).unwrap_err().to_string().len() < 400);
    }

    #[test]
    fn an_alias_means_the_same_workload_and_others_are_foreign() {
        let domain = |text| TrustDomain::new(text).unwrap();
        let domains = TrustDomains {
            own: domain("new.example"),
            aliases: vec![domain("old.example")],
        };
        let id = |text: &str| SpiffeId::parse(&format!("spiffe://{text}/ns/a/sa/b")).unwrap();
        assert_eq!(domains.admit(id("new.example")).unwrap(), id("new.example"));
        assert_eq!(domains.admit(id("old.example")).unwrap(), id("new.example"));
        let said = domains.admit(id("old.example.org")).unwrap_err().to_string();
        assert!(said.contains("trustDomainAliases"), "{said}");
    }
}
