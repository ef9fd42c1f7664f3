//! The files of an authority on disk: both layouts that are read, and how files are written.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::authority::{AuthorityFiles, NamedFile};
use super::error::AuthorityError;

/// The names in Istio's `cacerts`.
pub(super) const CERTIFICATE: &str = "ca-cert.pem";
pub(super) const KEY: &str = "ca-key.pem";
pub(super) const CHAIN: &str = "cert-chain.pem";
pub(super) const ROOTS: &str = "root-cert.pem";

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readable {
    /// Everybody.
    Everybody,
    /// Its owner.
    Owner,
}

/// Reads the authority in a folder, in Istio's layout (`ca-cert.pem`, `ca-key.pem`, `cert-chain.pem`, `root-cert.pem`) or in
/// cert-manager's (`tls.crt`, `tls.key`, `ca.crt`).
///
/// # Errors
/// When neither is there, or a file of it can't be read.
pub(super) fn read_authority_files(folder: &Path) -> Result<AuthorityFiles, AuthorityError> {
    let names = [(CERTIFICATE, KEY, ROOTS), ("tls.crt", "tls.key", "ca.crt")];
    let Some((certificate, key, roots)) = names.into_iter().find(|(name, ..)| folder.join(name).exists()) else {
        return Err(AuthorityError::Absent {
            folder: folder.to_owned(),
        });
    };
    let chain = folder.join(CHAIN);
    Ok(AuthorityFiles {
        certificate: read(&folder.join(certificate))?,
        key: read(&folder.join(key))?,
        chain: match chain.exists() && certificate == CERTIFICATE {
            true => Some(read(&chain)?),
            false => None,
        },
        roots: read(&folder.join(roots))?,
    })
}

pub(super) fn read(path: &Path) -> Result<NamedFile, AuthorityError> {
    match fs::read(path) {
        Ok(content) => Ok(NamedFile {
            path: path.to_owned(),
            content,
        }),
        Err(cause) => Err(AuthorityError::Read {
            file: path.to_owned(),
            cause,
        }),
    }
}

/// Writes a file that must not be there yet; whoever reads it sees all of it or nothing.
pub(super) fn create(path: &Path, text: &str, readable: Readable) -> io::Result<()> {
    let draft = draft(path, text, readable)?;
    // Unlike a rename, a link never takes the place of what is there.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    linked
}

/// Writes a file over what is there; whoever reads it sees all of the one or all of the other.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    fs::rename(draft(path, text, Readable::Everybody)?, path)
}

fn draft(path: &Path, text: &str, readable: Readable) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mode = match readable {
        Readable::Everybody => 0o644,
        Readable::Owner => 0o600,
    };
    // One that an earlier run left behind may be readable by others.
    fs::remove_file(&draft).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(draft)
}
