//! Where a member is read from.

use std::fmt;
use std::path::PathBuf;

/// Where a member is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberSource {
    /// A folder of manifests, with sub folders.
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// An API server that a kubeconfig tells of.
    Kubernetes {
        /// The file; where kubectl looks for it by default if there is none.
        kubeconfig: Option<PathBuf>,
        /// The context in it; its current one if there is none.
        context: Option<String>,
    },
    /// The API server of the cluster that we run in, with the pod's service account.
    InCluster,
}

impl fmt::Display for MemberSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { path } => write!(f, "folder {}", path.display()),
            Self::Kubernetes { kubeconfig, context } => {
                match kubeconfig {
                    Some(path) => write!(f, "kubeconfig {}", path.display())?,
                    None => f.write_str("default kubeconfig")?,
                }
                match context {
                    Some(context) => write!(f, ", context {context}"),
                    None => Ok(()),
                }
            }
            Self::InCluster => f.write_str("in-cluster"),
        }
    }
}
