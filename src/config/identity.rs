//! The section `identity`: who proxies are, and whose certificates workloads get.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::error::InvalidValue;
use super::reader::{Reader, Section};
use super::settings::{Config, Listen};
use super::tree::{Scalar, Value};
use super::values;

/// `identity`: who proxies are, and whose certificates workloads get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityConfig {
    /// `identity.trustDomain`: what the identities of the mesh begin with.
    pub trust_domain: String,
    /// `identity.trustDomainAliases`: other trust domains that mean the same workloads.
    pub trust_domain_aliases: Vec<String>,
    /// `identity.ca`: the folder of the authority that issues workload certificates.
    pub ca: PathBuf,
    /// `identity.workloadCertificateLifetime`: how long they are valid.
    pub lifetime: Duration,
    /// `identity.audiences`: a token counts when it is for one of these.
    pub audiences: Vec<String>,
    /// `identity.proxies.require`: what a proxy must show.
    pub require: ProxyProof,
}

/// `identity.proxies.require`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProof {
    /// Nothing.
    None,
    /// A service account token.
    Token,
    /// A client certificate.
    Certificate,
    /// Either of both.
    Any,
}

impl fmt::Display for ProxyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Token => "token",
            Self::Certificate => "certificate",
            Self::Any => "any",
        })
    }
}

/// Half a life is what a renewal has to succeed in, so very short ones are for tests.
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) fn identity(reader: &mut Reader<'_>, root: &Section<'_>) -> Option<IdentityConfig> {
    if !root.has("identity") {
        return None;
    }
    let section = reader.child(root, "identity");
    let remedy = "name the folder of an authority, as `parallax ca issue-intermediate` makes one";
    reader.require(&section, "ca", remedy);
    let ca = reader.path(&section, "ca");
    let trust_domain = reader.value(&section, "trustDomain", trust_domain);
    let lifetime = |scalar: &Scalar| values::duration(scalar, SHORTEST..=LONGEST);
    let lifetime = reader.value(&section, "workloadCertificateLifetime", lifetime);
    let aliases = list(reader, &section, "trustDomainAliases", self::trust_domain);
    let audiences = list(reader, &section, "audiences", |scalar| {
        values::text(scalar).map(str::to_owned)
    });
    let path = section.key_path("proxies");
    let proxies = reader.section(section.node("proxies"), "identity.proxies", path);
    let require = reader.value(&proxies, "require", proof);
    Some(IdentityConfig {
        trust_domain: trust_domain.unwrap_or_else(|| "cluster.local".to_owned()),
        trust_domain_aliases: aliases,
        ca: ca?,
        lifetime: lifetime.unwrap_or(Duration::from_secs(12 * 3600)),
        // What Istio's sidecars are given.
        audiences: if section.has("audiences") {
            audiences
        } else {
            vec!["istio-ca".to_owned()]
        },
        require: require.unwrap_or(ProxyProof::Any),
    })
}

/// Fails closed: where other machines can connect, proxies prove who they are, and keys travel encrypted.
pub(super) fn check(reader: &mut Reader<'_>, root: &Section<'_>, config: &Config) {
    let Some(identity) = &config.identity else { return };
    let at = root.place("identity");
    // A wrong `tls` has its own error.
    let tls = root.has("tls");
    let tcp = matches!(config.listen, Listen::Tcp(_));
    if !config.listen.is_local() && identity.require == ProxyProof::None {
        let problem = format!("is none, and {} can be reached from other machines", config.listen);
        let what = InvalidValue::new(problem, "require token, certificate or any");
        reader.error(at, "identity.proxies.require", what);
    }
    if !config.listen.is_local() && !tls {
        let problem = format!("would send private keys in plaintext: {} has no TLS", config.listen);
        let what = InvalidValue::new(problem, "add `tls`; `xds.allowPlaintext` is not enough here");
        reader.error(at, "identity", what);
    } else if identity.require == ProxyProof::Certificate && !(tls && tcp) {
        let what = InvalidValue::new(
            "is certificate, and there is no TLS to show one in",
            "add `tls`, or require token",
        );
        reader.error(at, "identity.proxies.require", what);
    }
}

