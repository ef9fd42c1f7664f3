//! What `parallax ca` does on disk: a folder with the mesh's root, and in it a folder for each member with that member's
//! intermediate, laid out as Istio's `cacerts`.
//!
//! Every step may be run again, and one that broke off goes on where it was. No key is ever written over.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::authority::{Authority, NamedFile, certificates, key_of, signing_key};
use super::certificate::Certificate;
use super::error::AuthorityError;
use super::files::{self, CERTIFICATE, CHAIN, KEY, ROOTS, Readable, read_authority_files};
use super::making::{self, Root};
use super::spiffe::{SpiffeId, TrustDomain};
use crate::model::ClusterId;

/// The root's key, and the root that follows it.
const ROOT_KEY: &str = "root-key.pem";
const NEXT_ROOT: &str = "next-root-cert.pem";
const NEXT_ROOT_KEY: &str = "next-root-key.pem";

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub enum WorkshopError {
    /// An authority that is there can't be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A file can't be written.
    #[error("cannot write {}: {cause}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// There is no root.
    #[error("{} holds no root; make one with `parallax ca init --dir {}`", folder.display(), folder.display())]
    NoRoot {
        /// The folder.
        folder: PathBuf,
    },
    /// A key is there, and what belongs to it is not.
    #[error("{} is there and {} is not; put it back, or let `parallax ca init` finish what broke off where no intermediate was issued yet; or move the key away if it is of no use any more (it is never written over)", key.display(), certificate.display())]
    Half {
        /// The key.
        key: PathBuf,
        /// What is missing.
        certificate: PathBuf,
    },
    /// The root is of another mesh.
    #[error("{} holds the root of trust domain {found}, not of {asked}; use another folder", folder.display())]
    OtherDomain {
        /// The folder.
        folder: PathBuf,
        /// Whose root is there.
        found: String,
        /// Whose was asked for.
        asked: TrustDomain,
    },
    /// A change of roots has no members to change.
    #[error("{} holds no member; issue an intermediate first: `parallax ca issue-intermediate --member NAME`", folder.display())]
    NoMembers {
        /// The folder.
        folder: PathBuf,
    },
    /// A name that can't be in an id.
    #[error("{0}")]
    Name(String),
    /// A key would be written over.
    #[error("{} is there; a key is never written over. Name another folder with --out", file.display())]
    Exists {
        /// The key.
        file: PathBuf,
    },
}

type Done<T> = Result<T, WorkshopError>;

/// What became of asking for something that may be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was made.
    Made,
    /// It was there, and was certified anew with the same key.
    Renewed,
    /// It was there and is good; nothing changed.
    Kept,
}

/// Whether an intermediate that is still good is certified anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It is.
    Asked,
    /// It is left as it is.
    NotAsked,
}

/// The three steps of a change of roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStep {
    /// Everybody comes to trust both roots.
    Widen,
    /// The members' intermediates come under the new root.
    Reissue,
    /// Nobody trusts the old root any more.
    Shrink,
}

/// The folder of a mesh's root and its members' intermediates.
#[derive(Debug)]
pub struct Workshop {
    folder: PathBuf,
}

impl Workshop {
    /// In this folder, which need not be there.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where a member's intermediate is.
    #[must_use]
    pub fn member_folder(&self, member: &ClusterId) -> PathBuf {
        self.folder.join(member.as_str())
    }

    /// Makes the root, where there is none. A run that broke off left its key without a certificate: where it signed nothing
    /// yet, it is certified now.
    ///
    /// # Errors
    /// When the one that is there can't be used or is of another mesh, and when files can't be written.
    pub fn init(&self, domain: &TrustDomain, lifetime: Duration, now: Timestamp) -> Done<Outcome> {
        make_folder(&self.folder)?;
        let (certificate, key) = (self.folder.join(ROOTS), self.folder.join(ROOT_KEY));
        let broke_off = key.exists() && !certificate.exists() && self.members()?.is_empty();
        if !broke_off && (key.exists() || certificate.exists()) {
            let root = self.root(now)?;
            if root.trust_domain() != domain.as_str() {
                return Err(WorkshopError::OtherDomain {
                    folder: self.folder.clone(),
                    found: root.trust_domain().to_owned(),
                    asked: domain.clone(),
                });
            }
            return Ok(Outcome::Kept);
        }
        let left = broke_off.then(|| files::read(&key)).transpose()?;
        let made = making::root(domain, left.as_ref(), lifetime, now)?;
        if left.is_none() {
            // The key first: a certificate alone may be a root whose key is kept elsewhere, which is none to finish.
            create(&key, made.key.reveal(), Readable::Owner)?;
        }
        create(&certificate, &made.certificate, Readable::Everybody)?;
        Ok(if broke_off { Outcome::Renewed } else { Outcome::Made })
    }

