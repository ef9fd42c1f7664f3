//! Where what is captured goes.

use super::cluster::FixedCluster;
use crate::resources::ClusterName;

/// Where a connection or a request goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// To the endpoints of a service port, in turn.
    Endpoints(ClusterName),
    /// To the pod of that service port which was dialled, by mutual TLS.
    Pod(DirectName),
    /// Where it was going.
    Passthrough,
}

impl Destination {
    /// The name of the cluster that leads there.
    pub(super) fn cluster(&self, domain: &str) -> String {
        match self {
            Self::Endpoints(name) => name.encode(domain),
            Self::Pod(name) => name.encode(domain),
            Self::Passthrough => FixedCluster::Passthrough.name().to_owned(),
        }
    }
}

/// `direct|PORT||HOST`: the cluster of a headless service's port that balances nothing, for connections to a pod itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DirectName(pub ClusterName);

impl DirectName {
    /// The name on the wire.
    #[must_use]
    pub fn encode(&self, domain: &str) -> String {
        let name = self.0.encode(domain);
        name.replacen("outbound", "direct", 1)
    }

    /// Reads a name from the wire; none of ours gives `None`.
    #[must_use]
    pub fn parse(text: &str, domain: &str) -> Option<Self> {
        let rest = text.strip_prefix("direct")?;
        ClusterName::parse(&format!("outbound{rest}"), domain).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ServiceKey;

    #[test]
    fn names_read_back_and_others_are_none() {
        let name = DirectName(ClusterName {
            service: ServiceKey::new("shop", "web"),
            port: 80,
        });
        let text = name.encode("cluster.local");
        assert_eq!(text, "direct|80||web.shop.svc.cluster.local");
        assert_eq!(DirectName::parse(&text, "cluster.local"), Some(name));
        for wrong in [
            "outbound|80||web.shop.svc.cluster.local",
            "direct|080||web.shop.svc.cluster.local",
            "direct",
        ] {
            assert_eq!(DirectName::parse(wrong, "cluster.local"), None, "{wrong}");
        }
    }
}
