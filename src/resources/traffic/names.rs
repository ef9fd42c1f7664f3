//! Names of the resources that carry traffic, as Istio has them.

use std::net::{IpAddr, Ipv4Addr};

use crate::model::ServiceKey;

use super::super::name::port_number;

/// `outbound_.PORT_._.HOST`: the SNI by which a sidecar says what it means, and the gateway's cluster for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SniName {
    /// The service.
    pub service: ServiceKey,
    /// The service port's number.
    pub port: u16,
}

impl SniName {
    /// The name on the wire.
    #[must_use]
    pub fn encode(&self, domain: &str) -> String {
        format!("outbound_.{}_._.{}", self.port, self.service.host(domain))
    }

    /// Reads a name from the wire; none of ours gives `None`.
    #[must_use]
    pub fn parse(text: &str, domain: &str) -> Option<Self> {
        let (port, host) = text.strip_prefix("outbound_.")?.split_once("_._.")?;
        Some(Self {
            service: ServiceKey::from_any_host(host, domain)?,
            port: port_number(port)?,
        })
    }
}

/// `ADDRESS_PORT`: where a captured connection was going, and the listener that takes it over. The address 0.0.0.0 stands for
/// all that have no listener of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboundListener {
    /// The `ClusterIP`; none for all others.
    pub address: Option<IpAddr>,
    /// The service port's number.
    pub port: u16,
}

impl OutboundListener {
    /// The name on the wire.
    #[must_use]
    pub fn encode(self) -> String {
        let address = self.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        format!("{address}_{}", self.port)
    }

    /// Reads a name from the wire; none of ours gives `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, port) = text.rsplit_once('_')?;
        let address: IpAddr = address.parse().ok()?;
        let name = Self {
            address: (!address.is_unspecified()).then_some(address),
            port: port_number(port)?,
        };
        (name.encode() == text).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_none() {
        let sni = SniName {
            service: ServiceKey::new("shop", "web"),
            port: 8080,
        };
        let text = sni.encode("cluster.local");
        assert_eq!(text, "outbound_.8080_._.web.shop.svc.cluster.local");
        assert_eq!(SniName::parse(&text, "cluster.local"), Some(sni));
        for wrong in [
            "outbound|8080||web.shop.svc.cluster.local",
            "outbound_.08_._.web.shop.svc.cluster.local",
            "outbound_.80_.v1_.web.shop.svc.cluster.local",
            "outbound_.80_._.web.svc.cluster.local",
        ] {
            assert_eq!(SniName::parse(wrong, "cluster.local"), None, "{wrong}");
        }
        for text in ["0.0.0.0_80", "10.96.0.1_80", "fd00::1_80"] {
            let name = OutboundListener::parse(text).unwrap();
            assert_eq!(name.encode(), text);
        }
        for wrong in ["80", "0.0.0.0_080", "::_80", "web_80", "web.shop:80"] {
            assert_eq!(OutboundListener::parse(wrong), None, "{wrong}");
        }
    }
}
