//! Keeps the authority of a folder up to date: its files are read again when they change, and what is damaged or half written
//! never takes the place of what is good.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::authority::{Authority, AuthorityFiles};
use super::error::AuthorityError;
use super::files::read_authority_files;
use super::metrics::IdentityMetrics;

/// How often the files are looked at. A look is a few kilobytes, and sees what a folder's change notices miss: mounted
/// Secrets change by a link elsewhere.
const LOOK: Duration = Duration::from_secs(2);

/// How often what expires soon is spoken of.
const REMIND: Duration = Duration::from_secs(6 * 3600);

/// The authority of a folder, as it is now.
#[derive(Debug)]
pub struct Keeper {
    folder: PathBuf,
    current: watch::Sender<Arc<Authority>>,
    last: Mutex<Last>,
    metrics: IdentityMetrics,
}

/// What was found last.
#[derive(Debug, Default)]
struct Last {
    /// Nothing where they couldn't be read.
    files: Option<AuthorityFiles>,
    /// What was said of them, where they can't be used.
    refused: Option<String>,
}

impl Keeper {
    /// Reads the authority of a folder.
    ///
    /// # Errors
    /// When it can't be used: there is nothing to begin with.
    pub fn open(folder: &Path, metrics: IdentityMetrics) -> Result<Self, AuthorityError> {
        let files = read_authority_files(folder)?;
        let authority = Authority::read(&files, Timestamp::now())?;
        metrics.authority(&authority);
        Ok(Self {
            folder: folder.to_owned(),
            current: watch::Sender::new(Arc::new(authority)),
            last: Mutex::new(Last {
                files: Some(files),
                refused: None,
            }),
            metrics,
        })
    }

    /// The authority as it is now.
    #[must_use]
    pub fn current(&self) -> Arc<Authority> {
        Arc::clone(&self.current.borrow())
    }

    /// Tells of changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Authority>> {
        self.current.subscribe()
    }

    /// Looks at the files for as long as it is polled.
    pub async fn run(&self) {
        let mut reminded = None;
        loop {
            let now = tokio::time::Instant::now();
            let warnings = self.current().warnings(Timestamp::now());
            self.metrics.ending(warnings.len());
            if warnings.is_empty() {
                reminded = None;
            } else if reminded.is_none_or(|at| now.duration_since(at) >= REMIND) {
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                reminded = Some(now);
            }
            tokio::time::sleep(LOOK).await;
            let folder = self.folder.clone();
            // A disk that hangs must not hold a worker.
            match tokio::task::spawn_blocking(move || read_authority_files(&folder)).await {
                Ok(found) => {
                    if self.take(found, Timestamp::now()) {
                        reminded = None;
                    }
                }
                Err(error) => tracing::error!(%error, "reading the authority broke off"),
            }
        }
    }

    /// Takes what was found where it is new and good; says what is wrong with it once.
    ///
    /// Files that were refused are read again even if they are the same: what was wrong may have been the time.
    pub(super) fn take(&self, found: Result<AuthorityFiles, AuthorityError>, now: Timestamp) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let files = match found {
            Ok(files) if last.refused.is_none() && last.files.as_ref() == Some(&files) => return false,
            Ok(files) => files,
            Err(error) => {
                last.files = None;
                self.refuse(&mut last, &error);
                return false;
            }
        };
        let read = Authority::read(&files, now);
        last.files = Some(files);
        if read.is_ok() {
            last.refused = None;
        }
        match read {
            Ok(authority) if self.current().is_same(&authority) => {
                // It may have been refused in between.
                self.metrics.authority(&authority);
                false
            }
            Ok(authority) => {
                tracing::info!(?authority, "the authority changed");
                self.metrics.authority(&authority);
                self.current.send_replace(Arc::new(authority));
                true
            }
            Err(error) => {
                self.refuse(&mut last, &error);
                false
            }
        }
    }

    fn refuse(&self, last: &mut Last, error: &AuthorityError) {
        let error = error.to_string();
        if last.refused.as_ref() != Some(&error) {
            tracing::error!(
                error,
                "the files of the authority changed and can't be used; the last good one stays"
            );
        }
        last.refused = Some(error);
        self.metrics.authority_refused();
    }
}
