//! Members that join and leave at run time: kubeconfigs in Secrets labelled `istio/multiCluster: "true"`, as Istio has them.
//!
//! A key that comes is a member that joins, one that goes is a member that leaves. A value that changes is a rotation: the new
//! kubeconfig is tried first, and must lead to the same cluster; until it does, the old one stays in use. What is known of
//! the member is kept all the while.

mod running;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::kubernetes;
use super::{MemberOptions, MemberSource, Members, Problem, SecretText};
use crate::lifecycle::Backoff;
use crate::model::{ClusterId, ObjectName};
use crate::table::EventSink;
use running::Running;
use wanted::{SecretRecord, wanted};

const SELECTOR: &str = "istio/multiCluster=true";
const NETWORK: &str = "topology.istio.io/network";

/// Where Secrets with members are, and what is known of their members already.
#[derive(Debug)]
pub struct SecretMembers {
    /// The cluster that the Secrets are in.
    pub source: MemberSource,
    /// Their namespace.
    pub namespace: String,
    /// How members are treated whose Secret says nothing else.
    pub options: MemberOptions,
    /// Members that are served as they were known before the start; those without a Secret leave once the Secrets are listed.
    pub known: BTreeSet<ClusterId>,
    /// Told the members of the first list.
    pub listed: oneshot::Sender<Vec<ClusterId>>,
}

/// Reads the members of Secrets until cancelled. Whatever fails is retried for ever and shown in `members`; members stay while
/// the Secrets can't be read.
pub async fn run_secret_members(
    place: SecretMembers,
    sink: Arc<dyn EventSink>,
    members: Members,
    cancel: CancellationToken,
) {
    let shown = PathBuf::from(format!("Secrets in {}", place.namespace));
    let mut secrets = Secrets {
        running: Running::new(sink, members.clone(), cancel.clone(), place.options, place.known),
        listed: Some(place.listed),
        held: BTreeMap::new(),
        listing: BTreeMap::new(),
        unreadable: None,
        wrong: Vec::new(),
        members,
        shown,
    };
    let mut backoff = Backoff::new(std::time::Duration::from_secs(1), std::time::Duration::from_secs(30));
    let reading = async {
        loop {
            match kubernetes::connect(&place.source).await {
                Ok(client) => {
                    let api: Api<Secret> = Api::namespaced(client, &place.namespace);
                    let events = watcher(api, watcher::Config::default().labels(SELECTOR)).default_backoff();
                    secrets.follow(std::pin::pin!(events)).await;
                }
                Err(failure) => secrets.unreadable(&failure),
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    };
    cancel.run_until_cancelled(reading).await;
    secrets.running.end().await;
}

struct Secrets {
    running: Running,
    /// Taken with the first list.
    listed: Option<oneshot::Sender<Vec<ClusterId>>>,
    held: BTreeMap<ObjectName, SecretRecord>,
    /// A list that is being read.
    listing: BTreeMap<ObjectName, SecretRecord>,
    /// Why the Secrets can't be read at present.
    unreadable: Option<Problem>,
    /// What is wrong in them.
    wrong: Vec<Problem>,
    members: Members,
    /// What problems are filed under.
    shown: PathBuf,
}

impl Secrets {
    async fn follow<E>(&mut self, mut events: E)
    where
        E: Stream<Item = Result<watcher::Event<Secret>, watcher::Error>> + Unpin,
    {
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = self.running.tried() => {
                    self.show();
                    continue;
                }
            };
            match event {
                None => return,
                Some(Ok(event)) => self.take(event).await,
                Some(Err(error)) => self.unreadable(&error),
            }
        }
    }

    async fn take(&mut self, event: watcher::Event<Secret>) {
        match event {
            watcher::Event::Init => {
                self.listing.clear();
                return;
            }
            watcher::Event::InitApply(secret) => {
                let (name, record) = record(secret);
                self.listing.insert(name, record);
                return;
            }
            watcher::Event::InitDone => self.held = std::mem::take(&mut self.listing),
            watcher::Event::Apply(secret) => {
                let (name, record) = record(secret);
                self.held.insert(name, record);
            }
            watcher::Event::Delete(secret) => {
                self.held.remove(&record(secret).0);
            }
        }
        self.unreadable = None;
        let (wanted, problems) = wanted(&self.held);
        let names: Vec<_> = wanted.keys().cloned().collect();
        self.running.want(wanted).await;
        if let Some(listed) = self.listed.take() {
            // Whoever waited may have given up.
            let _ = listed.send(names);
        }
        self.wrong = problems;
        self.show();
    }

    fn unreadable(&mut self, error: &impl std::fmt::Display) {
        let problem = Problem::new(
            self.shown.display().to_string(),
            format!("they can't be read: {error}; members that are known stay"),
            "let this process get, list and watch Secrets there",
        );
        self.unreadable = Some(problem);
        self.show();
    }

    fn show(&self) {
        let problems = self.unreadable.iter().chain(&self.wrong).chain(self.running.problems());
        self.members.set_problems(&self.shown, problems.cloned().collect());
    }
}

fn record(secret: Secret) -> (ObjectName, SecretRecord) {
    let name = ObjectName::new(&secret.namespace().unwrap_or_default(), &secret.name_any());
    let network = secret
        .annotations()
        .get(NETWORK)
        .or_else(|| secret.labels().get(NETWORK))
        .cloned();
    let created = secret
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0.as_second());
    let data = secret.data.unwrap_or_default().into_iter();
    let data = data.map(|(key, value)| (key, std::str::from_utf8(&value.0).ok().map(SecretText::new)));
    (
        name,
        SecretRecord {
            created,
            network,
            data: data.collect(),
        },
    )
}
