//! Kubeconfigs that somebody else wrote: what in them would run programs of ours or read our files is refused. Pure.

use kube::config::{AuthInfo, Cluster, Kubeconfig};

use super::failure::Failure;

/// Reads a kubeconfig that came in a Secret. Whoever may write the Secret must not gain what this process may do.
pub(super) fn checked(text: &str) -> Result<Kubeconfig, Failure> {
    let kubeconfig = Kubeconfig::from_yaml(text)?;
    let clusters = kubeconfig.clusters.iter().filter_map(|named| named.cluster.as_ref());
    let users = kubeconfig
        .auth_infos
        .iter()
        .filter_map(|named| named.auth_info.as_ref());
    let refused: Vec<&str> = clusters.flat_map(of_cluster).chain(users.flat_map(of_user)).collect();
    match refused.first() {
        None if kubeconfig.clusters.is_empty() => Err(Failure::Config("it names no cluster".to_owned())),
        None => Ok(kubeconfig),
        Some(field) => Err(Failure::Config(format!(
            "a kubeconfig in a Secret may not use {field}; put a token, or certificates and keys as data, into it"
        ))),
    }
}

fn of_cluster(cluster: &Cluster) -> impl Iterator<Item = &'static str> {
    let fields = [
        ("certificate-authority", cluster.certificate_authority.is_some()),
        (
            "insecure-skip-tls-verify",
            cluster.insecure_skip_tls_verify == Some(true),
        ),
    ];
    used(fields)
}

fn of_user(user: &AuthInfo) -> impl Iterator<Item = &'static str> {
    let fields = [
        ("exec", user.exec.is_some()),
        ("auth-provider", user.auth_provider.is_some()),
        ("tokenFile", user.token_file.is_some()),
        ("client-certificate", user.client_certificate.is_some()),
        ("client-key", user.client_key.is_some()),
    ];
    used(fields)
}

fn used<const N: usize>(fields: [(&'static str, bool); N]) -> impl Iterator<Item = &'static str> {
    fields.into_iter().filter_map(|(field, used)| used.then_some(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: 'https://192.0.2.1', {cluster}}}}}]\n\
             users: [{{name: u, user: {{{user}}}}}]\n"
        )
    }

    #[test]
    fn a_token_and_data_are_taken() {
        assert!(checked(&kubeconfig("certificate-authority-data: YQ==", "token: s3cret")).is_ok());
        let user = "client-certificate-data: YQ==, client-key-data: YQ==";
        assert!(checked(&kubeconfig("tls-server-name: east", user)).is_ok());
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
            let said = checked(&kubeconfig(cluster, user)).expect_err(field).to_string();
            assert!(said.contains(&format!("may not use {field};")), "{said}");
            assert!(!said.contains("s3cret"), "{said}");
        }
        for text in ["", "token: [s3cret", "just s3cret words"] {
            let said = checked(text).expect_err(text).to_string();
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
}
