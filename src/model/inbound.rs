//! What one workload asks of who connects to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a workload asks of who connects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MtlsMode {
    /// Mutual TLS.
    Strict,
    /// Mutual TLS or plaintext, whichever comes.
    #[default]
    Permissive,
    /// Nothing: connections reach the application as they are, and sidecars open plaintext ones.
    Disable,
}

impl fmt::Display for MtlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Strict => "STRICT",
            Self::Permissive => "PERMISSIVE",
            Self::Disable => "DISABLE",
        })
    }
}

/// A question by which a kubelet finds out how a container is. It has no certificate, so it asks in plaintext.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Probe {
    /// The port of the pod that it goes to.
    pub port: u16,
    /// What it asks.
    pub question: ProbeQuestion,
}

/// What a probe asks, as far as a request shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProbeQuestion {
    /// GET of this path, which has its query with it and begins with a slash.
    Http(Arc<str>),
    /// The health service of gRPC.
    Grpc,
    /// The same as `Http`, inside of TLS. A kubelet believes whatever certificate it is shown.
    Https(Arc<str>),
}

/// What a workload asks of who connects to it. Workloads with equal ones share their inbound listener, so it holds nothing that
/// makes no difference.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboundPolicy {
    mode: MtlsMode,
    /// The ports where it is otherwise.
    ports: BTreeMap<u16, MtlsMode>,
    /// By port, where plaintext does not pass anyway.
    probes: BTreeMap<u16, BTreeSet<ProbeQuestion>>,
}

impl InboundPolicy {
    /// `mode` counts on all ports but these; the probes pass whatever it is.
    pub fn new<'a>(
        mode: MtlsMode,
        mut ports: BTreeMap<u16, MtlsMode>,
        probes: impl IntoIterator<Item = &'a Probe>,
    ) -> Self {
        ports.retain(|_, of_port| *of_port != mode);
        let mut policy = Self {
            mode,
            ports,
            probes: BTreeMap::new(),
        };
        for Probe { port, question } in probes {
            if policy.mode_at(*port) == MtlsMode::Strict {
                policy.probes.entry(*port).or_default().insert(question.clone());
            }
        }
        policy
    }

    /// What counts on ports of which nothing else is said.
    #[must_use]
    pub fn mode(&self) -> MtlsMode {
        self.mode
    }

    /// What counts on a port.
    #[must_use]
    pub fn mode_at(&self, port: u16) -> MtlsMode {
        self.ports.get(&port).copied().unwrap_or(self.mode)
    }

    /// Every mode that counts somewhere.
    pub fn modes(&self) -> impl Iterator<Item = MtlsMode> {
        self.ports.values().copied().chain([self.mode])
    }

    /// The ports of which something of their own is said.
    #[must_use]
    pub fn own_ports(&self) -> BTreeSet<u16> {
        self.ports.keys().chain(self.probes.keys()).copied().collect()
    }

    /// The questions that pass in plaintext on a port that takes mutual TLS only.
    pub fn probes_at(&self, port: u16) -> impl Iterator<Item = &ProbeQuestion> {
        self.probes.get(&port).into_iter().flatten()
    }
}

/// `STRICT`, and what is otherwise: `STRICT 8080=PERMISSIVE 8081+probes`.
impl fmt::Display for InboundPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mode)?;
        for port in self.own_ports() {
            write!(f, " {port}")?;
            if let Some(mode) = self.ports.get(&port) {
                write!(f, "={mode}")?;
            }
            if self.probes.contains_key(&port) {
                write!(f, "+probes")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_difference_is_left_out() {
        let probe = |port, path: &str| Probe {
            port,
            question: ProbeQuestion::Http(path.into()),
        };
        let probes = [
            probe(8080, "/b"),
            probe(8080, "/a"),
            probe(9090, "/a"),
            probe(8080, "/a"),
        ];
        let ports = |list: &[(u16, MtlsMode)]| list.iter().copied().collect::<BTreeMap<_, _>>();
        let strict = InboundPolicy::new(
            MtlsMode::Strict,
            ports(&[(9090, MtlsMode::Permissive), (7070, MtlsMode::Strict)]),
            &probes,
        );
        assert_eq!(strict.to_string(), "STRICT 8080+probes 9090=PERMISSIVE");
        assert_eq!(strict.probes_at(8080).count(), 2);
        assert_eq!(strict.mode_at(9090), MtlsMode::Permissive);
        let permissive = InboundPolicy::new(MtlsMode::Permissive, BTreeMap::new(), &probes);
        assert_eq!(permissive, InboundPolicy::default(), "probes pass anyway");
        let one = InboundPolicy::new(MtlsMode::Permissive, ports(&[(8080, MtlsMode::Strict)]), &probes);
        assert_eq!(one.to_string(), "PERMISSIVE 8080=STRICT+probes");
    }
}
