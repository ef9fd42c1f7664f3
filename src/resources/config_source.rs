//! Where Envoys get what a resource names.

use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::{AggregatedConfigSource, ApiVersion, ConfigSource};

/// Over the same aggregated stream.
pub(super) fn ads() -> ConfigSource {
    from(ConfigSourceSpecifier::Ads(AggregatedConfigSource {}))
}

/// From there, in the form that we speak.
pub(super) fn from(source: ConfigSourceSpecifier) -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(source),
        ..ConfigSource::default()
    }
}
