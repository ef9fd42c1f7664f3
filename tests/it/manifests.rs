//! Folders of manifests, as a person would write them.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::harness::{gateway, system_namespace};

/// One pod behind the Service `web` in namespace `shop`.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) ready: bool,
    /// Whether it is labelled as speaking mutual TLS.
    pub(crate) mtls: bool,
}

impl Pod {
    pub(crate) fn new(name: &str, address: &str) -> Self {
        Self {
            name: name.to_owned(),
            address: address.to_owned(),
            ready: true,
            mtls: true,
        }
    }

    pub(crate) fn unready(mut self) -> Self {
        self.ready = false;
        self
    }

    pub(crate) fn plaintext(mut self) -> Self {
        self.mtls = false;
        self
    }
}

/// A folder with one sub folder for each member, gone with the value.
#[derive(Debug)]
pub(crate) struct Members {
    root: tempfile::TempDir,
}

impl Members {
    pub(crate) fn new() -> Self {
        Self {
            root: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn member(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Puts a file in place as an editor does: written beside it, then renamed.
    pub(crate) fn write(&self, member: &str, file: &str, text: &str) {
        let folder = self.member(member);
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        let written = self.path().join(".written");
        std::fs::write(&written, text).expect("the file can be written");
        std::fs::rename(written, folder.join(file)).expect("the file can be moved");
    }

    pub(crate) fn remove(&self, member: &str, file: &str) {
        std::fs::remove_file(self.member(member).join(file)).expect("the file was there");
    }

    /// What places a member: the label of its system namespace, and a Node in zone `z1`.
    pub(crate) fn place(&self, member: &str, network: &str) {
        self.place_in(member, network, member);
    }

    /// The same in a region that is not called as the member.
    pub(crate) fn place_in(&self, member: &str, network: &str, region: &str) {
        self.write(member, "cluster.yaml", &cluster(region, network));
    }

    /// The Service `web` with these pods.
    pub(crate) fn web(&self, member: &str, pods: &[Pod]) {
        self.write(member, "web.yaml", &web(member, pods));
    }

    pub(crate) fn gateway(&self, member: &str, network: &str, address: &str) {
        self.write(member, "gateway.yaml", &gateway(network, address));
    }
}

fn cluster(region: &str, network: &str) -> String {
    system_namespace(network)
        + &format!(
            "---
apiVersion: v1
kind: Node
metadata:
  name: node-1
  labels:
    topology.kubernetes.io/region: {region}
    topology.kubernetes.io/zone: z1
"
        )
}

fn web(member: &str, pods: &[Pod]) -> String {
    let mut text = "apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
spec:
  ports:
    - name: http
      port: 80
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-abcde
  namespace: shop
  labels:
    kubernetes.io/service-name: web
addressType: IPv4
ports:
  - name: http
    port: 8080
endpoints:
"
    .to_owned();
    if pods.is_empty() {
        text = text.replace("endpoints:\n", "endpoints: []\n");
    }
    for Pod {
        name,
        address,
        ready,
        mtls,
    } in pods
    {
        let entry = format!(
            "  - addresses: [{address}]
    conditions:
      ready: {ready}
    nodeName: node-1
    targetRef:
      kind: Pod
      namespace: shop
      name: {member}-{name}
"
        );
        // The pods come as documents of their own at the end, the endpoints into the slice's list.
        let at = text.find("---\napiVersion: v1\nkind: Pod").unwrap_or(text.len());
        text.insert_str(at, &entry);
        let tls = if *mtls { "istio" } else { "disabled" };
        write!(
            text,
            "---
apiVersion: v1
kind: Pod
metadata:
  name: {member}-{name}
  namespace: shop
  labels:
    security.istio.io/tlsMode: {tls}
spec:
  nodeName: node-1
status:
  phase: Running
  podIPs:
    - ip: {address}
"
        )
        .expect("a String takes everything");
    }
    text
}
