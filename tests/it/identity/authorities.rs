//! Authorities that can't be used, or not for long: refused at the start with what to do, and spoken of long before.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::super::bad_input::fails;
use super::super::control_plane::ControlPlane;
use super::proxies::{Authority, text};

/// Days from now.
type Days = i64;

/// Writes an authority in the layout of cert-manager whose intermediate is valid between two days.
fn put(folder: &Path, from: Days, until: Days) {
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
    };
    let day = |days: Days| time::OffsetDateTime::now_utc() + time::Duration::days(days);
    let (root_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let root = authority("root");
    let root_pem = root.self_signed(&root_key).expect("a certificate").pem();
    let mut own = authority("intermediate");
    (own.not_before, own.not_after) = (day(from), day(until));
    let own = own
        .signed_by(&key, &Issuer::new(root, root_key))
        .expect("a certificate");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("it is written");
    write("ca.crt", &root_pem);
    write("tls.crt", &own.pem());
    write("tls.key", &key.serialize_pem());
}

fn settings(folder: &Path, ca: &Path) -> String {
    std::fs::create_dir_all(folder.join("members")).expect("a folder");
    let file = folder.join("parallax.yaml");
    let settings = format!(
        "listen: 127.0.0.1:0\nadmin:\n  listen: 127.0.0.1:0\nmembersFolder: members\nidentity:\n  ca: {}\n",
        ca.display()
    );
    std::fs::write(&file, settings).expect("it is written");
    text(&file).to_owned()
}

#[test]
fn one_that_can_not_be_used_is_refused_at_the_start_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca");
    std::fs::create_dir(&ca).expect("a folder");
    let refused = |parts: &[&str]| {
        let said = fails(&["serve", "--config", &settings(folder.path(), &ca)], 1);
        for part in parts {
            assert!(said.contains(part), "{part:?} is missing: {said}");
        }
        assert!(!said.contains("PRIVATE"), "{said}");
    };
    refused(&["identity.ca", "parallax ca"]);
    put(&ca, -100, -1);
    refused(&["tls.crt", "expired at", "issue it anew"]);
    put(&ca, -1, 100);
    let other = KeyPair::generate().expect("a key").serialize_pem();
    std::fs::write(ca.join("tls.key"), other).expect("it is written");
    refused(&["tls.key", "does not belong", "give the pair that was made together"]);
}

#[tokio::test]
async fn one_that_ends_soon_is_spoken_of_and_a_bad_one_never_takes_the_place_of_a_good_one() {
    let authority = Authority::new();
    let ca = authority.issued("other");
    std::fs::create_dir(&ca).expect("a folder");
    // A third of its life is left, or a little less.
    put(&ca, -21, 10);
    let folder = tempfile::tempdir().expect("a folder");
    let settings = format!(
        "membersFolder: {}\nidentity:\n  ca: {}\n",
        folder.path().display(),
        ca.display()
    );
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    control_plane.logs("expires at").await;
    control_plane
        .says_metric("parallax_identity_authority_certificates_ending", |count| count > 0.5)
        .await;
    put(&ca, -1, 100);
    control_plane
        .says_metric("parallax_identity_authority_certificates_ending", |count| count < 0.5)
        .await;
    put(&ca, -100, -1);
    control_plane
        .says_metric("parallax_identity_authority_refused", |refused| refused > 0.5)
        .await;
    control_plane.logs("the last good one stays").await;
}
