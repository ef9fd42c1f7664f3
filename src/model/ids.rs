//! Names that carry meaning across modules, as types that cannot hold a wrong value.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not an id. The message names the text and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?} is not valid: {problem}")]
pub struct InvalidId {
    kind: &'static str,
    text: String,
    problem: &'static str,
}

/// Checks the rule that Kubernetes has for label values, without the empty one: networks and members are named by labels
/// and secret keys, so a name that fits no label can't be matched anywhere.
fn check_label_value(kind: &'static str, text: &str) -> Result<(), InvalidId> {
    let edge = |c: char| c.is_ascii_alphanumeric();
    let problem = if text.is_empty() {
        "it is empty"
    } else if text.len() > 63 {
        "it is longer than 63 characters"
    } else if !text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        "only letters, digits, '-', '_' and '.' are allowed"
    } else if !text.starts_with(edge) || !text.ends_with(edge) {
        "it must begin and end with a letter or digit"
    } else {
        return Ok(());
    };
    Err(InvalidId {
        kind,
        text: shorten(text),
        problem,
    })
}

/// Foreign text goes into messages, so it is cut to a length that a person can read.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

macro_rules! label_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl $name {
            /// Takes a text that is a valid, non-empty Kubernetes label value.
            ///
            /// # Errors
            /// When it is empty, too long, or has characters that a label value can't have.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                check_label_value($kind, text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

label_id! {
    /// A member: one Kubernetes cluster of the mesh. Istio's `CLUSTER_ID`.
    ClusterId, "member name"
}

label_id! {
    /// A network: a set of addresses that reach each other directly. Never empty. Istio's `NETWORK`.
    NetworkId, "network name"
}

/// What stands for [`NetworkId::anywhere`]: no label can have this value.
const ANYWHERE: &str = "*";

impl NetworkId {
    /// The network of what is outside of the mesh and can be reached from everywhere.
    #[must_use]
    pub fn anywhere() -> Self {
        Self(ANYWHERE.into())
    }

    /// Whether it is that one.
    #[must_use]
    pub fn is_anywhere(&self) -> bool {
        *self.0 == *ANYWHERE
    }
}

/// The name of a host in DNS: lower case, without a dot at its end. Always of at least two parts, and never an address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(Arc<str>);

impl HostName {
    /// Takes a text that can be looked up.
    ///
    /// # Errors
    /// When it is too long or has characters that host names don't have, and when it is an address or a lone word.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let part = |part: &str| {
            (1..=63).contains(&part.len()) && part.chars().all(inner) && !part.starts_with('-') && !part.ends_with('-')
        };
        let problem = if name.len() > 253 {
            "it is longer than 253 characters"
        } else if name.parse::<std::net::IpAddr>().is_ok() {
            "it is an address"
        } else if !name.split('.').all(part) {
            "a host name has letters, digits and '-' in parts of 63 at most, joined by single dots"
        } else if !name.contains('.') {
            "it must be complete, such as gateway.example.com"
        } else if name
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
        {
            "its last part is a number, as in an address"
        } else {
            return Ok(Self(name.into()));
        };
        Err(InvalidId {
            kind: "host name",
            text: shorten(text),
            problem,
        })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HostName {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::new(&text)
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Namespace and name of a Kubernetes object; what identifies it within one member and kind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// The namespace; empty for kinds without one (Node, Namespace).
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

impl ObjectName {
    /// Joins a namespace and a name.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => f.pad(&self.name),
            namespace => f.pad(&format!("{namespace}/{}", self.name)),
        }
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A service of the mesh. Services of the same namespace and name are one, whichever member they are in: namespace
/// sameness, as the MCS API has it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    /// The Kubernetes namespace.
    pub namespace: Arc<str>,
    /// The Service's name.
    pub name: Arc<str>,
}

impl ServiceKey {
    /// Joins a namespace and a name.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// A host that is no Service of Kubernetes, or `*.DOMAIN` for all below a domain. It has no namespace, as no Service can.
    #[must_use]
    pub fn outside(host: &str) -> Self {
        Self::new("", host)
    }

    /// Whether it is a host that is no Service of Kubernetes.
    #[must_use]
    pub fn is_outside(&self) -> bool {
        self.namespace.is_empty()
    }

    /// The fully qualified host name: `name.namespace.svc.DOMAIN`, or the host outside.
    #[must_use]
    pub fn host(&self, domain: &str) -> String {
        if self.is_outside() {
            return self.name.to_string();
        }
        format!("{}.{}.svc.{domain}", self.name, self.namespace)
    }

    /// Reads any host back.
    #[must_use]
    pub fn from_any_host(host: &str, domain: &str) -> Option<Self> {
        let outside = || {
            // What looks like a Service and is none is no host either.
            let of_kubernetes = host.strip_suffix(domain).is_some_and(|rest| rest.ends_with(".svc."));
            let name = HostName::new(host.strip_prefix("*.").unwrap_or(host)).ok()?;
            (!of_kubernetes && host.ends_with(name.as_str()) && !host.contains('_')).then(|| Self::outside(host))
        };
        Self::from_host(host, domain).or_else(outside)
    }

    /// Reads `name.namespace.svc.DOMAIN` back, and `pod.name.namespace.svc.DOMAIN`.
    #[must_use]
    pub fn from_host(host: &str, domain: &str) -> Option<Self> {
        let (name, namespace) = host.strip_suffix(domain)?.strip_suffix(".svc.")?.rsplit_once('.')?;
        let parts = name.split('.').count();
        let plain = parts <= 2 && name.split('.').chain([namespace]).all(|part| !part.is_empty());
        plain.then(|| Self::new(namespace, name))
    }

    /// The host that a pod of this service is: a service of its own, called `pod.name` in the same namespace. No Service can
    /// have a dot in its name.
    #[must_use]
    pub fn pod_host(&self, pod: &str) -> Self {
        Self {
            namespace: Arc::clone(&self.namespace),
            name: format!("{pod}.{}", self.name).into(),
        }
    }

    /// The pod, and its service, where it is the host of a pod.
    #[must_use]
    pub fn pod(&self) -> Option<(&str, Self)> {
        let (pod, service) = self.name.split_once('.').filter(|_| !self.is_outside())?;
        let service = Self {
            namespace: Arc::clone(&self.namespace),
            name: service.into(),
        };
        Some((pod, service))
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_outside() {
            return f.pad(&self.name);
        }
        f.pad(&format!("{}.{}", self.name, self.namespace))
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_never_empty_and_always_fits_a_label() {
        let long = "n".repeat(64);
        for (text, problem) in [
            ("", "empty"),
            ("-a", "begin and end"),
            ("a.", "begin and end"),
            ("a b", "only letters"),
            ("a/b", "only letters"),
            (long.as_str(), "longer than 63"),
        ] {
            let error = NetworkId::new(text).expect_err(text).to_string();
            assert!(error.contains(problem), "{text:?}: {error}");
        }
        assert_eq!(NetworkId::new("eu-west_1.a").unwrap().as_str(), "eu-west_1.a");
    }

    #[test]
    fn a_host_name_is_complete_and_no_address() {
        for (text, problem) in [
            ("", "letters"),
            ("gateway", "complete"),
            ("10.0.0.1", "an address"),
            ("fd00::1", "an address"),
            ("10.0.0.300", "a number"),
            ("a..b", "single dots"),
            ("a b.com", "letters"),
            ("-a.com", "letters"),
            (&format!("{}.com", "a".repeat(64)), "63"),
            (&"a.".repeat(127).repeat(2), "253"),
        ] {
            let error = HostName::new(text).expect_err(text).to_string();
            assert!(error.contains(problem), "{text:?}: {error}");
        }
        assert_eq!(
            HostName::new("GW-1.Elb.example.COM.").unwrap().as_str(),
            "gw-1.elb.example.com"
        );
    }

    #[test]
    fn a_message_does_not_repeat_a_megabyte() {
        let error = ClusterId::new(&"ü".repeat(1 << 20)).unwrap_err().to_string();
        assert!(error.len() < 400, "{} bytes", error.len());
    }

    #[test]
    fn a_host_outside_reads_back_and_is_never_taken_for_a_service() {
        for host in ["api.example.com", "*.example.com", "web.shop.svc.other"] {
            let key = ServiceKey::from_any_host(host, "cluster.local").unwrap();
            assert_eq!((key.is_outside(), key.host("cluster.local")), (true, host.to_owned()));
            assert_eq!(key.to_string(), host);
        }
        let service = ServiceKey::from_any_host("web.shop.svc.cluster.local", "cluster.local");
        assert_eq!(service, Some(ServiceKey::new("shop", "web")));
        for wrong in [
            "web",
            "10.0.0.1",
            "a_b.com",
            "API.example.com",
            "*.*.com",
            "a.svc.cluster.local",
            "x..y",
            "*",
        ] {
            assert_eq!(ServiceKey::from_any_host(wrong, "cluster.local"), None, "{wrong}");
        }
    }

    #[test]
    fn a_host_reads_back_as_its_service() {
        let key = ServiceKey::new("shop", "web");
        assert_eq!(key.host("cluster.local"), "web.shop.svc.cluster.local");
        assert_eq!(
            ServiceKey::from_host("web.shop.svc.cluster.local", "cluster.local"),
            Some(key.clone())
        );
        let host = key.pod_host("web-0");
        assert_eq!(host.host("cluster.local"), "web-0.web.shop.svc.cluster.local");
        assert_eq!(
            ServiceKey::from_host("web-0.web.shop.svc.cluster.local", "cluster.local"),
            Some(host.clone())
        );
        assert_eq!((host.pod(), key.pod()), (Some(("web-0", key.clone())), None));
        for wrong in [
            "web.svc.cluster.local",
            "a.b.web.shop.svc.cluster.local",
            ".web.shop.svc.cluster.local",
            "web.shop.svc.other",
            ".shop.svc.cluster.local",
        ] {
            assert_eq!(ServiceKey::from_host(wrong, "cluster.local"), None, "{wrong}");
        }
    }
}
