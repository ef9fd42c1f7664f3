//! Where a member is read from.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::Allowed;
use crate::model::ObjectName;

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
    /// Nowhere: it is served as it was known before the start, and nobody has said yet where it is read from.
    Remembered,
    /// An API server that the kubeconfig in a Secret tells of.
    Secret {
        /// The Secret.
        secret: ObjectName,
        /// The kubeconfig in it.
        kubeconfig: SecretText,
        /// What kubeconfigs of Secrets may do.
        allowed: Arc<Allowed>,
    },
}

impl MemberSource {
    /// Tells credentials of a Secret apart without showing them: 64 bits say nothing of a token of many hundreds. Whoever wrote
    /// the Secret computes the same and so learns that it is in use.
    #[must_use]
    pub fn credential(&self) -> Option<String> {
        match self {
            Self::Secret { kubeconfig, .. } => Some(format!("{:016x}", xxh3_64(kubeconfig.reveal().as_bytes()))),
            _ => None,
        }
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Arc<str>);

impl SecretText {
    /// Hides a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text, for whoever has to read it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
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
            Self::Remembered => f.write_str("last known good"),
            Self::Secret { secret, .. } => write!(f, "secret {secret}"),
        }
    }
}
