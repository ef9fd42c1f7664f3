//! The members of Secrets that are being read, and the new kubeconfigs that are being tried.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::super::kubernetes::{self, Failure};
use super::super::run::read_member;
use super::super::{MemberOptions, MemberSource, Members, Problem};
use super::wanted::Wanted;
use crate::lifecycle::Backoff;
use crate::model::ClusterId;
use crate::table::{EventSink, RegistryChange, RegistryEvent};

/// A kubeconfig that does not work is tried again this soon at first, and at least this often.
const TRY_AGAIN: Duration = Duration::from_secs(2);
const TRY_AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// One member that is being read.
struct Reader {
    /// What it is read by.
    wanted: Wanted,
    cancel: CancellationToken,
    task: JoinHandle<()>,
    /// Which cluster it is, once that is known.
    cluster: Option<String>,
}

/// What became of trying a kubeconfig.
struct Trial {
    name: ClusterId,
    wanted: Wanted,
    backoff: Backoff,
    /// Which cluster it leads to.
    outcome: Result<String, Failure>,
}

pub(super) struct Running {
    sink: Arc<dyn EventSink>,
    members: Members,
    cancel: CancellationToken,
    /// How members are treated, but for their network.
    options: MemberOptions,
    /// Members that are served as they were known before the start, until the first list tells which of them are left.
    known: BTreeSet<ClusterId>,
    readers: BTreeMap<ClusterId, Reader>,
    /// What the Secrets ask for.
    wanted: BTreeMap<ClusterId, Wanted>,
    trials: JoinSet<Trial>,
    /// What keeps a member from being read as its Secret asks.
    problems: BTreeMap<ClusterId, Problem>,
}

impl Running {
    pub(super) fn new(
        sink: Arc<dyn EventSink>,
        members: Members,
        cancel: CancellationToken,
        options: MemberOptions,
        known: BTreeSet<ClusterId>,
    ) -> Self {
        Self {
            sink,
            members,
            cancel,
            options,
            known,
            readers: BTreeMap::new(),
            wanted: BTreeMap::new(),
            trials: JoinSet::new(),
            problems: BTreeMap::new(),
        }
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.values()
    }

    /// Makes the members that are read those that are wanted.
    pub(super) async fn want(&mut self, wanted: BTreeMap<ClusterId, Wanted>) {
        let gone: Vec<_> = self
            .readers
            .keys()
            .filter(|name| !wanted.contains_key(name))
            .cloned()
            .collect();
        for name in gone {
            if let Some(reader) = self.readers.remove(&name) {
                reader.cancel.cancel();
                // Its last word must come before the one that it left.
                let _ = reader.task.await;
                self.leave(&name);
            }
        }
        for name in std::mem::take(&mut self.known) {
            if !wanted.contains_key(&name) {
                self.leave(&name);
            }
        }
        self.problems.retain(|name, _| wanted.contains_key(name));
        for (name, wanted) in &wanted {
            match self.readers.get(name) {
                None => self.join(name, wanted),
                Some(reader) if reader.wanted == *wanted => {
                    self.problems.remove(name);
                }
                Some(_) if self.wanted.get(name) == Some(wanted) => {}
                Some(_) => self.attempt(name.clone(), wanted.clone(), None),
            }
        }
        self.wanted = wanted;
    }

