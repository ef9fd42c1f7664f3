//! Which service a person means. Pure.

use std::sync::Arc;

use super::Unanswerable;
use crate::model::{PortEndpoints, ServiceEndpoints, ServiceKey};
use crate::resources::ClusterName;

/// At most this many names go into a message.
const SUGGESTIONS: usize = 5;

/// A service, and a port where one was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) service: ServiceKey,
    pub(super) port: Option<u16>,
}

impl Target {
    /// Reads the name of a host outside of Kubernetes, `name.namespace[:port]`, `name.namespace.svc[.DOMAIN][:port]`, or the name of an Envoy cluster.
    pub(super) fn parse(text: &str, domain: &str) -> Result<Self, Unanswerable> {
        if let Some(name) = ClusterName::parse(text, domain) {
            return Ok(Self {
                service: name.service,
                port: Some(name.port),
            });
        }
        let wrong = || Unanswerable::NotAService(shorten(text));
        let outside = |host: &str, port| {
            let service = ServiceKey::from_any_host(host, domain).filter(ServiceKey::is_outside)?;
            Some(Self { service, port })
        };
        let (host, port) = match text.split_once(':') {
            None => (text, None),
            Some((host, port)) => {
                let number = port.parse().ok().filter(|number| *number != 0).ok_or_else(wrong)?;
                (host, Some(number))
            }
        };
        let mut parts = host.splitn(4, '.');
        let (Some(name), Some(namespace)) = (parts.next(), parts.next()) else {
            return Err(wrong());
        };
        let rest_fits = match (parts.next(), parts.next()) {
            (None, _) | (Some("svc"), None) => true,
            (Some("svc"), Some(rest)) => rest == domain,
            (Some(_), _) => false,
        };
        if !rest_fits && let Some(target) = outside(host, port) {
            return Ok(target);
        }
        if name.is_empty() || namespace.is_empty() || !rest_fits {
            return Err(wrong());
        }
        Ok(Self {
            service: ServiceKey::new(namespace, name),
            port,
        })
    }

    /// The port that is meant: the one named, or the only one.
    pub(super) fn port_of<'a>(&self, service: &'a ServiceEndpoints) -> Result<&'a PortEndpoints, Unanswerable> {
        let known = || service.ports.iter().map(|port| port.port.number.to_string()).collect();
        match (self.port, service.ports.as_slice()) {
            (Some(number), _) => service.port(number).ok_or_else(|| Unanswerable::NoSuchPort {
                service: service.key.clone(),
                port: number,
                known: known(),
            }),
            (None, [only]) => Ok(only),
            (None, []) => Err(Unanswerable::NoPorts(service.key.clone())),
            (None, _) => Err(Unanswerable::WhichPort {
                service: service.key.clone(),
                known: known(),
            }),
        }
    }
}

/// The names that are most like one that does not exist, the likeliest first.
pub(super) fn similar(wanted: &ServiceKey, services: &[Arc<ServiceEndpoints>]) -> Vec<String> {
    let text = wanted.to_string();
    let mut near: Vec<_> = services
        .iter()
        .map(|service| {
            let key = &service.key;
            let same_name = if key.name == wanted.name { 1.0 } else { 0.0 };
            (
                same_name + strsim::jaro_winkler(&text, &key.to_string()),
                key.to_string(),
            )
        })
        .filter(|(likeness, _)| *likeness > 0.8)
        .collect();
    near.sort_by(|(a, a_name), (b, b_name)| b.total_cmp(a).then_with(|| a_name.cmp(b_name)));
    near.into_iter().take(SUGGESTIONS).map(|(_, name)| name).collect()
}

/// What a client wrote goes into a message, so it is cut to what a person can read.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_service_is_named_as_people_and_envoys_name_it() {
        let target = |port| Target {
            service: ServiceKey::new("shop", "web"),
            port,
        };
        for (text, port) in [
            ("web.shop", None),
            ("web.shop:80", Some(80)),
            ("web.shop.svc", None),
            ("web.shop.svc.cluster.local", None),
            ("web.shop.svc.cluster.local:8080", Some(8080)),
            ("outbound|8080||web.shop.svc.cluster.local", Some(8080)),
        ] {
            assert_eq!(Target::parse(text, "cluster.local").unwrap(), target(port), "{text}");
        }
        for text in [
            "",
            "web",
            "web.",
            ".shop",
            "web.shop:0",
            "web.shop:http",
            "web.shop:70000",
        ] {
            let error = Target::parse(text, "cluster.local").expect_err(text).to_string();
            assert!(error.contains("name.namespace"), "{error}");
        }
        // A host outside of Kubernetes.
        assert!(Target::parse("a.b.c", "cluster.local").is_ok());
        let long = Target::parse(&"x".repeat(1 << 20), "cluster.local")
            .unwrap_err()
            .to_string();
        assert!(long.len() < 400, "{} bytes", long.len());
    }

    #[test]
    fn a_port_may_be_left_out_where_there_is_one() {
        let target = |port| Target {
            service: ServiceKey::new("shop", "web"),
            port,
        };
        let one = samples::service();
        assert_eq!(target(None).port_of(&one).unwrap().port.number, 8080);
        let two = samples::two_ports();
        assert_eq!(target(Some(9090)).port_of(&two).unwrap().port.number, 9090);
        let which = target(None).port_of(&two).unwrap_err().to_string();
        assert!(which.contains("80, 9090"), "{which}");
        let none = target(Some(81)).port_of(&two).unwrap_err().to_string();
        assert!(none.contains("no port 81") && none.contains("80, 9090"), "{none}");
    }

    #[test]
    fn a_typing_error_finds_what_was_meant() {
        let services = samples::services();
        let of = |namespace, name| similar(&ServiceKey::new(namespace, name), &services);
        assert_eq!(of("shop", "wbe"), ["web.shop"]);
        assert_eq!(of("prod", "web"), ["web.shop"]);
        assert_eq!(of("zzzzzzz", "qqqqqq"), [] as [String; 0]);
    }
}
