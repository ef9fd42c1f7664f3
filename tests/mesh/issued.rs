//! What a person types so that certificates come from the control plane: authorities, a proxy's own certificate, bootstraps.

use super::certificates::Credentials;
use super::cluster::PodSpec;
use super::pod::FOLDER;
use super::world::{CONTROL, World};

/// The name of the control plane in its certificate.
const CONTROL_ID: &str = "spiffe://cluster.local/ns/istio-system/sa/parallax";

impl World {
    /// A root, an intermediate for each member, a certificate of the control plane.
    pub(crate) fn make_authorities(&self) {
        self.parallax(&["ca", "init", "--dir", "ca"]);
        for member in ["east", "east2", "west"] {
            self.parallax(&["ca", "issue-intermediate", "--dir", "ca", "--member", member]);
        }
        let more = ["--hours", "1", "--out", "server"];
        self.issue("ca/east", ("istio-system", "parallax"), &more);
    }

    /// The credentials of somebody in namespace `other` whose identity begins with another trust domain.
    pub(crate) fn issue_of(&self, trust_domain: &str) -> Credentials {
        let more = ["--hours", "1", "--trust-domain", trust_domain, "--out", trust_domain];
        self.issue("ca/west", ("other", "visitor"), &more);
        let read = |name: &str| std::fs::read_to_string(self.path(trust_domain).join(name)).expect("it was made");
        Credentials {
            chain: read("tls.crt"),
            key: read("tls.key"),
            roots: read("ca.crt"),
        }
    }

    /// A certificate for a proxy to show, and its bootstrap.
    pub(crate) fn bootstrap(&self, spec: &PodSpec) {
        let own = format!("{}/own", spec.name);
        let account = (spec.namespace(), spec.account());
        self.issue(
            &format!("ca/{}", spec.member),
            account,
            &["--hours", "1", "--out", &own],
        );
        // As Envoy sees them.
        let file = |name: &str| format!("{FOLDER}/own/{name}");
        let (certificate, key) = (file("tls.crt"), file("tls.key"));
        let proof = ["--certificate", &certificate, "--key", &key];
        let xds = format!("{CONTROL}:15010");
        let more = [&["--xds-name", CONTROL_ID][..], &proof].concat();
        self.type_bootstrap(spec, &xds, &file("ca.crt"), &more);
    }
}
