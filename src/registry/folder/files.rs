//! Which files a folder has, and how to tell that one was changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::problem::Problem;
use super::parse::Format;

/// How deep sub folders are read.
const DEEPEST_FOLDER: usize = 8;

/// Why a folder can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    #[error("there is no folder {}; create it, or correct the path", .0.display())]
    Missing(PathBuf),
    #[error("{} is no folder; a member is a folder of manifests", .0.display())]
    NotAFolder(PathBuf),
    #[error("folder {} can't be read: {source}; allow this process to read it", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Changes whenever a file is written or replaced, as far as the file system tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The file's length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }
}

/// A file as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) stamp: Stamp,
    pub(super) modified: Option<SystemTime>,
    pub(super) format: Format,
}

/// Everything that was found in a folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Files of manifests by their path below the folder, sorted.
    pub(super) files: BTreeMap<PathBuf, Found>,
    /// Sub folders by their path below the folder.
    pub(super) folders: BTreeSet<PathBuf>,
    /// Sub folders that can't be read. What is known of files in them holds.
    pub(super) unreadable: BTreeSet<PathBuf>,
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
}

/// What makes a folder the same one.
pub(super) fn identity(root: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(root).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Lists the manifests of a folder and its sub folders. Hidden files and those of other names are passed over; links are
/// followed, since Kubernetes mounts a `ConfigMap` as links.
pub(super) fn list(root: &Path) -> Result<Listing, FolderError> {
    let metadata = fs::metadata(root).map_err(|error| folder_error(root, error))?;
    if !metadata.is_dir() {
        return Err(FolderError::NotAFolder(root.to_owned()));
    }
    let mut listing = Listing::default();
    let mut seen = BTreeSet::from([(metadata.dev(), metadata.ino())]);
    list_folder(root, Path::new(""), 0, &mut seen, &mut listing).map_err(|error| folder_error(root, error))?;
    Ok(listing)
}

fn folder_error(root: &Path, error: io::Error) -> FolderError {
    match error.kind() {
        io::ErrorKind::NotFound => FolderError::Missing(root.to_owned()),
        io::ErrorKind::NotADirectory => FolderError::NotAFolder(root.to_owned()),
        _ => FolderError::Unreadable {
            path: root.to_owned(),
            source: error,
        },
    }
}

fn list_folder(
    root: &Path,
    below: &Path,
    depth: usize,
    seen: &mut BTreeSet<(u64, u64)>,
    listing: &mut Listing,
) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let Some(file_name) = entry.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        if file_name.starts_with('.') {
            continue;
        }
        let path = below.join(&file_name);
        // A link that leads nowhere, or a file that went away just now.
        let Ok(metadata) = fs::metadata(root.join(&path)) else {
            continue;
        };
        if metadata.is_dir() {
            // A folder that links lead to twice is read once, or a loop would never end.
            let new = seen.insert((metadata.dev(), metadata.ino()));
            if new && depth < DEEPEST_FOLDER {
                listing.folders.insert(path.clone());
                read_sub_folder(root, path, depth + 1, seen, listing);
            }
        } else if metadata.is_file()
            && let Some(format) = Format::of(&file_name)
        {
            let found = Found {
                stamp: Stamp::of(&metadata),
                modified: metadata.modified().ok(),
                format,
            };
            listing.files.insert(path, found);
        }
    }
    Ok(())
}

fn read_sub_folder(root: &Path, path: PathBuf, depth: usize, seen: &mut BTreeSet<(u64, u64)>, listing: &mut Listing) {
    match list_folder(root, &path, depth, seen, listing) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            listing.problems.push(Problem::new(
                format!("folder {}", path.display()),
                format!("it can't be read: {error}; what its files said before is kept"),
                "allow this process to read it",
            ));
            listing.unreadable.insert(path);
        }
    }
}
