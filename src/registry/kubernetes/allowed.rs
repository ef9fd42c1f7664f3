//! What a kubeconfig that came in a Secret may have us do. Pure.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// What kubeconfigs in Secrets may use beside tokens and data; nothing by default. Whoever may write such a Secret gains what is
/// allowed here: a program is run with arguments and environment of their choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Programs that `exec` may run, by the command exactly as it is written.
    pub exec: BTreeSet<String>,
    /// The names of `auth-provider`s.
    pub auth_providers: BTreeSet<String>,
    /// Folders that files may be read from.
    pub folders: BTreeSet<PathBuf>,
    /// Whether servers need not prove who they are.
    pub insecure_skip_tls_verify: bool,
}

impl Allowed {
    pub(super) fn file(&self, path: &str) -> bool {
        let path = Path::new(path);
        let plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
        plain && self.folders.iter().any(|folder| path.starts_with(folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_below_allowed_folders_only() {
        let allowed = Allowed {
            folders: BTreeSet::from(["/var/run/parallax".into()]),
            ..Allowed::default()
        };
        assert!(allowed.file("/var/run/parallax/east/token"));
        for path in [
            "/var/run/parallax-2/token",
            "/var/run/parallax/../secret",
            "token",
            "/etc/passwd",
        ] {
            assert!(!allowed.file(path), "{path}");
        }
        assert!(!Allowed::default().file("/var/run/parallax/token"));
    }
}
