//! The section `traffic`.

use std::time::Duration;

use super::error::InvalidValue;
use super::locality;
use super::reader::{Reader, Section};
use super::settings::{ApplicationChoice, MtlsChoice, OutsideChoice, TrafficConfig};
use super::tree::Scalar;
use super::values;

pub(super) fn read(reader: &mut Reader<'_>, root: &Section<'_>, default: TrafficConfig) -> TrafficConfig {
    let section = reader.child(root, "traffic");
    let mtls = |scalar: &Scalar| {
        values::one_of(
            scalar,
            &[
                ("strict", MtlsChoice::Strict),
                ("permissive", MtlsChoice::Permissive),
                ("disable", MtlsChoice::Disable),
            ],
        )
    };
    let outside = |scalar: &Scalar| {
        values::one_of(
            scalar,
            &[
                ("passthrough", OutsideChoice::Passthrough),
                ("block", OutsideChoice::Block),
            ],
        )
    };
    let application = |scalar: &Scalar| {
        values::one_of(
            scalar,
            &[
                ("podIp", ApplicationChoice::PodIp),
                ("localhost", ApplicationChoice::Localhost),
            ],
        )
    };
    let requests = |scalar: &Scalar| {
        let number = values::integer(scalar, 0..=1_000_000)?;
        Ok(u32::try_from(number).expect("it is in the range"))
    };
    let age = |scalar: &Scalar| values::duration(scalar, Duration::ZERO..=Duration::from_secs(3600));
    TrafficConfig {
        enabled: reader
            .value(&section, "enabled", values::boolean)
            .unwrap_or(default.enabled),
        trust_domain: reader
            .value(&section, "trustDomain", values::dns_name)
            .unwrap_or(default.trust_domain),
        certificates: reader
            .value(&section, "certificates", folder_elsewhere)
            .or(default.certificates),
        mtls: reader.value(&section, "mtls", mtls).unwrap_or(default.mtls),
        outside: reader.value(&section, "outside", outside).unwrap_or(default.outside),
        application: reader
            .value(&section, "application", application)
            .unwrap_or(default.application),
        requests_per_connection: reader
            .value(&section, "requestsPerConnection", requests)
            .unwrap_or(default.requests_per_connection),
        connection_age: reader
            .value(&section, "connectionAge", age)
            .unwrap_or(default.connection_age),
        dns: reader.value(&section, "dns", values::boolean).unwrap_or(default.dns),
        locality: locality::locality(reader, &section),
        outlier: locality::outlier(reader, &section),
        access_log: match reader.value(&section, "accessLog", file_elsewhere) {
            Some(path) => path,
            None => default.access_log,
        },
    }
}

/// A path on the machine of an Envoy, which is not ours to look at, so that it is never joined with a folder of ours.
fn folder_elsewhere(scalar: &Scalar) -> Result<String, InvalidValue> {
    let text = values::text(scalar)?;
    if text.starts_with('/') {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(InvalidValue::new(
            format!("{} is no absolute path", values::shown(text)),
            "give the path as the Envoys see it, beginning with /",
        ))
    }
}

/// The same of a file; `none` for no file.
fn file_elsewhere(scalar: &Scalar) -> Result<Option<String>, InvalidValue> {
    match values::text(scalar)? {
        "none" => Ok(None),
        _ => folder_elsewhere(scalar).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, LocalityConfig, OutlierConfig};

    #[test]
    fn every_key_takes_effect_and_mistakes_say_what_is_expected() {
        let text = "traffic: {enabled: true, trustDomain: td.example, certificates: /c/, mtls: strict, outside: block,
            application: localhost, requestsPerConnection: 1, connectionAge: 0s, dns: false, accessLog: none}";
        let read = Config::from_yaml(text, "f.yaml").unwrap().traffic;
        let expected = TrafficConfig {
            enabled: true,
            trust_domain: "td.example".to_owned(),
            certificates: Some("/c".to_owned()),
            mtls: MtlsChoice::Strict,
            outside: OutsideChoice::Block,
            application: ApplicationChoice::Localhost,
            requests_per_connection: 1,
            connection_age: Duration::ZERO,
            dns: false,
            access_log: None,
            locality: LocalityConfig::default(),
            outlier: OutlierConfig::default(),
        };
        assert_eq!(read, expected);
        for (wrong, says) in [
            ("mtls: maybe", "use one of: strict, permissive, disable"),
            ("certificates: certs", "as the Envoys see it"),
            ("accessLog: log", "as the Envoys see it"),
            ("requestsPerConnection: 1000001", "out of range"),
            ("connectionAge: 2h", "out of range"),
        ] {
            let errors = Config::from_yaml(&format!("traffic: {{{wrong}}}"), "f.yaml").unwrap_err();
            assert!(errors.to_string().contains(says), "{errors}");
        }
    }
}
