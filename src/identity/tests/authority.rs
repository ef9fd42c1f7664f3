//! Folders that hold an authority, or something that is none.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::*;

fn params(name: &str, is_ca: IsCa) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = is_ca;
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// Writes an authority in cert-manager's layout, whose root and intermediate these are.
fn put(folder: &Path, root: CertificateParams, own: &CertificateParams) {
    let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let own = own.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
    fs::write(folder.join("ca.crt"), root_pem).unwrap();
    fs::write(folder.join("tls.crt"), own.pem()).unwrap();
    fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
}

const ANY: IsCa = IsCa::Ca(BasicConstraints::Unconstrained);

fn said(folder: &Path) -> String {
    open(folder).expect_err("it is refused").to_string()
}

#[test]
fn cert_managers_layout_is_read_and_a_root_may_sign_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), params("root", ANY), &params("own", ANY));
    let authority = open(folder.path()).unwrap();
    let issued = authority.issue(&web(), HOUR, now()).unwrap();
    assert!(trusts(&authority.bundle(), &issued.chain));
    assert_eq!(issued.chain.matches("BEGIN CERTIFICATE").count(), 2);

    let key = KeyPair::generate().unwrap();
    let root = params("root", ANY).self_signed(&key).unwrap().pem();
    fs::write(folder.path().join("ca.crt"), &root).unwrap();
    fs::write(folder.path().join("tls.crt"), &root).unwrap();
    fs::write(folder.path().join("tls.key"), key.serialize_pem()).unwrap();
    let authority = open(folder.path()).unwrap();
    let issued = authority.issue(&web(), HOUR, now()).unwrap();
    assert!(trusts(&authority.bundle(), &issued.chain));
    assert_eq!(
        issued.chain.matches("BEGIN CERTIFICATE").count(),
        1,
        "a root is not sent"
    );
}

#[test]
fn everything_that_is_wrong_is_named_with_its_file_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(said(folder.path()).contains("parallax ca"));

    put(folder.path(), params("root", ANY), &params("own", ANY));
    fs::remove_file(at("ca.crt")).unwrap();
    assert!(said(folder.path()).contains("ca.crt"));

    put(folder.path(), params("root", ANY), &params("own", ANY));
    fs::write(at("tls.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let mismatch = said(folder.path());
    assert!(
        mismatch.contains("does not belong") && mismatch.contains("tls.key"),
        "{mismatch}"
    );
    fs::write(
        at("tls.key"),
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    let bad = said(folder.path());
    assert!(
        bad.contains("no key that can sign") && !bad.contains("c2VjcmV0"),
        "{bad}"
    );

    put(folder.path(), params("root", ANY), &params("own", IsCa::ExplicitNoCa));
    assert!(said(folder.path()).contains("is no authority"));

    put(
        folder.path(),
        params("root", IsCa::Ca(BasicConstraints::Constrained(0))),
        &params("own", ANY),
    );
    let length = said(folder.path());
    assert!(
        length.contains("allows 0 intermediates below it, and there are 1"),
        "{length}"
    );

    let mut old = params("own", ANY);
    old.not_after = rcgen::date_time_ymd(2030, 5, 1);
    put(folder.path(), params("root", ANY), &old);
    let expired = said(folder.path());
    assert!(expired.contains("expired at 2030-05-01T00:00:00Z"), "{expired}");

    let mut new = params("own", ANY);
    new.not_before = rcgen::date_time_ymd(2031, 5, 1);
    put(folder.path(), params("root", ANY), &new);
    assert!(said(folder.path()).contains("not yet"));

    put(folder.path(), params("root", ANY), &params("own", ANY));
    // The same name, and another key.
    let stranger = params("root", ANY).self_signed(&KeyPair::generate().unwrap()).unwrap();
    fs::write(at("ca.crt"), stranger.pem()).unwrap();
    assert!(said(folder.path()).contains("was signed by no root in"));
    fs::write(at("ca.crt"), "nothing").unwrap();
    assert!(said(folder.path()).contains("no certificate"));
}

#[test]
fn a_certificate_never_outlives_its_authority_and_one_that_ends_soon_is_spoken_of() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = Workshop::new(folder.path());
    workshop.init(&domain(), 3650 * DAY, now()).unwrap();
    workshop
        .issue_intermediate(&member("a"), Renewal::NotAsked, 2 * DAY, now())
        .unwrap();
    let authority = open(&workshop.member_folder(&member("a"))).unwrap();
    let issued = authority.issue(&web(), 100 * DAY, now()).unwrap();
    assert_eq!(issued.not_after, after(2 * DAY));
    // From a third of its life on, or thirty days.
    assert_eq!(authority.warnings(after(DAY)), Vec::<String>::new());
    let [warning] = authority.warnings(after(36 * HOUR)).try_into().expect("one warning");
    assert!(warning.contains("issue-intermediate --renew"), "{warning}");
    let warnings = authority.warnings(after(3621 * DAY));
    let warning = warnings.last().expect("one of the root");
    assert!(warning.contains("rotate-root"), "{warning}");
    assert_eq!(warnings.len(), 2);
    let late = authority.issue(&web(), DAY, after(3 * DAY)).unwrap_err();
    assert!(late.to_string().contains("expired"), "{late}");
}

#[test]
fn a_root_that_ends_before_its_intermediate_ends_both() {
    let folder = tempfile::tempdir().unwrap();
    let mut root = params("root", ANY);
    root.not_after = rcgen::date_time_ymd(2030, 6, 2);
    put(folder.path(), root, &params("own", ANY));
    let authority = open(folder.path()).unwrap();
    let issued = authority.issue(&web(), DAY, now()).unwrap();
    assert_eq!(issued.not_after, after(12 * HOUR));
    let late = authority.issue(&web(), DAY, after(12 * HOUR)).unwrap_err().to_string();
    assert!(late.contains("ca.crt") && late.contains("expired"), "{late}");
}

#[test]
fn an_rsa_authority_as_istios_tools_make_it_signs_too() {
    let folder = tempfile::tempdir().unwrap();
    let (root_key, key) = (
        KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap(),
        KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap(),
    );
    let root = params("root", ANY);
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let own = params("own", ANY)
        .signed_by(&key, &Issuer::new(root, root_key))
        .unwrap()
        .pem();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("root-cert.pem"), &root_pem).unwrap();
    fs::write(at("ca-cert.pem"), &own).unwrap();
    fs::write(at("cert-chain.pem"), format!("{own}{root_pem}")).unwrap();
    fs::write(at("ca-key.pem"), key.serialize_pem()).unwrap();
    let authority = open(folder.path()).unwrap();
    let issued = authority.issue(&web(), HOUR, now()).unwrap();
    assert!(trusts(&authority.bundle(), &issued.chain));
}