    /// Waits until something became of a kubeconfig that is being tried, and acts on it. Safe to drop and call again.
    pub(super) async fn tried(&mut self) {
        loop {
            match self.trials.join_next().await {
                Some(Ok(trial)) => return self.settle(trial),
                // It panicked, which the log tells; or was aborted at the end.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Waits until nothing is read any more; to be called once all is cancelled.
    pub(super) async fn end(&mut self) {
        self.trials.shutdown().await;
        for (_, reader) in std::mem::take(&mut self.readers) {
            let _ = reader.task.await;
        }
    }

    fn join(&mut self, name: &ClusterId, wanted: &Wanted) {
        let source = source(wanted);
        let Some(status) = self.members.join(name, &source, self.options(wanted)) else {
            let secret = &wanted.secret;
            let problem = Problem::new(
                format!("Secret {secret}"),
                format!("member {name} is already one of the settings; this one is not read"),
                "name the key otherwise, or take the member out of the settings",
            );
            self.problems.insert(name.clone(), problem);
            return;
        };
        let cancel = self.cancel.child_token();
        let sink = Arc::clone(&self.sink);
        let task = tokio::spawn(read_member(name.clone(), source, sink, status, cancel.clone()));
        let reader = Reader {
            wanted: wanted.clone(),
            cancel,
            task,
            cluster: None,
        };
        self.readers.insert(name.clone(), reader);
        self.problems.remove(name);
        // To know it again when its kubeconfig changes.
        self.attempt(name.clone(), wanted.clone(), None);
    }

    fn options(&self, wanted: &Wanted) -> MemberOptions {
        MemberOptions {
            network: wanted.network.clone(),
            ..self.options.clone()
        }
    }

    fn leave(&self, name: &ClusterId) {
        tracing::info!(member = %name, "member left: its Secret no longer has it");
        self.sink.apply(RegistryEvent {
            member: name.clone(),
            change: RegistryChange::Left,
        });
        self.members.leave(name);
    }

    fn attempt(&mut self, name: ClusterId, wanted: Wanted, again: Option<Backoff>) {
        self.trials.spawn(async move {
            let mut backoff = match again {
                Some(mut backoff) => {
                    tokio::time::sleep(backoff.next_delay()).await;
                    backoff
                }
                None => Backoff::new(TRY_AGAIN, TRY_AGAIN_AT_MOST),
            };
            let outcome = kubernetes::identify(&source(&wanted)).await;
            if outcome.is_ok() {
                backoff.reset();
            }
            Trial {
                name,
                wanted,
                backoff,
                outcome,
            }
        });
    }

    fn settle(&mut self, trial: Trial) {
        let Trial {
            name,
            wanted,
            backoff,
            outcome,
        } = trial;
        let is_wanted = self.wanted.get(&name) == Some(&wanted);
        let Some(reader) = self.readers.get_mut(&name).filter(|_| is_wanted) else {
            return;
        };
        let in_use = reader.wanted == wanted;
        let refused = match outcome {
            Err(failure) => {
                self.attempt(name.clone(), wanted.clone(), Some(backoff));
                // One that is in use tells by itself how it fares.
                (!in_use).then(|| format!("its new kubeconfig does not work: {failure}"))
            }
            Ok(cluster) if in_use => {
                reader.cluster = Some(cluster);
                None
            }
            Ok(cluster) if reader.cluster.as_ref().is_some_and(|known| *known != cluster) => Some(
                "its new kubeconfig leads to another cluster: the UID of the namespace kube-system is not the same"
                    .to_owned(),
            ),
            Ok(cluster) => {
                self.rotate(&name, wanted, cluster);
                return;
            }
        };
        match refused {
            Some(why) => {
                let secret = &wanted.secret;
                let problem = Problem::new(
                    format!("Secret {secret}"),
                    format!("member {name}: {why}; the one before stays in use"),
                    "put a kubeconfig there that leads to the same cluster, or give another cluster a name of its own",
                );
                self.problems.insert(name, problem);
            }
            None if in_use => {
                self.problems.remove(&name);
            }
            None => {}
        }
    }

    /// Goes on with a kubeconfig that was tried. What is known of the member stays until the new reader has listed it anew.
    fn rotate(&mut self, name: &ClusterId, wanted: Wanted, cluster: String) {
        let Some(old) = self.readers.remove(name) else { return };
        tracing::info!(member = %name, secret = %wanted.secret, "going on with the new kubeconfig");
        old.cancel.cancel();
        let status = self.members.join_again(name, &source(&wanted), self.options(&wanted));
        let cancel = self.cancel.child_token();
        let reading = read_member(
            name.clone(),
            source(&wanted),
            Arc::clone(&self.sink),
            status,
            cancel.clone(),
        );
        let task = tokio::spawn(async move {
            let _ = old.task.await;
            reading.await;
        });
        self.readers.insert(
            name.clone(),
            Reader {
                wanted,
                cancel,
                task,
                cluster: Some(cluster),
            },
        );
        self.problems.remove(name);
    }
}

fn source(wanted: &Wanted) -> MemberSource {
    MemberSource::Secret {
        secret: wanted.secret.clone(),
        kubeconfig: wanted.kubeconfig.clone(),
    }
}
