//! Mutual TLS between sidecars.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use envoy_types::pb::envoy::config::core::v3::{PathConfigSource, TransportSocket, WatchedDirectory};
use envoy_types::pb::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, SubjectAltNameMatcher,
    TlsParameters, UpstreamTlsContext,
};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::google::protobuf::BoolValue;

use super::super::config_source;
use super::filters::packed;
use super::settings::{CertificateSource, TrafficSettings};
use crate::resources::{ROOTS_SECRET, WORKLOAD_SECRET};

/// What a sidecar says by ALPN of the bytes inside; plain names would be taken for those of TLS that is the application's own.
pub(super) const HTTP_INSIDE: [&str; 3] = ["istio-http/1.1", "istio-http/1.0", "istio-h2"];
/// The same of bytes that are not looked at.
pub(super) const BYTES_INSIDE: [&str; 2] = ["istio", "istio-peer-exchange"];
/// What HTTP looks like to the inspector when it is not encrypted.
pub(super) const PLAIN_HTTP: [&str; 3] = ["http/1.0", "http/1.1", "h2c"];
/// How long a client may be silent before a connection counts as one whose server speaks first.
pub(super) const SNIFFING: Duration = Duration::from_secs(1);

/// The client's side: shows its certificate, and takes only one of a pod in this namespace, which is where a service's pods are.
/// `None` where there are no certificates.
pub(super) fn upstream(settings: &TrafficSettings, sni: String, namespace: &str) -> Option<TransportSocket> {
    let peers = |domain: &str| format!("spiffe://{domain}/ns/{namespace}/");
    Some(socket_of(
        "envoy.transport_sockets.tls",
        &UpstreamTlsContext {
            common_tls_context: Some(common(settings, peers)?),
            sni,
            ..UpstreamTlsContext::default()
        },
    ))
}

/// The server's side: asks for a certificate of one of our trust domains. `None` where there are no certificates.
pub(super) fn downstream(settings: &TrafficSettings) -> Option<TransportSocket> {
    let peers = |domain: &str| format!("spiffe://{domain}/");
    Some(socket_of(
        "envoy.transport_sockets.tls",
        &DownstreamTlsContext {
            common_tls_context: Some(common(settings, peers)?),
            require_client_certificate: Some(BoolValue { value: true }),
            ..DownstreamTlsContext::default()
        },
    ))
}

/// The server's side for whoever has no certificate: shows the workload's, and asks for none. `None` where there are no
/// certificates.
pub(super) fn shown(settings: &TrafficSettings) -> Option<TransportSocket> {
    let common = CommonTlsContext {
        tls_params: Some(versions()),
        tls_certificate_sds_secret_configs: vec![secret(settings.certificates.as_ref()?, WORKLOAD_SECRET)],
        ..CommonTlsContext::default()
    };
    Some(socket_of(
        "envoy.transport_sockets.tls",
        &DownstreamTlsContext {
            common_tls_context: Some(common),
            ..DownstreamTlsContext::default()
        },
    ))
}

/// The client's side for the application beside the sidecar, whose certificate may be anybody's.
pub(super) fn believing() -> TransportSocket {
    let common = CommonTlsContext {
        tls_params: Some(versions()),
        ..CommonTlsContext::default()
    };
    socket_of(
        "envoy.transport_sockets.tls",
        &UpstreamTlsContext {
            common_tls_context: Some(common),
            ..UpstreamTlsContext::default()
        },
    )
}

/// As a client an Envoy offers at most 1.2 unless it is told the maximum too.
fn versions() -> TlsParameters {
    TlsParameters {
        tls_minimum_protocol_version: TlsProtocol::TlSv12.into(),
        tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
        ..TlsParameters::default()
    }
}

/// No TLS.
pub(super) fn plaintext() -> TransportSocket {
    socket_of("envoy.transport_sockets.raw_buffer", &RawBuffer {})
}

fn socket_of(name: &str, context: &impl prost::Name) -> TransportSocket {
    TransportSocket {
        name: name.to_owned(),
        config_type: Some(ConfigType::TypedConfig(packed(context))),
    }
}

/// `peers` makes the beginning of the SPIFFE ids that are taken, of each trust domain.
fn common(settings: &TrafficSettings, peers: impl Fn(&str) -> String) -> Option<CommonTlsContext> {
    let source = settings.certificates.as_ref()?;
    let matchers = settings.trust_domains.iter().map(|domain| SubjectAltNameMatcher {
        san_type: SanType::Uri.into(),
        matcher: Some(StringMatcher {
            match_pattern: Some(MatchPattern::Prefix(peers(domain))),
            ..StringMatcher::default()
        }),
        ..SubjectAltNameMatcher::default()
    });
    let validation = CombinedCertificateValidationContext {
        default_validation_context: Some(CertificateValidationContext {
            match_typed_subject_alt_names: matchers.collect(),
            ..CertificateValidationContext::default()
        }),
        validation_context_sds_secret_config: Some(secret(source, ROOTS_SECRET)),
        ..CombinedCertificateValidationContext::default()
    };
    Some(CommonTlsContext {
        tls_params: Some(versions()),
        tls_certificate_sds_secret_configs: vec![secret(source, WORKLOAD_SECRET)],
        validation_context_type: Some(ValidationContextType::CombinedValidationContext(validation)),
        ..CommonTlsContext::default()
    })
}

fn secret(source: &CertificateSource, name: &str) -> SdsSecretConfig {
    let source = match source {
        CertificateSource::Ads => config_source::ads(),
        CertificateSource::Files(folder) => {
            config_source::from(ConfigSourceSpecifier::PathConfigSource(PathConfigSource {
                path: format!("{folder}/{name}.yaml"),
                watched_directory: Some(WatchedDirectory {
                    path: folder.to_string(),
                    ..WatchedDirectory::default()
                }),
                ..PathConfigSource::default()
            }))
        }
    };
    SdsSecretConfig {
        name: name.to_owned(),
        sds_config: Some(source),
    }
}
