//! Reading a folder again and again: only what changed is read, and nothing is lost to half-written files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_128;

use super::super::problem::Problem;
use super::files::{FolderError, Found, Stamp, list};
use super::merge::{Lists, merge};
use super::parse::{Content, parse};

/// Larger files are not read.
const LARGEST_FILE: u64 = 16 << 20;
/// A file that was written this recently may be half written, unless the file system said that its writer is done.
const WRITE_SETTLES: Duration = Duration::from_millis(50);
/// A file that is written without a pause is read in the end.
const LONGEST_WRITE: Duration = Duration::from_secs(1);
/// Files are gone when this long no other file has gone: until then the whole folder may be on its way out, or an editor
/// may be about to put the file back.
const REMOVAL_SETTLES: Duration = Duration::from_millis(100);

/// The present, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// For how long something lasts.
    pub(super) elapsing: Instant,
    /// For the age of files.
    pub(super) wall: SystemTime,
}

/// What a scan found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Something may be different now.
    pub(super) changed: bool,
    /// Look again after this time, since something is on the move.
    pub(super) again_in: Option<Duration>,
}

impl Outcome {
    fn again_in(&mut self, delay: Duration) {
        let delay = delay.max(Duration::from_millis(1));
        self.again_in = Some(self.again_in.map_or(delay, |earlier| earlier.min(delay)));
    }
}

#[derive(Debug, Default)]
struct FileState {
    /// As it was when it was read; `None` when it must be read again whatever it is like.
    stamp: Option<Stamp>,
    hash: u128,
    /// The last content that could be read.
    content: Option<Content>,
    /// What is wrong with the file as a whole.
    problem: Option<Problem>,
    /// It is being written since then.
    unsettled: Option<Instant>,
}

/// A folder and what is known of it.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    files: BTreeMap<PathBuf, FileState>,
    folders: BTreeSet<PathBuf>,
    folder_problems: Vec<Problem>,
    missing: Option<(Instant, BTreeSet<PathBuf>)>,
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            files: BTreeMap::new(),
            folders: BTreeSet::new(),
            folder_problems: Vec::new(),
            missing: None,
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Looks at the folder. `closed` are files of which the file system said that their writer is done with them.
    ///
    /// # Errors
    /// When the folder as a whole can't be read; everything that is known of it stays.
    pub(super) fn scan(&mut self, closed: &BTreeSet<PathBuf>, now: Now) -> Result<Outcome, FolderError> {
        let listing = list(&self.root)?;
        let mut outcome = Outcome {
            changed: false,
            again_in: None,
        };
        // A new sub folder may be filled before its changes are noticed.
        if !listing.folders.is_subset(&self.folders) {
            outcome.again_in(REMOVAL_SETTLES);
        }
        self.folders = listing.folders;
        if self.folder_problems != listing.problems {
            self.folder_problems = listing.problems;
            outcome.changed = true;
        }
        for (path, found) in &listing.files {
            let closed = closed.contains(&self.root.join(path));
            let state = self.files.entry(path.clone()).or_default();
            read_file(&self.root.join(path), path, found, closed, now, state, &mut outcome);
        }
        let missing: BTreeSet<_> = self
            .files
            .keys()
            .filter(|path| !listing.files.contains_key(*path))
            .filter(|path| !path.ancestors().any(|above| listing.unreadable.contains(above)))
            .cloned()
            .collect();
        self.settle_removals(missing, now.elapsing, &mut outcome);
        Ok(outcome)
    }

    fn settle_removals(&mut self, missing: BTreeSet<PathBuf>, now: Instant, outcome: &mut Outcome) {
        if missing.is_empty() {
            self.missing = None;
            return;
        }
        let since = match &self.missing {
            Some((since, earlier)) if *earlier == missing => *since,
            _ => now,
        };
        let waited = now.saturating_duration_since(since);
        if waited < REMOVAL_SETTLES {
            self.missing = Some((since, missing));
            outcome.again_in(REMOVAL_SETTLES - waited);
            return;
        }
        self.files.retain(|path, _| !missing.contains(path));
        self.missing = None;
        outcome.changed = true;
    }

    /// Everything that the folder says, and what is wrong in it.
    pub(super) fn contents(&self) -> (Lists, Vec<Problem>) {
        let named: Vec<_> = self
            .files
            .iter()
            .map(|(path, state)| (path.display().to_string(), state))
            .collect();
        let contents = named
            .iter()
            .filter_map(|(name, state)| Some((name.as_str(), state.content.as_ref()?)));
        let (lists, mut problems) = merge(contents);
        problems.extend(self.folder_problems.iter().cloned());
        problems.extend(self.files.values().filter_map(|state| state.problem.clone()));
        problems.sort();
        (lists, problems)
    }
}

fn read_file(
    file: &Path,
    path: &Path,
    found: &Found,
    closed: bool,
    now: Now,
    state: &mut FileState,
    outcome: &mut Outcome,
) {
    if state.stamp == Some(found.stamp) {
        state.unsettled = None;
        return;
    }
    let age = found
        .modified
        .and_then(|modified| now.wall.duration_since(modified).ok());
    // Without an age the clocks disagree; then the change counts as old.
    let young = age.is_some_and(|age| age < WRITE_SETTLES);
    if young && !closed {
        let since = *state.unsettled.get_or_insert(now.elapsing);
        if now.elapsing.saturating_duration_since(since) < LONGEST_WRITE {
            outcome.again_in(WRITE_SETTLES.saturating_sub(age.unwrap_or_default()));
            return;
        }
    }
    state.unsettled = None;
    // Two writes within the clock's grain leave the same stamp, so a young file is read again when somebody stirs.
    state.stamp = (!young).then_some(found.stamp);
    let name = path.display().to_string();
    match read_text(file, found.stamp.length()) {
        Ok(text) => {
            let hash = xxh3_128(text.as_bytes());
            if hash == state.hash && (state.content.is_some() || state.problem.is_some()) {
                return;
            }
            outcome.changed = true;
            state.hash = hash;
            take_text(&name, &text, found, state);
        }
        // It went away just now: a matter for the next scan.
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            state.stamp = None;
            outcome.again_in(WRITE_SETTLES);
        }
        Err(error) => {
            let remedy = match error {
                ReadError::Io(_) => "allow this process to read it",
                ReadError::TooLarge => "split it",
                ReadError::NotText => "write it in UTF-8",
            };
            let problem = Problem::new(name, format!("{error}; what it said before is kept"), remedy);
            state.hash = 0;
            outcome.changed |= state.problem.as_ref() != Some(&problem);
            state.problem = Some(problem);
        }
    }
}

fn take_text(name: &str, text: &str, found: &Found, state: &mut FileState) {
    let had_records = |content: &Content| !content.records.is_empty();
    if text.trim().is_empty() && state.content.as_ref().is_some_and(had_records) {
        state.problem = Some(Problem::new(
            name,
            "it is empty now; what it said before is kept",
            "delete the file if its objects are to go",
        ));
        return;
    }
    match parse(name, text, found.format) {
        Ok(content) => {
            state.content = Some(content);
            state.problem = None;
        }
        Err(problem) => state.problem = Some(problem),
    }
}

/// Why a file can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("it can't be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is larger than {} MiB", LARGEST_FILE >> 20)]
    TooLarge,
    #[error("it is no text")]
    NotText,
}

pub(super) fn read_text(path: &Path, length: u64) -> Result<String, ReadError> {
    if length > LARGEST_FILE {
        return Err(ReadError::TooLarge);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(ReadError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| ReadError::NotText)
}
