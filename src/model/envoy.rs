//! Which Envoy asks, as far as what is sent depends on it.

use std::fmt;

/// The version of an Envoy, as far as its configuration depends on it: patches add nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvoyVersion {
    /// 1, for as long as there have been Envoys.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl EnvoyVersion {
    /// The oldest that knows all that the listeners of sidecars and gateways are made of (`src/resources/fields/fields.txt` has what
    /// came with which version). One that is older would refuse them, and its workload would be reached by nobody.
    pub const OLDEST: Self = Self { major: 1, minor: 29 };
    /// The oldest that carries traffic in the tests.
    pub const OLDEST_TRIED: Self = Self { major: 1, minor: 36 };

    /// From a program and its version, `envoy/1.36.2`; none for other programs, and where it can't be read.
    #[must_use]
    pub fn of_agent(agent: &str) -> Option<Self> {
        let mut parts = agent.strip_prefix("envoy/")?.split('.').map(str::parse);
        let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
            return None;
        };
        Some(Self { major, minor })
    }
}

impl fmt::Display for EnvoyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

/// What there are two ways to say, an older and a newer one: which of them a proxy is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Schema {
    /// The newer, where all that we tried know it; also for whoever does not say what it is.
    #[default]
    Current,
    /// The older.
    Older,
}

impl Schema {
    /// That of a version.
    #[must_use]
    pub fn of(version: Option<EnvoyVersion>) -> Self {
        match version {
            Some(version) if version < EnvoyVersion::OLDEST_TRIED => Self::Older,
            _ => Self::Current,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_is_told_follows_from_the_version_it_reports() {
        for (agent, read, schema) in [
            ("envoy/1.35.9", "1.35", Schema::Older),
            ("envoy/0.99.0", "0.99", Schema::Older),
            ("envoy/1.36.0-dev", "1.36", Schema::Current),
            ("envoy/1.40.0", "1.40", Schema::Current),
            ("envoy/2.0.0", "2.0", Schema::Current),
            ("envoy", "", Schema::Current),
            ("envoy/1", "", Schema::Current),
            ("envoy/x.y", "", Schema::Current),
            ("gRPC Go/1.2.3", "", Schema::Current),
            ("", "", Schema::Current),
        ] {
            let version = EnvoyVersion::of_agent(agent);
            let text = version.map(|version| version.to_string()).unwrap_or_default();
            assert_eq!((&*text, Schema::of(version)), (read, schema), "{agent}");
        }
        assert!(EnvoyVersion::OLDEST < EnvoyVersion::OLDEST_TRIED);
    }
}
