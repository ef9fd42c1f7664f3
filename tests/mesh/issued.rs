//! What a person types so that certificates come from the control plane: authorities, a proxy's own certificate, bootstraps.

use std::path::Path;
use std::process::Command;

use super::certificates::Credentials;
use super::pod::{FOLDER, Workload};
use super::space::shell;
use super::world::{CONTROL, World};

/// The name of the control plane in its certificate.
const CONTROL_ID: &str = "spiffe://cluster.local/ns/istio-system/sa/parallax";

/// The account of a pod is called as the pod is, up to the number.
pub(crate) fn account(pod: &str) -> &str {
    pod.split('-').next().unwrap_or(pod)
}

pub(crate) fn namespace(pod: &str) -> &'static str {
    if account(pod) == "gw" { "istio-system" } else { "shop" }
}

impl World {
    /// What a person types for a member, in the folder of the world.
    fn parallax(&self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parallax"));
        let output = command.args(arguments).current_dir(self.path("")).output();
        let output = output.expect("it starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "parallax {arguments:?}: {errors}");
    }

    /// A root, an intermediate for each member, a certificate of the control plane.
    pub(crate) fn make_authorities(&self) {
        self.parallax(&["ca", "init", "--dir", "ca"]);
        for member in ["east", "east2", "west"] {
            self.parallax(&["ca", "issue-intermediate", "--dir", "ca", "--member", member]);
        }
        self.issue("ca/east", "istio-system", "parallax", "server");
    }

    fn issue(&self, from: &str, namespace: &str, account: &str, out: &str) {
        let identity = ["--namespace", namespace, "--service-account", account];
        let arguments = [
            &["ca", "issue", "--from", from, "--hours", "1", "--out", out],
            &identity[..],
        ]
        .concat();
        self.parallax(&arguments);
    }

    /// The credentials of somebody in namespace `other` whose identity begins with another trust domain.
    pub(crate) fn issue_of(&self, trust_domain: &str) -> Credentials {
        let identity = ["--namespace", "other", "--service-account", "visitor"];
        let of = ["--trust-domain", trust_domain, "--out", trust_domain];
        let issue = ["ca", "issue", "--from", "ca/west", "--hours", "1"];
        self.parallax(&[&issue[..], &identity, &of].concat());
        let read = |name: &str| std::fs::read_to_string(self.path(trust_domain).join(name)).expect("it was made");
        Credentials {
            chain: read("tls.crt"),
            key: read("tls.key"),
            roots: read("ca.crt"),
        }
    }

    /// A certificate for a proxy to show, and its bootstrap.
    pub(crate) fn type_bootstrap(&self, folder: &Path, workload: &Workload) {
        let (account, namespace) = (account(workload.name), namespace(workload.name));
        let own = format!("{}/own", workload.name);
        self.issue(&format!("ca/{}", workload.member), namespace, account, &own);
        let kind = if account == "gw" {
            "gateway-bootstrap"
        } else {
            "bootstrap"
        };
        // As Envoy sees them.
        let file = |name: &str| format!("{FOLDER}/own/{name}");
        self.parallax(&[
            kind,
            "--pod",
            &format!("{namespace}/{}", workload.name),
            "--member",
            workload.member,
            "--service-account",
            account,
            "--ip",
            workload.address,
            "--xds",
            &format!("{CONTROL}:15010"),
            "--xds-name",
            CONTROL_ID,
            "--ca",
            &file("ca.crt"),
            "--certificate",
            &file("tls.crt"),
            "--key",
            &file("tls.key"),
            "--out",
            workload.name,
            "--mounted-at",
            FOLDER,
            "-o",
            "json",
        ]);
        // Of another user than the one who types, as init containers are.
        shell(&format!("chmod -R a+rX {}", folder.display()));
    }
}
