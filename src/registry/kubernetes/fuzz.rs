//! Kubeconfigs that almost make sense: a client or a message, never a panic, and no secret in a message.

use super::super::MemberSource;
use super::client::connect;
use crate::mutate::{Draw, Material, seeds};

/// Shows where a secret would come to light.
const SECRET: &str = "s3cr3t-t0k3n";

/// No `exec`: programs are not for trying out.
const EXAMPLES: [&str; 3] = [
    "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts:\n- name: a\n  context: {cluster: a, user: a, namespace: x}\nclusters:\n\
     - name: a\n  cluster: {server: 'https://127.0.0.1:6443', insecure-skip-tls-verify: true}\nusers:\n- name: a\n  user: {token: s3cr3t-t0k3n}\n",
    "{apiVersion: v1, kind: Config, current-context: b, contexts: [{name: b, context: {cluster: c, user: u}}], clusters: [{name: c, \
     cluster: {server: 'http://localhost', certificate-authority-data: bm8=}}], users: [{name: u, user: {username: n, password: s3cr3t-t0k3n}}]}",
    "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\nclusters: [{name: a, cluster: \
     {server: 'https://[::1]:1', tls-server-name: x, proxy-url: 'http://p:1'}}]\nusers: [{name: a, user: {client-certificate-data: \
     bm8=, client-key-data: bm8=}}]\n",
];

const WORDS: [&str; 26] = [
    "server: ",
    "cluster: ",
    "user: ",
    "token: ",
    "tokenFile: ",
    "name: ",
    "current-context: ",
    "certificate-authority-data: ",
    "certificate-authority: ",
    "client-key-data: ",
    "https://",
    "http://",
    "unix://",
    "[",
    "]",
    "{",
    "}",
    "null",
    "a",
    "-----BEGIN",
    "\n",
    "  ",
    "---\n",
    "'",
    "%%%",
    "\u{0}",
];

#[tokio::test]
async fn any_kubeconfig_makes_a_client_or_a_message_without_secrets() {
    crate::tls::install_provider();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let material = Material::new(EXAMPLES, WORDS);
    let (mut made, mut refused) = (0, 0);
    for seed in seeds(2_000) {
        let input = material.input(&mut Draw::new(seed));
        let text = String::from_utf8_lossy(&input);
        std::fs::write(&path, &*text).unwrap();
        let source = MemberSource::Kubernetes {
            kubeconfig: Some(path.clone()),
            context: None,
        };
        match connect(&source).await {
            Ok(_) => made += 1,
            Err(failure) => {
                refused += 1;
                let said = format!("{failure} {failure:?}");
                // A panic on the thread that reads it comes as a failure too.
                assert!(!said.contains("panic"), "seed {seed}: {said}\n{text}");
                assert!(!said.contains(SECRET), "seed {seed}: {said}\n{text}");
                assert!(said.len() < 20_000, "seed {seed}: {} bytes", said.len());
            }
        }
    }
    assert!(made > 100 && refused > 100, "{made} {refused}");
}
