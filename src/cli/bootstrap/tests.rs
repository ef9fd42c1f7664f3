//! What is written for which arguments; that Envoy takes it is tested with Envoy.

use clap::Parser as _;
use serde_json::json;

use super::super::{Cli, Command};
use super::*;

fn args(line: &str) -> Result<BootstrapArgs, String> {
    let line = format!("parallax bootstrap {line}");
    let cli = Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?;
    match cli.command {
        Command::Bootstrap(args) => Ok(args),
        other => panic!("{other:?}"),
    }
}

fn written(line: &str) -> Value {
    let mut out = Vec::new();
    sidecar(&args(line).unwrap(), OutputFormat::Json, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_node_says_what_is_known_and_no_more() {
    let bootstrap = written("--pod shop/web-1 --member west");
    assert_eq!(
        bootstrap["node"]["id"],
        "sidecar~0.0.0.0~web-1.shop~shop.svc.cluster.local"
    );
    assert_eq!(
        bootstrap["node"]["metadata"],
        json!({ "NAMESPACE": "shop", "CLUSTER_ID": "west" })
    );
    let bootstrap = written(
        "--pod shop/web-1 --member west --ip fd00::1 --network n --service-account web --region r --zone z --subzone s \
         --domain x.y --stats-port 0",
    );
    assert_eq!(bootstrap["node"]["id"], "sidecar~fd00::1~web-1.shop~shop.svc.x.y");
    assert_eq!(bootstrap["node"]["metadata"]["NETWORK"], "n");
    assert_eq!(bootstrap["node"]["metadata"]["SERVICE_ACCOUNT"], "web");
    assert_eq!(
        bootstrap["node"]["locality"],
        json!({ "region": "r", "zone": "z", "sub_zone": "s" })
    );
    assert_eq!(bootstrap["static_resources"]["listeners"], json!([]));
}

#[test]
fn tls_is_used_where_an_authority_is_named_and_checks_the_name() {
    let socket = |line: &str| written(line)["static_resources"]["clusters"][0]["transport_socket"].clone();
    assert_eq!(socket("--pod a/b --member c"), Value::Null);
    let tls = socket("--pod a/b --member c --xds cp.x:15012 --ca /ca.crt");
    assert_eq!(tls["typed_config"]["sni"], "cp.x");
    let common = &tls["typed_config"]["common_tls_context"];
    assert_eq!(
        common["validation_context"]["match_typed_subject_alt_names"][0],
        json!({ "san_type": "DNS", "matcher": { "exact": "cp.x" } })
    );
    let tls = socket("--pod a/b --member c --xds [::1]:1 --ca /ca.crt --xds-name spiffe://d/ns/a/sa/b");
    assert_eq!(tls["typed_config"]["sni"], Value::Null);
}

#[test]
fn what_does_not_go_together_is_refused() {
    for wrong in [
        "--pod web --member west",
        "--pod a/b/c --member west",
        "--pod a/b",
        "--pod a/b --member -x",
        "--pod a/b --member c --xds nowhere",
        "--pod a/b --member c --certificate x",
        "--pod a/b --member c --certificate x --key y",
        "--pod a/b --member c --mounted-at /x",
    ] {
        args(wrong).expect_err(wrong);
    }
    let said = sidecar(
        &args("--pod a/b --member c --token t").unwrap(),
        OutputFormat::Yaml,
        &mut Vec::new(),
    );
    assert!(said.unwrap_err().to_string().contains("--out"));
}

#[test]
fn a_folder_holds_the_bootstrap_and_what_it_refers_to() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("envoy");
    let line = format!(
        "--pod a/b --member c --token /t/token --ca /c/ca.crt --xds cp:1 --mounted-at /etc/envoy --out {}",
        out.display()
    );
    let mut said = Vec::new();
    sidecar(&args(&line).unwrap(), OutputFormat::Yaml, &mut said).unwrap();
    assert!(
        String::from_utf8(said)
            .unwrap()
            .contains("envoy -c /etc/envoy/bootstrap.yaml")
    );
    let bootstrap = std::fs::read_to_string(out.join("bootstrap.yaml")).unwrap();
    let bootstrap: Value = serde_saphyr::from_str(&bootstrap).unwrap();
    assert!(bootstrap.to_string().contains("/etc/envoy/xds-token.json"));
    let token = std::fs::read_to_string(out.join("xds-token.json")).unwrap();
    let token: Value = serde_json::from_str(&token).unwrap();
    assert_eq!(
        token["resources"][0]["generic_secret"]["secret"]["filename"],
        "/t/token"
    );
    assert!(out.join("xds-roots.json").exists() && !out.join("xds-certificate.json").exists());
    // Where the files are here, Envoy finds them from wherever it is started.
    let line = format!("--pod a/b --member c --ca c/ca.crt --xds cp:1 --out {}", out.display());
    sidecar(&args(&line).unwrap(), OutputFormat::Yaml, &mut Vec::new()).unwrap();
    let roots = std::fs::read_to_string(out.join("xds-roots.json")).unwrap();
    let here = std::env::current_dir().unwrap().join("c/ca.crt");
    assert!(roots.contains(&here.display().to_string()), "{roots}");
    let bootstrap = std::fs::read_to_string(out.join("bootstrap.yaml")).unwrap();
    assert!(bootstrap.contains("dns_lookup_family: ALL"), "{bootstrap}");
}