    /// Issues the intermediate of a member, where there is none; one that is there is certified anew for the same key when
    /// that is asked for, or when it has expired.
    ///
    /// # Errors
    /// When there is no root that can sign, when what is there can't be used, and when files can't be written.
    pub fn issue_intermediate(
        &self,
        member: &ClusterId,
        renewal: Renewal,
        lifetime: Duration,
        now: Timestamp,
    ) -> Done<Outcome> {
        let root = self.root(now)?;
        let folder = self.member_folder(member);
        make_folder(&folder)?;
        let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
        if !key.exists() {
            let made = root.intermediate(member, None, lifetime, now)?;
            create(&key, made.key.reveal(), Readable::Owner)?;
            self.put_certificate(&folder, &made.certificate)?;
            return Ok(Outcome::Made);
        }
        if certificate.exists() && renewal == Renewal::NotAsked {
            match read_authority_files(&folder).and_then(|files| Authority::read(&files, now)) {
                Err(AuthorityError::Expired { file, .. }) if file == certificate => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(Outcome::Kept),
            }
        }
        let made = root.intermediate(member, Some(&files::read(&key)?), lifetime, now)?;
        self.put_certificate(&folder, &made.certificate)?;
        Ok(Outcome::Renewed)
    }

    /// Does the next step of a change of roots, and says which it was. The first one begins a change; the third ends it.
    ///
    /// # Errors
    /// As [`Workshop::issue_intermediate`].
    pub fn rotate_root(&self, root: Duration, intermediate: Duration, now: Timestamp) -> Done<RotationStep> {
        let members = self.members()?;
        if members.is_empty() {
            return Err(WorkshopError::NoMembers {
                folder: self.folder.clone(),
            });
        }
        if self.is_shrunk()? {
            self.put_next_root()?;
            return Ok(RotationStep::Shrink);
        }
        let successor = self.successor(root, now)?;
        let folders = || members.iter().map(|member| self.member_folder(member));
        let everywhere = || folders().chain([self.folder.clone()]).map(|folder| folder.join(ROOTS));
        let knows_successor =
            |file: PathBuf| -> Done<bool> { Ok(certificates(&files::read(&file)?)?.contains(&successor.certificate)) };
        let known: Vec<bool> = everywhere().map(knows_successor).collect::<Done<_>>()?;
        if known.contains(&false) {
            let both = format!("{}{}", self.root(now)?.pem(), successor.pem());
            for file in everywhere() {
                replace(&file, &both)?;
            }
            return Ok(RotationStep::Widen);
        }
        let mut reissued = false;
        for (member, folder) in members.iter().zip(folders()) {
            let own = first_certificate(&files::read(&folder.join(CERTIFICATE))?)?;
            if !successor.vouches_for(&own, now) {
                let key = files::read(&folder.join(KEY))?;
                let made = successor.intermediate(member, Some(&key), intermediate, now)?;
                self.put_certificate(&folder, &made.certificate)?;
                reissued = true;
            }
        }
        if reissued {
            return Ok(RotationStep::Reissue);
        }
        for file in everywhere() {
            replace(&file, &successor.pem())?;
        }
        self.retire_root()?;
        self.put_next_root()?;
        Ok(RotationStep::Shrink)
    }

    /// The root that follows the present one; made where there is none yet.
    fn successor(&self, lifetime: Duration, now: Timestamp) -> Done<Root> {
        let (next, next_key) = (self.folder.join(NEXT_ROOT), self.folder.join(NEXT_ROOT_KEY));
        if !next.exists() {
            let current = self.root(now)?;
            let domain = TrustDomain::new(current.trust_domain()).map_err(|_| WorkshopError::NoRoot {
                folder: self.folder.clone(),
            })?;
            // Where a run broke off in between, the key is there, and signed nothing yet.
            let key = next_key.exists().then(|| files::read(&next_key)).transpose()?;
            let made = making::root(&domain, key.as_ref(), lifetime, now)?;
            if key.is_none() {
                create(&next_key, made.key.reveal(), Readable::Owner)?;
            }
            create(&next, &made.certificate, Readable::Everybody)?;
        }
        Ok(Root::read(&files::read(&next)?, &files::read(&next_key)?, now)?)
    }

    /// Whether only the new root is trusted already, and its key is not wholly in its place: a run broke off there.
    fn is_shrunk(&self) -> Done<bool> {
        let (next, roots) = (self.folder.join(NEXT_ROOT), self.folder.join(ROOTS));
        if !next.exists() || !roots.exists() {
            return Ok(false);
        }
        let successor = first_certificate(&files::read(&next)?)?;
        if certificates(&files::read(&roots)?)? != [successor.clone()] {
            return Ok(false);
        }
        let key = self.folder.join(ROOT_KEY);
        Ok(!key.exists() || key_of(&signing_key(&files::read(&key)?)?) == successor.public_key)
    }

