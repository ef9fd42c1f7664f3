//! `parallax lint`: the same of files as of a running server, and an exit code that a pipeline can go by.

use std::process::Command;

use serde_json::Value;

use super::bad_input::fails;
use super::control_plane::{ControlPlane, PARALLAX};
use super::manifests::{Members, Pod};

/// `severity member object field` of each finding; of the object without the file that it is from.
fn findings(answer: &str) -> Vec<String> {
    let answer: Value = serde_json::from_str(answer).expect("it is JSON");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let all = answer["findings"].as_array().cloned().unwrap_or_default();
    let all = all.iter().map(|finding| {
        for key in ["problem", "remedy"] {
            assert_ne!(text(finding, key), "", "{finding}");
        }
        let object = text(finding, "object");
        let object = object.split(" (").next().unwrap_or_default();
        let [severity, member, field] = ["severity", "member", "field"].map(|key| text(finding, key));
        format!("{severity} {member} {object} [{field}]")
    });
    all.collect()
}

#[tokio::test]
async fn files_and_a_running_server_tell_the_same() {
    let members = Members::new();
    for (member, network, address) in [("east", "net1", "10.1.0.1"), ("west", "net2", "10.2.0.1")] {
        members.place(member, network);
        members.gateway(member, network, &address.replacen("10.", "203.", 1));
        members.web(member, &[Pod::new("a", address)]);
    }
    let folder = members.path().display().to_string();
    let of_files = |arguments: &[&str]| {
        let output = Command::new(PARALLAX).arg("lint").args(arguments).output();
        let output = output.expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    };
    assert_eq!(of_files(&["-f", &folder]), (Some(0), "Nothing is wrong.\n".to_owned()));

    members.web("west", &[Pod::new("a", "10.2.0.1").plaintext()]);
    let (code, said) = of_files(&["-f", &folder]);
    assert_eq!(code, Some(0), "warnings alone are none: {said}");
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: bad, namespace: shop}\n";
    let ports = "spec: {ports: [{port: 70000}, {port: 80, name: tcp}]}\n";
    members.write("west", "bad.yaml", &format!("{service}{ports}"));
    members.write(
        "east",
        "bad.yaml",
        &format!("{service}spec: {{ports: [{{port: 80, name: http}}]}}\n"),
    );
    let expected = [
        "error west Service shop/bad [spec.ports[0].port]",
        "error west Service shop/bad [spec.ports[port 80]]",
        "warning east Service shop/bad [spec.selector]",
        "warning west Service shop/web [label security.istio.io/tlsMode]",
    ];
    let sorted = |mut found: Vec<String>| {
        found.sort();
        found
    };
    let (code, said) = of_files(&["-f", &folder, "-o", "json"]);
    assert_eq!(
        (code, sorted(findings(&said))),
        (Some(1), expected.map(str::to_owned).to_vec())
    );
    let settings = members.path().join("parallax.yaml");
    std::fs::write(&settings, "membersFolder: .\n").expect("it is written");
    let (code, of_settings) = of_files(&["--config", &settings.display().to_string(), "-o", "json"]);
    assert_eq!(
        (code, sorted(findings(&of_settings))),
        (Some(1), sorted(findings(&said)))
    );

    let control_plane = ControlPlane::on_members(members.path()).await;
    let output = control_plane.run(&["lint", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let of_server = String::from_utf8_lossy(&output.stdout);
    assert_eq!(sorted(findings(&of_server)), expected);
    let table = control_plane.run(&["lint", "--color", "never"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(
        table.starts_with("SEVERITY") && table.contains("is 70000") && !table.contains('\u{1b}'),
        "{table}"
    );

    // One object alone says nothing of the others, and its file is named.
    let file = members.member("west").join("bad.yaml").display().to_string();
    let (code, said) = of_files(&["-f", &file]);
    assert_eq!(code, Some(1));
    assert!(said.contains("bad.yaml:1"), "{said}");
    assert!(fails(&["lint", "-f", "/nowhere"], 66).contains("/nowhere"));
    assert!(fails(&["lint", "--nothing"], 2).contains("--nothing"));
}
