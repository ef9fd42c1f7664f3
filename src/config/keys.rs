//! Every key of the settings file, and what an unknown one may have meant.

/// The sections of the file and the keys of each; a section of list items ends in `[]`. The reader refuses any other key,
/// and tests hold `config/default.yaml` against this table.
pub(super) const SECTIONS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "listen",
            "admin",
            "mesh",
            "membersFolder",
            "members",
            "memberSecrets",
            "networks",
            "zones",
            "dns",
            "memberDefaults",
            "readiness",
            "drain",
            "store",
            "xds",
            "tls",
            "traffic",
            "identity",
            "log",
        ],
    ),
    ("admin", &["listen"]),
    (
        "mesh",
        &[
            "defaultNetwork",
            "systemNamespace",
            "domain",
            "exportTo",
            "clusterLocal",
        ],
    ),
    (
        "members[]",
        &[
            "name",
            "network",
            "folder",
            "kubeconfig",
            "context",
            "inCluster",
            "namespaces",
            "stale",
            "weight",
            "budget",
        ],
    ),
    ("members[].stale", &["policy", "after"]),
    ("members[].budget", &["objects", "bytes", "eventsPerSecond"]),
    ("networks.NAME", &["cidrs", "gateways", "members", "weight"]),
    ("networks.NAME.cidrs[]", &["cidr", "member"]),
    ("networks.NAME.gateways[]", &["address", "port", "service", "member"]),
    ("zones.NAME", &["weight"]),
    ("dns", &["servers"]),
    (
        "memberSecrets",
        &["kubeconfig", "context", "inCluster", "namespace", "allow"],
    ),
    ("memberDefaults", &["stale", "budget"]),
    ("memberDefaults.stale", &["policy", "after"]),
    ("memberDefaults.budget", &["objects", "bytes", "eventsPerSecond"]),
    ("readiness", &["memberSyncDeadline"]),
    ("drain", &["deadline"]),
    ("store", &["path"]),
    (
        "xds",
        &[
            "maxRequestBytes",
            "maxNodeBytes",
            "maxStreams",
            "maxNames",
            "maxInitialBytesInFlight",
            "allowPlaintext",
        ],
    ),
    ("tls", &["certificate", "key", "clientCa"]),
    (
        "traffic",
        &[
            "enabled",
            "trustDomain",
            "certificates",
            "mtls",
            "outside",
            "application",
            "requestsPerConnection",
            "connectionAge",
            "dns",
            "accessLog",
            "locality",
            "outlier",
        ],
    ),
    ("traffic.locality", &["mode", "order", "failover"]),
    ("traffic.locality.failover[]", &["from", "to"]),
    (
        "traffic.outlier",
        &[
            "failurePercentage",
            "minimumRequests",
            "consecutive",
            "interval",
            "ejection",
        ],
    ),
    (
        "identity",
        &[
            "trustDomain",
            "trustDomainAliases",
            "ca",
            "workloadCertificateLifetime",
            "audiences",
            "proxies",
        ],
    ),
    ("identity.proxies", &["require"]),
    ("log", &["level", "format"]),
];

/// The keys of a section.
pub(super) fn of_section(section: &str) -> &'static [&'static str] {
    let (_, keys) = SECTIONS
        .iter()
        .find(|(name, _)| *name == section)
        .expect("the reader asks only for sections of the table");
    keys
}

/// Joins a section's path and a key.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// What to do about an unknown `key` in `section`.
pub(super) fn remedy_for_unknown(section: &str, key: &str) -> String {
    let known = of_section(section);
    let given = plain(key);
    // A typing error changes few letters; a third of the word keeps wild guesses out.
    let tolerance = (given.chars().count() / 3).max(1);
    let nearest = known
        .iter()
        .map(|known| (strsim::osa_distance(&given, &plain(known)), known))
        .min();
    if let Some((letters, known)) = nearest
        && letters <= tolerance
    {
        return format!("did you mean `{}`?", join(section, known));
    }
    let elsewhere = SECTIONS
        .iter()
        .flat_map(|(name, keys)| keys.iter().map(move |key| (*name, *key)))
        .find(|(name, key)| *name != section && plain(key) == given);
    match elsewhere {
        Some((name, key)) => format!("did you mean `{}`?", join(name, key)),
        None => format!("remove it, or use one of: {}", known.join(", ")),
    }
}

/// A key without what people write differently: case, `-` and `_`.
fn plain(key: &str) -> String {
    key.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .take(64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_gets_the_nearest_one() {
        for (section, key, expected) in [
            ("", "lisen", "did you mean `listen`?"),
            ("", "tsl", "did you mean `tls`?"),
            ("xds", "max_streams", "did you mean `xds.maxStreams`?"),
            ("", "maxStreams", "did you mean `xds.maxStreams`?"),
            ("log", "colour", "remove it, or use one of: level, format"),
        ] {
            assert_eq!(remedy_for_unknown(section, key), expected, "{section} {key}");
        }
    }
}
