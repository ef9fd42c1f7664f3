//! What a service port speaks, as far as it matters for listeners.

use crate::model::ServicePort;

/// Ports at which an Envoy of a workload listens itself, here or in Istio's bootstraps. It would refuse a second listener on all
/// addresses with one of them.
const RESERVED: [u16; 7] = [15000, 15001, 15006, 15020, 15021, 15053, 15090];

/// How connections to a port are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// As HTTP/1.1, or HTTP/2 where a client speaks it: `http`, `http2`, `grpc` and the like.
    Http,
    /// As bytes: anything else that was declared, TLS of the application's own too.
    Tcp,
    /// By a look at the first bytes: nothing was declared.
    Sniffed,
}

impl Protocol {
    /// From `appProtocol`, else from the port's name up to its first hyphen, as in Istio. A port that Envoys need themselves is
    /// reached by its `ClusterIP` only, so as bytes.
    #[must_use]
    pub fn of(port: &ServicePort) -> Self {
        if Self::is_reserved(port) {
            return Self::Tcp;
        }
        if !port.app_protocol.is_empty() {
            return Self::from_word(&port.app_protocol).unwrap_or(Self::Tcp);
        }
        let prefix = port.name.split('-').next().unwrap_or_default();
        // `grpc-web` is the one name with a hyphen of its own; its prefix says the same.
        Self::from_word(prefix).unwrap_or(Self::Sniffed)
    }

    /// Whether a port's connections are TLS of the application's own, by its `appProtocol`.
    #[must_use]
    pub fn is_tls(port: &ServicePort) -> bool {
        ["tls", "https"]
            .iter()
            .any(|word| word.eq_ignore_ascii_case(&port.app_protocol))
    }

    /// Whether Envoys listen at it themselves, so that no listener of all addresses can have it.
    #[must_use]
    pub fn is_reserved(port: &ServicePort) -> bool {
        RESERVED.contains(&port.number)
    }

    /// `None` for a word that says nothing.
    fn from_word(word: &str) -> Option<Self> {
        let is = |words: &[&str]| words.iter().any(|other| other.eq_ignore_ascii_case(word));
        if is(&[
            "http",
            "http2",
            "h2c",
            "grpc",
            "grpc-web",
            "kubernetes.io/h2c",
            "kubernetes.io/ws",
        ]) {
            Some(Self::Http)
        } else if is(&["tcp", "tls", "https", "mongo", "mysql", "redis", "kubernetes.io/wss"]) {
            Some(Self::Tcp)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_comes_from_app_protocol_or_the_name() {
        for (app_protocol, name, expected) in [
            ("", "", Protocol::Sniffed),
            ("", "web", Protocol::Sniffed),
            ("", "http", Protocol::Http),
            ("", "http-metrics", Protocol::Http),
            ("", "HTTP2-a", Protocol::Http),
            ("", "grpc-web-x", Protocol::Http),
            ("", "tcp-raw", Protocol::Tcp),
            ("", "https", Protocol::Tcp),
            ("http", "tcp-raw", Protocol::Http),
            ("kubernetes.io/h2c", "", Protocol::Http),
            ("tls", "http", Protocol::Tcp),
            // Declared, so it is not guessed: a server that speaks first must not wait.
            ("example.com/own", "http", Protocol::Tcp),
        ] {
            let port = ServicePort {
                number: 80,
                name: name.into(),
                app_protocol: app_protocol.into(),
            };
            assert_eq!(Protocol::of(&port), expected, "{app_protocol:?} {name:?}");
            let reserved = ServicePort { number: 15006, ..port };
            assert_eq!(Protocol::of(&reserved), Protocol::Tcp);
        }
    }
}
