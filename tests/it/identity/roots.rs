//! A change of the mesh's root in three steps, under load: proxies attach with certificates, and each request shakes hands anew.

use super::super::control_plane::ControlPlane;
use super::super::harness::envoy_versions;
use super::super::manifests::Members;
use super::proxies::{Authority, Load, Pair, bootstrap, parallax, text};

#[tokio::test]
async fn a_root_changes_in_three_steps_and_no_handshake_is_refused() {
    let authority = Authority::new();
    authority.issue("web", &[]);
    authority.issue("client", &[]);
    let members = Members::new();
    members.place("west", "net1");
    let settings = format!(
        "membersFolder: {}\n{}",
        members.path().display(),
        authority.settings("1h", "certificate")
    );
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    let xds = control_plane.xds.to_string();
    let of = |account: &str| {
        let (folder, issued) = (control_plane.folder(account), authority.issued(account));
        let file = |name: &str| issued.join(name).display().to_string();
        let (certificate, key, ca, pod) = (
            file("tls.crt"),
            file("tls.key"),
            file("ca.crt"),
            format!("shop/{account}-1"),
        );
        let arguments = [
            "--pod",
            &pod,
            "--xds",
            &xds,
            "--certificate",
            &certificate,
            "--key",
            &key,
            "--ca",
            &ca,
        ];
        let bootstrap = bootstrap(&folder, &arguments);
        (folder, bootstrap)
    };
    let (web, client) = (of("web"), of("client"));
    let mut pair = Pair::start((&web.0, web.1), (&client.0, client.1), envoy_versions()[0], 1).await;
    let (id, _) = pair.waits_for_answer().await;
    assert_eq!(id, "spiffe://cluster.local/ns/shop/sa/client");

    let first = pair.wait(1, &[]).await;
    // They come back to another process, with certificates that are good.
    let mut control_plane = control_plane.again();
    control_plane.ready().await;
    let issued = "parallax_identity_certificates_issued_total";
    control_plane.says_metric(issued, |issued| issued >= 2.0).await;

    let load = Load::on(pair.address);
    let root = authority.root();
    let rotate = || parallax(&["ca", "rotate-root", "--dir", text(&root)]);
    assert!(rotate().contains("step 1 of 3"));
    // Their own certificates stay good, and others are not sent before their time: not to who came back either, which was before the
    // roots were.
    assert_eq!(pair.wait(2, &[]).await, first);
    assert!(rotate().contains("step 2 of 3"));
    let second = pair.wait(2, &first).await;
    assert!(rotate().contains("step 3 of 3"));
    assert_eq!(pair.wait(1, &first).await, second);
    pair.waits_for_answer().await;
    load.none_failed().await;
    pair.are_content().await;
    let roots = control_plane.metric("parallax_identity_roots").await;
    assert!((roots - 1.0).abs() < 0.1, "{roots}");
}
