//! Trying a kubeconfig: does it work, does it lead to the same cluster, and, where it is a new one, does it list what is known?

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::kubernetes::{self, Failure, Fingerprint};
use super::super::run::read_member;
use super::super::status::{MemberStatus, Voice};
use super::super::{MemberSource, MemberState, Members, Reason, Verdict};
use super::handover::{Candidate, Gate, Progress, Sizes, Turn, Voices};
use super::wanted::Wanted;
use crate::lifecycle::Backoff;
use crate::model::ClusterId;
use crate::table::EventSink;

/// A new reader has this long to list everything, and must not fail for longer than that.
const LISTS: Duration = Duration::from_secs(60);
const FAILING: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(250);

/// What became of a trial.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It works and leads to this cluster. For the kubeconfig in use that is all.
    Works(Fingerprint),
    /// Its reader took over.
    TookOver(NewReader),
    /// It does not work.
    Failed(Failure),
    /// It leads to another cluster than the one before.
    OtherCluster,
    /// It lists much less than is known.
    Doubtful(Sizes),
    /// It is not wanted any more.
    Superseded,
}

/// A reader that took over.
#[derive(Debug)]
pub(super) struct NewReader {
    pub(super) number: u64,
    pub(super) cluster: Fingerprint,
    pub(super) voice: Voice,
    /// Whoever drops it ends the reading.
    pub(super) cancel: DropGuard,
    pub(super) task: JoinHandle<()>,
}

/// What a trial is about.
pub(super) struct Trial {
    pub(super) name: ClusterId,
    pub(super) wanted: Wanted,
    pub(super) source: MemberSource,
    /// The number of the reader that is in use.
    pub(super) reader: u64,
    /// After so long a rest; grows with each failure.
    pub(super) backoff: Backoff,
    pub(super) rest: Rest,
    /// Woken when it is not wanted any more.
    pub(super) hurry: Arc<Notify>,
    /// How to take over; `None` where it is the kubeconfig in use.
    pub(super) takeover: Option<Takeover>,
}

/// Whether a trial begins at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    No,
    First,
}

/// What is needed to take over from a reader.
pub(super) struct Takeover {
    /// The new reader's number.
    pub(super) number: u64,
    pub(super) turn: Turn,
    /// That of the reader in use.
    pub(super) voice: Voice,
    pub(super) sink: Arc<dyn EventSink>,
    pub(super) members: Members,
    pub(super) cancel: CancellationToken,
    /// Which cluster the one in use leads to, where that is known.
    pub(super) cluster: Option<Fingerprint>,
    /// Lists that were doubted the last time.
    pub(super) doubted: Option<Sizes>,
}

impl Trial {
    pub(super) async fn run(mut self) -> (Self, Outcome) {
        if self.rest == Rest::First {
            tokio::select! {
                () = tokio::time::sleep(self.backoff.next_delay()) => {}
                () = self.hurry.notified() => return (self, Outcome::Superseded),
            }
        }
        let cluster = tokio::select! {
            found = kubernetes::identify(&self.source, &self.wanted.options.namespaces) => found,
            () = self.hurry.notified() => return (self, Outcome::Superseded),
        };
        let cluster = match cluster {
            Ok(cluster) => cluster,
            Err(failure) => return (self, Outcome::Failed(failure)),
        };
        let outcome = match &self.takeover {
            None => Outcome::Works(cluster),
            Some(takeover)
                if takeover
                    .cluster
                    .as_ref()
                    .is_some_and(|known| known.contradicts(&cluster)) =>
            {
                Outcome::OtherCluster
            }
            Some(takeover) => self.take_over(takeover, cluster).await,
        };
        (self, outcome)
    }

    /// Reads the member a second time, aside, until that reader took over or won't.
    async fn take_over(&self, takeover: &Takeover, cluster: Fingerprint) -> Outcome {
        // What it says is not shown before its turn, but looked at here.
        let aside = Members::default();
        let shown = aside.join(&self.name, &self.source, self.wanted.options.clone());
        debug_assert!(shown.is_some(), "there are no others");
        let status = MemberStatus::of_second(&self.name, &takeover.members, &aside);
        let voices = Voices {
            before: takeover.voice.clone(),
            after: status.voice(),
        };
        let known = takeover.members.get(&self.name);
        let candidate = Arc::new(Candidate::new(
            Gate {
                inner: Arc::clone(&takeover.sink),
                turn: takeover.turn.clone(),
                reader: takeover.number,
            },
            voices.clone(),
            known.map(|report| report.counts).unwrap_or_default(),
            takeover.doubted.clone(),
        ));
        let cancel = takeover.cancel.child_token();
        let guard = cancel.clone().drop_guard();
        let reading = read_member(
            self.name.clone(),
            self.source.clone(),
            Arc::clone(&candidate) as Arc<dyn EventSink>,
            status,
            cancel,
        );
        let task = tokio::spawn(reading);
        let mut progress = candidate.progress();
        let why = tokio::select! {
            () = settled(&mut progress) => None,
            why = self.fails(&aside) => Some(why),
            () = self.hurry.notified() => None,
        };
        match candidate.give_up() {
            Progress::TookOver => Outcome::TookOver(NewReader {
                number: takeover.number,
                cluster,
                voice: voices.after,
                cancel: guard,
                task,
            }),
            Progress::Doubtful(sizes) => Outcome::Doubtful(sizes),
            Progress::Listing | Progress::GaveUp => match why {
                Some(why) => Outcome::Failed(Failure::Listing(why)),
                None => Outcome::Superseded,
            },
        }
    }

    /// Returns when the new reader fails, or takes too long, and tells why.
    async fn fails(&self, aside: &Members) -> String {
        let begun = tokio::time::Instant::now();
        let mut failing = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let report = aside.get(&self.name);
            let why = report.and_then(|report| match report.state {
                ref state if state.is_reading() => None,
                MemberState::Connecting { reason, .. } => Some(reason),
                _ => None,
            });
            match why {
                Some(why) => {
                    let since = *failing.get_or_insert_with(tokio::time::Instant::now);
                    if since.elapsed() >= FAILING {
                        return why;
                    }
                }
                None => failing = None,
            }
            if begun.elapsed() >= LISTS {
                return format!("it did not list everything within {} s", LISTS.as_secs());
            }
        }
    }
}

async fn settled(progress: &mut watch::Receiver<Progress>) {
    // The sender lives as long as the candidate, which outlives this.
    let _ = progress.wait_for(|progress| *progress != Progress::Listing).await;
}

/// What a failure says of credentials.
pub(super) fn verdict(failure: &Failure) -> Verdict {
    let message = failure.to_string();
    match failure {
        Failure::Config(_) => Verdict::no(Reason::InvalidKubeconfig, message),
        Failure::Unauthorized(_) => Verdict::no(Reason::Unauthorized, message),
        Failure::Untrusted(_) => Verdict::no(Reason::ServerNotTrusted, message),
        Failure::Forbidden { .. } => Verdict::no(Reason::Forbidden, message),
        _ => Verdict::unknown(Reason::ServerUnreachable, message),
    }
}
