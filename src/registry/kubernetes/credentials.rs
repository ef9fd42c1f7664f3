//! Kubeconfigs that somebody else wrote: what in them would run programs of ours or read our files is refused. Pure.

use kube::config::{AuthInfo, Cluster, Kubeconfig};

use super::allowed::Allowed;
use super::failure::Failure;

/// Reads a kubeconfig that came in a Secret. Whoever may write the Secret must not gain what this process may do, but for what
/// the settings allow.
pub(super) fn checked(text: &str, allowed: &Allowed) -> Result<Kubeconfig, Failure> {
    let kubeconfig = Kubeconfig::from_yaml(text)?;
    let clusters = kubeconfig.clusters.iter().filter_map(|named| named.cluster.as_ref());
    let users = kubeconfig
        .auth_infos
        .iter()
        .filter_map(|named| named.auth_info.as_ref());
    let mut refused = clusters
        .flat_map(|cluster| of_cluster(cluster, allowed))
        .chain(users.flat_map(|user| of_user(user, allowed)));
    let first = refused.next();
    drop(refused);
    match first {
        None if kubeconfig.clusters.is_empty() => Err(Failure::Config("it names no cluster".to_owned())),
        None => Ok(kubeconfig),
        Some(field) => Err(Failure::Config(format!(
            "a kubeconfig in a Secret may not use {field}; put a token, or certificates and keys as data, into it, or allow \
             this in the settings under memberSecrets.allow"
        ))),
    }
}

/// The fields of a cluster that are used and not allowed.
fn of_cluster(cluster: &Cluster, allowed: &Allowed) -> impl Iterator<Item = &'static str> {
    let skips = cluster.insecure_skip_tls_verify == Some(true);
    refused([
        (
            "certificate-authority",
            file_is_refused(cluster.certificate_authority.as_deref(), allowed),
        ),
        ("insecure-skip-tls-verify", skips && !allowed.insecure_skip_tls_verify),
    ])
}

/// The fields of a user that are used and not allowed.
fn of_user(user: &AuthInfo, allowed: &Allowed) -> impl Iterator<Item = &'static str> {
    let exec = user.exec.as_ref();
    let provider = user.auth_provider.as_ref();
    let runs = |command: Option<&String>| command.is_some_and(|command| allowed.exec.contains(command));
    refused([
        ("exec", exec.is_some_and(|exec| !runs(exec.command.as_ref()))),
        (
            "auth-provider",
            provider.is_some_and(|provider| !allowed.auth_providers.contains(&provider.name)),
        ),
        ("tokenFile", file_is_refused(user.token_file.as_deref(), allowed)),
        (
            "client-certificate",
            file_is_refused(user.client_certificate.as_deref(), allowed),
        ),
        ("client-key", file_is_refused(user.client_key.as_deref(), allowed)),
    ])
}

fn file_is_refused(path: Option<&str>, allowed: &Allowed) -> bool {
    path.is_some_and(|path| !allowed.file(path))
}

fn refused<const N: usize>(fields: [(&'static str, bool); N]) -> impl Iterator<Item = &'static str> {
    fields
        .into_iter()
        .filter_map(|(field, refused)| refused.then_some(field))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn kubeconfig(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'https://192.0.2.1', {cluster}}}}}]\n\
             users: [{{name: u, user: {{{user}}}}}]\n"
        )
    }

    fn nothing_allowed(text: &str) -> Result<Kubeconfig, Failure> {
        checked(text, &Allowed::default())
    }

    #[test]
    fn what_the_settings_allow_is_taken_and_nothing_else() {
        let allowed = Allowed {
            exec: BTreeSet::from(["aws".to_owned()]),
            auth_providers: BTreeSet::from(["gcp".to_owned()]),
            folders: BTreeSet::from(["/var/run/parallax".into()]),
            insecure_skip_tls_verify: true,
        };
        for (cluster, user, taken) in [
            ("", "exec: {apiVersion: v1, command: aws}", true),
            ("", "exec: {apiVersion: v1, command: /tmp/aws}", false),
            ("", "exec: {apiVersion: v1}", false),
            ("", "auth-provider: {name: gcp, config: {}}", true),
            ("", "auth-provider: {name: azure, config: {}}", false),
            ("", "tokenFile: /var/run/parallax/token", true),
            ("", "tokenFile: /var/run/parallax/../secrets/token", false),
            ("insecure-skip-tls-verify: true", "token: s3cret", true),
        ] {
            let checked = checked(&kubeconfig(cluster, user), &allowed);
            assert_eq!(checked.is_ok(), taken, "{cluster} {user}: {checked:?}");
        }
    }

    #[test]
    fn a_token_and_data_are_taken() {
        assert!(nothing_allowed(&kubeconfig("certificate-authority-data: YQ==", "token: s3cret")).is_ok());
        let user = "client-certificate-data: YQ==, client-key-data: YQ==";
        assert!(nothing_allowed(&kubeconfig("tls-server-name: east", user)).is_ok());
    }

    #[test]
    fn what_runs_programs_or_reads_files_is_refused_by_name_and_nothing_secret_is_said() {
        for (cluster, user, field) in [
            (
                "",
                "token: s3cret, exec: {apiVersion: v1, command: /bin/s3cret}",
                "exec",
            ),
            (
                "",
                "auth-provider: {name: gcp, config: {cmd-path: /bin/s3cret}}",
                "auth-provider",
            ),
            ("", "tokenFile: /var/s3cret", "tokenFile"),
            (
                "",
                "client-certificate: /s3cret, client-key-data: YQ==",
                "client-certificate",
            ),
            ("", "client-certificate-data: YQ==, client-key: /s3cret", "client-key"),
            (
                "certificate-authority: /s3cret",
                "token: s3cret",
                "certificate-authority",
            ),
            (
                "insecure-skip-tls-verify: true",
                "token: s3cret",
                "insecure-skip-tls-verify",
            ),
        ] {
            let said = nothing_allowed(&kubeconfig(cluster, user))
                .expect_err(field)
                .to_string();
            assert!(said.contains(&format!("may not use {field};")), "{said}");
            assert!(!said.contains("s3cret"), "{said}");
        }
        for text in ["", "token: [s3cret", "just s3cret words"] {
            let said = nothing_allowed(text).expect_err(text).to_string();
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
}
