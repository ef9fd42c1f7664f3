//! Settings: the YAML file, its defaults, and every mistake in it at once.
//!
//! [`Config`] is what the rest of the program sees: typed, checked, with nothing left to parse. [`Config::from_yaml`] reads
//! a file's text into a tree that knows where each value stands, then takes the values out one by one; a mistake is
//! written down and reading goes on, so that one run of `check-config` shows all of them. `config/default.yaml` is the
//! reference of all keys, and equals [`Config::default`].

mod addresses;
mod allow;
mod error;
mod identity;
mod keys;
mod listen;
mod locality;
mod members;
mod networks;
mod read;
mod reader;
mod settings;
mod standing;
#[cfg(test)]
mod tests;
mod traffic;
mod tree;
mod values;

pub use error::{ConfigError, ConfigErrors, InvalidValue, Position};
pub use identity::{IdentityConfig, ProxyProof};
pub use locality::{FailoverConfig, LocalityChoice, LocalityConfig, OutlierConfig, SharedChoice, ZoneConfig};
pub use settings::{
    AdminConfig, AllowConfig, ApplicationChoice, BudgetConfig, CidrConfig, Config, DrainConfig, GatewayConfig,
    GatewayPlace, Listen, LogConfig, LogFormat, MemberConfig, MemberDefaults, MemberSecretsConfig, MemberSource,
    MeshConfig, MtlsChoice, NetworkConfig, OutsideChoice, ReadinessConfig, StaleConfig, TlsFiles, TrafficConfig,
    XdsConfig,
};
pub use standing::{SettingsFile, SettingsReport, SettingsStanding};
