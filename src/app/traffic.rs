//! From the settings of traffic to what resources are built by.

use crate::config::{ApplicationChoice, Config, MtlsChoice, OutsideChoice};
use crate::model::MtlsMode;
use crate::resources::{Application, CertificateSource, Outlier, Outside, TrafficSettings};

/// `None` where proxies get no listeners.
pub(super) fn settings(config: &Config) -> Option<TrafficSettings> {
    let traffic = &config.traffic;
    traffic.enabled.then(|| TrafficSettings {
        domain: config.mesh.domain.as_str().into(),
        trust_domains: match &config.identity {
            Some(identity) => [&identity.trust_domain]
                .into_iter()
                .chain(&identity.trust_domain_aliases)
                .map(|domain| domain.as_str().into())
                .collect(),
            None => vec![traffic.trust_domain.as_str().into()],
        },
        certificates: match &traffic.certificates {
            Some(folder) => Some(CertificateSource::Files(folder.as_str().into())),
            // Without anybody to issue any, an Envoy would wait for certificates that it never uses.
            None if config.identity.is_none() && traffic.mtls == MtlsChoice::Disable => None,
            None => Some(CertificateSource::Ads),
        },
        outside: match traffic.outside {
            OutsideChoice::Passthrough => Outside::Passthrough,
            OutsideChoice::Block => Outside::Block,
        },
        application: match traffic.application {
            ApplicationChoice::PodIp => Application::PodIp,
            ApplicationChoice::Localhost => Application::Localhost,
        },
        requests_per_connection: traffic.requests_per_connection,
        connection_age: traffic.connection_age,
        dns: traffic.dns,
        access_log: traffic.access_log.as_deref().map(Into::into),
        outlier: Outlier {
            failure_percentage: traffic.outlier.failure_percentage,
            minimum_requests: traffic.outlier.minimum_requests,
            consecutive: traffic.outlier.consecutive,
            interval: traffic.outlier.interval,
            ejection: traffic.outlier.ejection,
        },
    })
}

/// What workloads ask of who connects, where nothing else is said.
pub(super) fn mtls(config: &Config) -> MtlsMode {
    match config.traffic.mtls {
        // Nobody serves listeners, so the labels of pods are all that is known.
        _ if !config.traffic.enabled => MtlsMode::default(),
        MtlsChoice::Strict => MtlsMode::Strict,
        MtlsChoice::Permissive => MtlsMode::Permissive,
        MtlsChoice::Disable => MtlsMode::Disable,
    }
}
