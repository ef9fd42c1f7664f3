//! The names of Envoy clusters, as Istio has them, so that dashboards and habits carry over.

use std::fmt;

use crate::model::ServiceKey;

/// `outbound|PORT||name.namespace.svc.DOMAIN`: the cluster of one service port, and the name of its assignment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterName {
    /// The service.
    pub service: ServiceKey,
    /// The service port's number.
    pub port: u16,
}

impl ClusterName {
    /// The name on the wire.
    #[must_use]
    pub fn encode(&self, domain: &str) -> String {
        format!("outbound|{}||{}", self.port, self.service.host(domain))
    }

    /// Reads a name from the wire; none of ours gives `None`.
    #[must_use]
    pub fn parse(text: &str, domain: &str) -> Option<Self> {
        let (port, host) = text.strip_prefix("outbound|")?.split_once("||")?;
        Some(Self {
            service: ServiceKey::from_any_host(host, domain)?,
            port: port_number(port)?,
        })
    }
}

/// Reads a port in a name. Only the shortest spelling is one: `080` would be a second name for port 80.
#[must_use]
pub fn port_number(text: &str) -> Option<u16> {
    let number: u16 = text.parse().ok().filter(|number| *number != 0)?;
    (number.to_string() == text).then_some(number)
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_none() {
        let name = ClusterName {
            service: ServiceKey::new("shop", "web"),
            port: 8080,
        };
        let text = name.encode("cluster.local");
        assert_eq!(text, "outbound|8080||web.shop.svc.cluster.local");
        assert_eq!(ClusterName::parse(&text, "cluster.local"), Some(name));
        for wrong in [
            "inbound|80||",
            "outbound|0||web.shop.svc.cluster.local",
            "outbound|080||web.shop.svc.cluster.local",
            "outbound|70000||web.shop.svc.cluster.local",
            "outbound|80|v1|web.shop.svc.cluster.local",
            "outbound|80||web.svc.cluster.local",
            "outbound|80||web",
        ] {
            assert_eq!(ClusterName::parse(wrong, "cluster.local"), None, "{wrong}");
        }
    }
}
