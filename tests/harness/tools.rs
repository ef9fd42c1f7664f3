//! Where the programs are that tests and demo start: `.tools/` of this checkout, filled by `make tools`.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// The root of this checkout.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Envoy versions that `make tools` fetches, newest first; `make envoy` fetches the first one only.
pub fn envoy_versions() -> Vec<&'static str> {
    include_str!("../tools/envoy-versions")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect()
}

/// The Envoy binary of one of [`envoy_versions`].
///
/// # Errors
/// If it was not fetched; the message says how to.
pub fn envoy_binary(version: &str) -> anyhow::Result<PathBuf> {
    let path = root().join(".tools/envoy").join(version).join("envoy");
    ensure!(
        path.is_file(),
        "Envoy {version} is not there ({}): run `make tools`",
        path.display()
    );
    Ok(path)
}

/// One of the gRPC programs of `tests/tools/grpc`.
///
/// # Errors
/// If it was not built; the message says how to.
pub fn grpc_binary(name: &str) -> anyhow::Result<PathBuf> {
    let path = root().join(".tools/grpc").join(name);
    ensure!(
        path.is_file(),
        "the gRPC {name} is not there ({}): run `make tools`",
        path.display()
    );
    Ok(path)
}

/// The programs of a member cluster.
#[derive(Debug, Clone)]
pub struct KubernetesTools {
    /// The API server.
    pub apiserver: PathBuf,
    /// Its controllers.
    pub controller_manager: PathBuf,
    /// Its store.
    pub etcd: PathBuf,
}

/// The Kubernetes programs: those of the folder that `KUBEBUILDER_ASSETS` names if all are in it, else the ones we build.
///
/// # Errors
/// If they were not built; the message says how to.
pub fn kubernetes_tools() -> anyhow::Result<KubernetesTools> {
    let ours = root().join(".tools/k8s");
    let given = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    given
        .and_then(|folder| programs_in(&folder))
        .or_else(|| programs_in(&ours))
        .with_context(|| {
            format!(
                "kube-apiserver, kube-controller-manager and etcd are not there ({}): run `make tools`",
                ours.display()
            )
        })
}

/// The three programs, if `folder` has all of them.
fn programs_in(folder: &Path) -> Option<KubernetesTools> {
    let program = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
    Some(KubernetesTools {
        apiserver: program("kube-apiserver")?,
        controller_manager: program("kube-controller-manager")?,
        etcd: program("etcd")?,
    })
}
