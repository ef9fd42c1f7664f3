//! Members that can't be: each says why, in its object's conditions and to `get members`, and hurts nobody but itself.

use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::envoys::{DEADLINE, Envoys, WEB};
use super::harness::{Kubernetes, Member, eventually, free_port, remote_secret};
use super::kubernetes::{create, furnish, run_pod};
use super::member_objects::{Objects, settings};

/// A kubeconfig with these parts in place of those of a member's own.
fn kubeconfig(member: &Member, cluster: Value, user: Value) -> String {
    let own: Value = serde_json::from_str(&member.kubeconfig().expect("it can be read")).expect("it is JSON");
    let mut cluster_of_it = own["clusters"][0]["cluster"].clone();
    for (key, value) in cluster.as_object().expect("a map") {
        cluster_of_it[key] = value.clone();
    }
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster_of_it}], "users": [{"name": "u", "user": user}],
    })
    .to_string()
}

/// A client certificate that has expired, and its key.
fn expired() -> Value {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    json!({
        "client-certificate-data": STANDARD.encode(certificate.pem()),
        "client-key-data": STANDARD.encode(key.serialize_pem()),
    })
}

/// Something that speaks TLS with a certificate that has expired; returns its address and the authority that vouches for it.
async fn expired_server() -> (String, String) {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).expect("a certificate").pem();
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let certificate = params.signed_by(&key, &rcgen::Issuer::new(authority, authority_key));
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.expect("a certificate").der().clone()], private);
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config.expect("a key that fits")));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The client breaks it off.
            let _ = acceptor.accept(stream).await;
        }
    });
    (format!("https://{address}"), STANDARD.encode(authority_pem))
}