fn list(
    reader: &mut Reader<'_>,
    section: &Section<'_>,
    key: &str,
    parse: impl Fn(&Scalar) -> Result<String, InvalidValue>,
) -> Vec<String> {
    let mut values = Vec::new();
    for (index, node) in reader.list(section, key).iter().enumerate() {
        let parsed = match &node.value {
            Value::Scalar(scalar) => parse(scalar),
            _ => Err(InvalidValue::new("is no single value", "write `- VALUE`")),
        };
        match parsed {
            Ok(value) => values.push(value),
            Err(what) => reader.error(node.at, format!("{}[{index}]", section.key_path(key)), what),
        }
    }
    values
}

fn trust_domain(scalar: &Scalar) -> Result<String, InvalidValue> {
    let given = values::text(scalar)?;
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    if given.len() <= 255 && given.bytes().all(allowed) {
        return Ok(given.to_owned());
    }
    Err(InvalidValue::new(
        format!("{} is no trust domain", values::shown(given)),
        "use lower-case letters, digits, `.`, `-` or `_`, such as cluster.local",
    ))
}

fn proof(scalar: &Scalar) -> Result<ProxyProof, InvalidValue> {
    let all = [
        ProxyProof::None,
        ProxyProof::Token,
        ProxyProof::Certificate,
        ProxyProof::Any,
    ];
    let given = values::text(scalar)?;
    all.into_iter().find(|proof| proof.to_string() == given).ok_or_else(|| {
        InvalidValue::new(
            format!("{} is nothing that can be required", values::shown(given)),
            "write none, token, certificate or any",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let errors = Config::from_yaml(text, "f.yaml").expect_err(text).to_string();
        assert_eq!(errors.lines().count(), 1, "{errors}");
        errors
    }

    #[test]
    fn identities_have_defaults_and_every_key_takes_effect() {
        let read = |text: &str| Config::from_yaml(text, "/etc/p/f.yaml").unwrap().identity.unwrap();
        let short = read("identity: {ca: ca/west}");
        assert_eq!(short.ca, PathBuf::from("/etc/p/ca/west"));
        assert_eq!(short.trust_domain, "cluster.local");
        assert_eq!(short.lifetime, Duration::from_secs(12 * 3600));
        assert_eq!(
            (short.audiences, short.require),
            (vec!["istio-ca".to_owned()], ProxyProof::Any)
        );
        let whole = read(
            "identity: {ca: /a, trustDomain: td, trustDomainAliases: [o.x, o2], workloadCertificateLifetime: 10m, audiences: [me], proxies: {require: token}}",
        );
        assert_eq!(
            (whole.trust_domain.as_str(), whole.trust_domain_aliases.len()),
            ("td", 2)
        );
        assert_eq!(whole.lifetime, Duration::from_secs(600));
        assert_eq!(
            (whole.audiences, whole.require),
            (vec!["me".to_owned()], ProxyProof::Token)
        );
        assert_eq!(Config::default().identity, None);
    }

    #[test]
    fn where_others_can_connect_proxies_prove_who_they_are_and_keys_travel_encrypted() {
        let open = "listen: 0.0.0.0:1\n";
        let tls = "tls: {certificate: c, key: k}\n";
        let none = said(&format!("{open}{tls}identity: {{ca: a, proxies: {{require: none}}}}"));
        assert!(none.contains("can be reached from other machines"), "{none}");
        let plain = said(&format!("{open}xds: {{allowPlaintext: true}}\nidentity: {{ca: a}}"));
        assert!(plain.contains("private keys in plaintext"), "{plain}");
        assert!(said("identity: {ca: a, proxies: {require: certificate}}").contains("no TLS to show one in"));
        assert!(said("identity: {proxies: {require: any}}").contains("identity.ca"));
        assert!(said("identity: {ca: a, trustDomain: A/b}").contains("no trust domain"));
        assert!(said("identity: {ca: a, audiences: [[x]]}").contains("identity.audiences[0]"));
        assert!(said("identity: {ca: a, proxies: {required: any}}").contains("identity.proxies.require"));
        assert!(Config::from_yaml("identity: {ca: a, proxies: {require: none}}", "f").is_ok());
    }
}