    /// Puts the old root's key aside, where it is not yet, under a name of its own key, so that no two are called alike.
    fn retire_root(&self) -> Done<()> {
        let file = self.folder.join(ROOT_KEY);
        if !file.exists() {
            return Ok(());
        }
        let key = key_of(&signing_key(&files::read(&file)?)?);
        let mark: String = key.iter().rev().take(6).map(|byte| format!("{byte:02x}")).collect();
        let retired = file.with_file_name(format!("retired-root-key-{mark}.pem"));
        std::fs::rename(&file, retired).map_err(|cause| WorkshopError::Write { file, cause })
    }

    /// Puts the new root's key in the place of the old one, or what is left to do of that.
    fn put_next_root(&self) -> Done<()> {
        let (key, next_key) = (self.folder.join(ROOT_KEY), self.folder.join(NEXT_ROOT_KEY));
        let link = || match key.exists() {
            true => Ok(()),
            false => std::fs::hard_link(&next_key, &key),
        };
        link()
            .and_then(|()| remove(&next_key))
            .and_then(|()| remove(&self.folder.join(NEXT_ROOT)))
            .map_err(|cause| WorkshopError::Write {
                file: key.clone(),
                cause,
            })
    }

    /// The root that signs at present.
    fn root(&self, now: Timestamp) -> Done<Root> {
        let (certificate, key) = (self.folder.join(ROOTS), self.folder.join(ROOT_KEY));
        match (certificate.exists(), key.exists()) {
            (false, false) => Err(WorkshopError::NoRoot {
                folder: self.folder.clone(),
            }),
            (false, true) => Err(WorkshopError::Half { key, certificate }),
            _ => Ok(Root::read(&files::read(&certificate)?, &files::read(&key)?, now)?),
        }
    }

    /// The members that have an intermediate.
    fn members(&self) -> Done<Vec<ClusterId>> {
        let read = |cause| AuthorityError::Read {
            file: self.folder.clone(),
            cause,
        };
        let mut members = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(read)? {
            let entry = entry.map_err(read)?;
            if entry.path().join(KEY).exists()
                && let Some(member) = entry.file_name().to_str().and_then(|name| ClusterId::new(name).ok())
            {
                members.push(member);
            }
        }
        members.sort();
        Ok(members)
    }

    /// Puts an intermediate's certificate, and the roots that are trusted at present, into a member's folder.
    fn put_certificate(&self, folder: &Path, certificate: &str) -> Done<()> {
        let roots = self.folder.join(ROOTS);
        let roots = String::from_utf8_lossy(&files::read(&roots)?.content).into_owned();
        replace(&folder.join(ROOTS), &roots)?;
        replace(&folder.join(CHAIN), certificate)?;
        replace(&folder.join(CERTIFICATE), certificate)
    }
}

/// Issues a certificate for a workload or a server from the authority in a folder, into `out` as `tls.crt`, `tls.key` and
/// `ca.crt`.
///
/// # Errors
/// When the authority can't be used, when there is a key already, and when files can't be written.
pub fn issue_to_folder(
    authority: &Path,
    id: &SpiffeId,
    hosts: &[String],
    lifetime: Duration,
    out: &Path,
    now: Timestamp,
) -> Done<Timestamp> {
    let authority = Authority::read(&read_authority_files(authority)?, now)?;
    let issued = if hosts.is_empty() {
        authority.issue(id, lifetime, now)?
    } else {
        authority.issue_server(id, hosts, lifetime, now)?
    };
    make_folder(out)?;
    let key = out.join("tls.key");
    if key.exists() {
        return Err(WorkshopError::Exists { file: key });
    }
    // The key last: it is what keeps the next run out, so it must not be there without its certificate.
    replace(&out.join("ca.crt"), &authority.bundle())?;
    replace(&out.join("tls.crt"), &issued.chain)?;
    create(&key, issued.key.reveal(), Readable::Owner)?;
    Ok(issued.not_after)
}

fn first_certificate(file: &NamedFile) -> Done<Certificate> {
    Ok(certificates(file)?.remove(0))
}

fn make_folder(folder: &Path) -> Done<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.map_err(|cause| WorkshopError::Write {
        file: folder.to_owned(),
        cause,
    })
}

fn create(file: &Path, text: &str, readable: Readable) -> Done<()> {
    files::create(file, text, readable).map_err(|cause| WorkshopError::Write {
        file: file.to_owned(),
        cause,
    })
}

fn replace(file: &Path, text: &str) -> Done<()> {
    files::replace(file, text).map_err(|cause| WorkshopError::Write {
        file: file.to_owned(),
        cause,
    })
}

/// Removes a file that may be gone already.
fn remove(file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
