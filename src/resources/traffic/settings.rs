//! What the settings say about traffic.

use std::sync::Arc;
use std::time::Duration;

/// The settings that every resource of traffic depends on; a change of any changes the versions of all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TrafficSettings {
    /// The domain in host names, `cluster.local`.
    pub domain: Arc<str>,
    /// The trust domains in SPIFFE ids that count as ours, without `spiffe://`.
    pub trust_domains: Vec<Arc<str>>,
    /// Where an Envoy finds its certificate and the roots it trusts; without, there is no mutual TLS.
    pub certificates: Option<CertificateSource>,
    /// What becomes of connections to whatever is not in the mesh.
    pub outside: Outside,
    /// Where applications listen.
    pub application: Application,
    /// After how many requests a sidecar opens a new connection, so that one connection through a gateway does not pin one
    /// pod behind it; 0 for never.
    pub requests_per_connection: u32,
    /// At what age a sidecar replaces a connection by a new one, for the same reason where requests are few; 0 for never.
    pub connection_age: Duration,
    /// Whether sidecars answer for names that the local DNS does not know.
    pub dns: bool,
    /// The file that Envoys write their access log to; none is written without.
    pub access_log: Option<Arc<str>>,
    /// When an endpoint that fails is taken out.
    pub outlier: Outlier,
}

/// When an Envoy takes an endpoint out that fails.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Outlier {
    /// Where so much of what it was asked within an interval failed, in percent; 0 for never.
    pub failure_percentage: u32,
    /// How many requests there must have been within the interval.
    pub minimum_requests: u32,
    /// After so many failures one after the other, however long that took; 0 for never.
    pub consecutive: u32,
    /// How often that is looked at.
    pub interval: Duration,
    /// For how long it goes, times how often it went.
    pub ejection: Duration,
}

/// Where an Envoy finds the secrets `default` (its certificate) and `ROOTCA` (whom it trusts).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CertificateSource {
    /// They come over the same ADS stream.
    Ads,
    /// In `default.yaml` and `ROOTCA.yaml` of this folder of the Envoy's machine, watched for changes.
    Files(Arc<str>),
}

/// What becomes of connections of workloads to whatever is not in the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outside {
    /// They go where they were going.
    Passthrough,
    /// They are refused.
    Block,
}

/// Where applications listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Application {
    /// On the pod's address, or on all.
    PodIp,
    /// On 127.0.0.1.
    Localhost,
}
