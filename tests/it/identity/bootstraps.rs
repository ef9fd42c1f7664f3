//! What `parallax bootstrap` writes, held before every Envoy that we know of.

use std::path::Path;
use std::process::Command;

use super::super::harness::{envoy_binary, envoy_versions};
use super::proxies::{Authority, parallax, text};

/// These and newer ones take a token from a file that changes.
const WITH_TOKENS: usize = 4;

fn is_valid(file: &Path, versions: &[&str]) {
    for version in versions {
        let mut command = Command::new(envoy_binary(version).expect("it is there"));
        command.args(["--mode", "validate", "--config-path"]).arg(file);
        let output = command.output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "Envoy {version}: {said}");
    }
}

#[tokio::test]
async fn every_envoy_takes_what_is_written() {
    let all = envoy_versions();
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| authority.issued("parallax").join(name).display().to_string();
    let (certificate, key, ca) = (file("tls.crt"), file("tls.key"), file("ca.crt"));
    let token = folder.path().join("token");
    std::fs::write(&token, "x.y.z").expect("it is written");

    let plain = folder.path().join("plain.yaml");
    let written = parallax(&["bootstrap", "--pod", "shop/web-1", "--member", "west"]);
    std::fs::write(&plain, written).expect("it is written");
    is_valid(&plain, &all);
    let written = parallax(&[
        "gateway-bootstrap",
        "--pod",
        "mesh/gw-1",
        "--member",
        "west",
        "--xds",
        "unix:/run/x",
    ]);
    assert!(written.contains("router~"));
    std::fs::write(&plain, written).expect("it is written");
    is_valid(&plain, &all);
    let inline = [
        "--certificate",
        &certificate,
        "--key",
        &key,
        "--ca",
        &ca,
        "--xds",
        "cp.mesh:15012",
        "-o",
        "json",
    ];
    let arguments = [&["bootstrap", "--pod", "shop/web-1", "--member", "west"], &inline[..]].concat();
    let json = folder.path().join("inline.json");
    std::fs::write(&json, parallax(&arguments)).expect("it is written");
    is_valid(&json, &all);
    let out = folder.path().join("out");
    let files = [
        "--token",
        text(&token),
        "--certificate",
        &certificate,
        "--key",
        &key,
        "--ca",
        &ca,
    ];
    let more = [
        "--xds",
        "[::1]:15012",
        "--xds-name",
        "spiffe://cluster.local/ns/shop/sa/parallax",
        "--out",
        text(&out),
    ];
    let arguments = [
        &["bootstrap", "--pod", "shop/web-1", "--member", "west", "--zone", "z"],
        &files[..],
        &more[..],
    ]
    .concat();
    parallax(&arguments);
    is_valid(&out.join("bootstrap.yaml"), &all[..WITH_TOKENS]);
}