#[tokio::test]
async fn each_member_that_can_not_be_says_why_and_hurts_nobody_else() {
    let (_kubernetes, east, other) = Kubernetes::start_two(["east", "other"])
        .await
        .expect("etcd and API servers start");
    let client = furnish(&east, "net1", "192.0.2.1").await;
    run_pod(&client, "web-1", "10.1.0.1", true).await;
    let objects = Objects::install(&client).await;
    let good = east.kubeconfig().expect("it can be read");
    let token = json!({"token": east.token()});
    let other_authority = STANDARD.encode(std::fs::read(other.ca_path()).expect("it can be read"));
    let nobody = format!("https://127.0.0.1:{}", free_port());

    let (expired_server, expired_authority) = expired_server().await;

    // Name, value of the one key of its Secret, condition, how it begins, what it says.
    let bad = [
        (
            "no-yaml",
            "kind: [Config, s3cret".to_owned(),
            "CredentialsValid",
            "False/InvalidKubeconfig",
            "it is not valid at line",
        ),
        (
            "words",
            "just s3cret words".to_owned(),
            "CredentialsValid",
            "False/InvalidKubeconfig",
            "there is no usable kubeconfig",
        ),
        (
            "empty",
            String::new(),
            "CredentialsValid",
            "False/InvalidKubeconfig",
            "it names no cluster",
        ),
        (
            "unreachable",
            kubeconfig(&east, json!({"server": nobody}), token.clone()),
            "Connected",
            "False/ServerUnreachable",
            "can't be reached",
        ),
        (
            "wrong-ca",
            kubeconfig(
                &east,
                json!({"certificate-authority-data": other_authority}),
                token.clone(),
            ),
            "CredentialsValid",
            "False/ServerNotTrusted",
            "correct certificate-authority",
        ),
        (
            "server-expired",
            kubeconfig(
                &east,
                json!({"server": expired_server, "certificate-authority-data": expired_authority}),
                token.clone(),
            ),
            "CredentialsValid",
            "False/ServerNotTrusted",
            "renew it at the API server",
        ),
        (
            "wrong-token",
            kubeconfig(&east, json!({}), json!({"token": "s3cret"})),
            "CredentialsValid",
            "False/Unauthorized",
            "renew the token or certificate",
        ),
        (
            "expired",
            kubeconfig(&east, json!({}), expired()),
            "CredentialsValid",
            "False/Expired",
            "the client-certificate expired at 2021-01-01",
        ),
        (
            "program",
            kubeconfig(
                &east,
                json!({}),
                json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/s3cret"}}),
            ),
            "CredentialsValid",
            "False/InvalidKubeconfig",
            "may not use exec; put a token",
        ),
        (
            "file",
            kubeconfig(&east, json!({}), json!({"tokenFile": "/etc/s3cret"})),
            "CredentialsValid",
            "False/InvalidKubeconfig",
            "may not use tokenFile",
        ),
    ];
    // And one of a program and a token file that the settings allow.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("credentials");
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, east.token()).expect("it can be written");
    let credential = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": east.token()},
    });
    std::fs::write(&program, format!("#!/bin/sh\necho '{credential}'\n")).expect("it can be written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
    let exec = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": program, "interactiveMode": "Never",
    }});
    let allowed = [("may-run", exec), ("may-read", json!({"tokenFile": token_file}))];
    for (name, user) in &allowed {
        objects
            .secret(name, "kubeconfig", &kubeconfig(&east, json!({}), user.clone()))
            .await;
        objects
            .make(name, json!({"secretRef": {"name": name}}))
            .await
            .expect("it is taken");
    }
    for (name, kubeconfig, ..) in &bad {
        objects.secret(name, "kubeconfig", kubeconfig).await;
        let made = objects.make(name, json!({"secretRef": {"name": name}})).await;
        made.expect("the API server takes it");
    }
    // Those that can't be accepted: no Secret, no such key, the name of a member of the settings, and of a Secret.
    objects
        .make("later", json!({"secretRef": {"name": "later"}}))
        .await
        .expect("it is taken");
    let two = json!({"metadata": {"name": "two"}, "stringData": {"a": "s3cret", "b": "s3cret"}});
    create(&objects.secrets, two).await;
    objects
        .make("no-key", json!({"secretRef": {"name": "two"}}))
        .await
        .expect("it is taken");
    objects
        .make("east", json!({"secretRef": {"name": "empty"}}))
        .await
        .expect("it is taken");
    for (name, key) in [("first", "twice"), ("second", "twice"), ("third", "-no-label")] {
        let config = kubeconfig(&east, json!({"server": nobody}), token.clone());
        create(&objects.secrets, remote_secret(name, key, &config)).await;
    }
    let nothing = json!({"metadata": {"name": "nothing", "labels": {"istio/multiCluster": "true"}}});
    create(&objects.secrets, nothing).await;
    // Ages are whole seconds, so the object has to be made in a later one.
    let first = objects.secrets.get("first").await.expect("it is there");
    eventually("a younger object", DEADLINE, async || {
        let spec = json!({"secretRef": {"name": "empty", "key": "kubeconfig"}});
        objects.make("twice", spec).await?;
        let object = objects.api.get("twice").await.map_err(|error| error.to_string())?;
        if object.metadata.creation_timestamp > first.metadata.creation_timestamp {
            return Ok(());
        }
        let deleted = objects.api.delete("twice", &DeleteParams::default()).await;
        Err(format!("too early: {:?}", deleted.err()))
    })
    .await
    .expect("time goes on");

    let path = east.kubeconfig_path();
    let settings = format!(
        "{}  allow: ['exec:{}', 'folder:{}']\nreadiness:\n  memberSyncDeadline: 1s\nmembers:\n  - name: east\n    kubeconfig: {}\n",
        settings(&east),
        program.display(),
        folder.path().display(),
        path.display()
    );
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    // Nobody else is hurt.
    let mut envoys = Envoys::start(&control_plane, "east", "10.1.0.50").await;
    envoys.wait("web", |held| held.contains_key(WEB)).await;

    for (name, _, condition, begins, says) in &bad {
        let said = objects.say(name, condition, begins).await;
        assert!(said.contains(says), "{name}: {said}");
        objects.say(name, "Synced", "False").await;
    }
    for (name, _) in &allowed {
        objects.say(name, "Synced", "True").await;
    }
    for (name, begins, says) in [
        ("later", "False/SecretNotFound", "make it, or name another"),
        ("no-key", "False/SecretKeyNotFound", "say in spec.secretRef.key"),
        (
            "east",
            "False/NameConflict",
            "member east is already one of the settings",
        ),
        (
            "twice",
            "False/NameConflict",
            "already in the older Secret istio-system/first",
        ),
    ] {
        let said = objects.say(name, "Accepted", begins).await;
        assert!(said.contains(says), "{name}: {said}");
        objects.say(name, "Connected", "Unknown/NotRead").await;
    }
    let said = control_plane.say(&["get", "members"]);
    for problem in [
        "Secret istio-system/second: member twice is already in the older Secret istio-system/first, which counts",
        "Secret istio-system/third: member name \"-no-label\" is not valid",
        "Secret istio-system/nothing: it has no data",
        "Member istio-system/later: the Secret istio-system/later that it names does not exist",
    ] {
        assert!(said.contains(problem), "{problem:?} is not said: {said}");
    }

    // What comes later is picked up, and what is corrected works.
    objects
        .secret(
            "later",
            "later",
            &kubeconfig(&other, json!({}), json!({"token": other.token()})),
        )
        .await;
    objects.say("later", "Synced", "True").await;
    let secrets: Api<Secret> = objects.secrets.clone();
    let corrected = Patch::Merge(json!({"stringData": {"kubeconfig": good}}));
    let patched = secrets.patch("wrong-token", &PatchParams::default(), &corrected).await;
    patched.expect("it is taken");
    objects.say("wrong-token", "CredentialsValid", "True/Valid").await;
    objects.say("wrong-token", "Synced", "True").await;

    let log = std::fs::read_to_string(control_plane.process.log()).expect("there is a log");
    for word in ["s3cret", east.token(), "PRIVATE"] {
        assert!(!log.contains(word), "{word} is in the log");
    }
}
