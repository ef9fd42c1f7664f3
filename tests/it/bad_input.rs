//! What goes wrong in the world: a clear message that names the object and the remedy, and nothing else is lost.

use std::process::Command;

use super::control_plane::{ControlPlane, PARALLAX};
use super::envoys::DEADLINE;
use super::harness::{eventually, free_port};
use super::manifests::{Members, Pod};

/// A command that must fail with this exit code; what it says.
pub(crate) fn fails(arguments: &[&str], code: i32) -> String {
    let output = Command::new(PARALLAX)
        .args(arguments)
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

#[test]
fn all_mistakes_of_a_settings_file_at_once_with_their_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("parallax.yaml");
    std::fs::write(
        &file,
        "listen: nowhere\nadmim:\n  listen: 127.0.0.1:1\nmesh:\n  defaultNetwork: ''\n",
    )
    .expect("written");
    let path = file.display().to_string();
    for command in [vec!["check-config", &path], vec!["serve", "--config", &path]] {
        let said = fails(&command, 64);
        for part in ["parallax.yaml:1:", "parallax.yaml:2:", "admin", "parallax.yaml:5:"] {
            assert!(said.contains(part), "{part:?} is missing: {said}");
        }
    }
    std::fs::write(&file, "listen: 127.0.0.1:15010\n").expect("written");
    let output = Command::new(PARALLAX)
        .args(["check-config", &path])
        .output()
        .expect("the binary starts");
    assert!(output.status.success());
    assert!(fails(&["serve", "--config", "/nowhere/parallax.yaml"], 64).contains("/nowhere/parallax.yaml"));
}

#[test]
fn a_port_in_use_is_named_at_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let members = folder.path().display().to_string();
    let admin = format!("127.0.0.1:{}", free_port());
    let said = fails(
        &["serve", "--members", &members, "--listen", &address, "--admin", &admin],
        1,
    );
    assert!(said.contains(&address), "{said}");
    assert_eq!(said.matches("in use").count(), 1, "{said}");
}

#[test]
fn a_server_that_is_not_there_is_named_with_the_remedy() {
    let server = format!("127.0.0.1:{}", free_port());
    let said = fails(&["get", "members", "--server", &server], 69);
    assert!(said.contains(&server) && said.contains("--server"), "{said}");
}

#[tokio::test]
async fn a_bad_manifest_hurts_only_itself_and_is_shown() {
    let members = Members::new();
    members.place("east", "net1");
    members.web("east", &[Pod::new("a", "10.1.0.1")]);
    let control_plane = ControlPlane::on_members(members.path()).await;
    let addresses = || -> Vec<String> {
        let said = control_plane.json(&["get", "endpoints", "web.shop"]);
        let endpoints = said["endpoints"].as_array().cloned().unwrap_or_default();
        endpoints
            .iter()
            .flat_map(|endpoint| endpoint["addresses"].as_array().cloned().unwrap_or_default())
            .filter_map(|address| address.as_str().map(ToOwned::to_owned))
            .collect()
    };
    assert_eq!(addresses(), ["10.1.0.1"]);
    let object =
        |kind: &str, head: &str, body: &str| format!("apiVersion: v1\nkind: {kind}\nmetadata:\n{head}\n{body}\n");
    let slice = |body: &str| {
        format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: extra\n  namespace: shop\n{body}\n"
        )
    };
    let bad = [
        ("unparsable.yaml", "kind: [Service\n".to_owned(), "unparsable.yaml"),
        (
            "nameless.yaml",
            object("Service", "  namespace: shop", "spec: {}"),
            "name",
        ),
        (
            "port.yaml",
            object("Service", "  name: port", "spec: {ports: [{port: 70000}]}"),
            "70000",
        ),
        (
            "orphan.yaml",
            slice("addressType: IPv4\nendpoints: []"),
            "kubernetes.io/service-name",
        ),
        (
            "address.yaml",
            slice(
                "  labels: {kubernetes.io/service-name: web}\naddressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints: [{addresses: [10.1.0.999]}, {addresses: [10.1.0.7]}]",
            ),
            "10.1.0.999",
        ),
        (
            "network.yaml",
            object(
                "Namespace",
                "  name: other\n  labels: {topology.istio.io/network: 'not a label'}",
                "",
            ),
            "not a label",
        ),
        (
            "empty.yaml",
            object(
                "Service",
                "  name: gw\n  labels: {topology.istio.io/network: ''}",
                "spec: {}",
            ),
            "empty",
        ),
    ];
    for (file, text, said) in bad {
        members.write("east", file, &text);
        control_plane.says(&["get", "members"], said).await;
        assert!(addresses().contains(&"10.1.0.1".to_owned()), "after {file}");
        if file == "address.yaml" {
            assert!(addresses().contains(&"10.1.0.7".to_owned()), "its good neighbour stays");
        }
        members.remove("east", file);
    }

    let gone = async || match addresses() {
        left if left == ["10.1.0.1"] => Ok(()),
        left => Err(format!("{left:?}")),
    };
    eventually("the bad files' traces to be gone", DEADLINE, gone)
        .await
        .expect("they go");

    // A file that is half written keeps what it said before.
    members.write("east", "web.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: w");
    members.write(
        "east",
        "later.yaml",
        &object(
            "Service",
            "  name: later\n  namespace: shop",
            "spec: {ports: [{port: 1}]}",
        ),
    );
    control_plane.says(&["get", "services"], "later.shop").await;
    assert_eq!(addresses(), ["10.1.0.1"]);

    // A folder that vanishes loses nothing.
    std::fs::remove_dir_all(members.member("east")).expect("it was there");
    control_plane.says(&["get", "members"], "Stale").await;
    assert_eq!(addresses(), ["10.1.0.1"]);
}

#[tokio::test]
async fn two_networks_that_claim_one_gateway_address_are_shown() {
    let members = Members::new();
    for (member, network) in [("east", "net1"), ("west", "net2")] {
        members.place(member, network);
        members.gateway(member, network, "192.0.2.1");
    }
    let control_plane = ControlPlane::on_members(members.path()).await;
    control_plane
        .says(
            &["get", "networks"],
            "192.0.2.1:15443 is already a gateway of network net1",
        )
        .await;
}
