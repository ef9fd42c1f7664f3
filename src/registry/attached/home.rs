//! The watches of the home cluster: labelled Secrets, `Member` objects, and Secrets that these name.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::time::timeout;
use tokio_stream::StreamMap;

use super::absence::Groups;
use crate::crd;

const SELECTOR: &str = "istio/multiCluster=true";
/// How long the server has to tell its groups.
const ANSWER: Duration = Duration::from_secs(10);

type Events<K> = Pin<Box<dyn Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send>>;

/// What one of the watches tells.
pub(super) enum Heard {
    /// Of labelled Secrets.
    Secrets(Result<watcher::Event<Secret>, watcher::Error>),
    /// Of `Member` objects.
    Members(Result<watcher::Event<DynamicObject>, watcher::Error>),
    /// The server says 404 of `Member` objects, and this of its groups.
    NoMembers(Groups),
    /// Of a Secret that a `Member` object names.
    Named(Arc<str>, Result<watcher::Event<Secret>, watcher::Error>),
}

/// The watches.
pub(super) struct Watches {
    client: Client,
    namespace: String,
    secrets: Events<Secret>,
    members: Pin<Box<dyn Stream<Item = Heard> + Send>>,
    named: StreamMap<Arc<str>, Events<Secret>>,
}

impl Watches {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let members: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &member_resource());
        Self {
            secrets: watch(secrets, watcher::Config::default().labels(SELECTOR)),
            members: members_or_groups(watch(members, watcher::Config::default()), client.clone()),
            named: StreamMap::new(),
            client,
            namespace: namespace.to_owned(),
        }
    }

    /// Watches exactly these Secrets beside those with the label.
    pub(super) fn name(&mut self, names: &BTreeSet<Arc<str>>) {
        let gone: Vec<_> = self
            .named
            .keys()
            .filter(|name| !names.contains(*name))
            .cloned()
            .collect();
        for name in gone {
            self.named.remove(&name);
        }
        for name in names {
            if !self.named.contains_key(name) {
                let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
                let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
                self.named.insert(Arc::clone(name), watch(secrets, only));
            }
        }
    }

    /// The next word; `None` once a watch has ended. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        tokio::select! {
            event = self.secrets.next() => event.map(Heard::Secrets),
            event = self.members.next() => event,
            Some((name, event)) = self.named.next() => Some(Heard::Named(name, event)),
        }
    }
}

/// How `Member` objects are asked for.
#[must_use]
pub fn member_resource() -> ApiResource {
    let kind = GroupVersionKind::gvk(crd::GROUP, crd::VERSION, crd::MEMBER_KIND);
    ApiResource::from_gvk_with_plural(&kind, crd::MEMBER_PLURAL)
}

fn watch<K>(api: Api<K>, config: watcher::Config) -> Events<K>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    watcher(api, config).default_backoff().boxed()
}

/// The words of a watch, with what the server says of its groups in place of each 404.
fn members_or_groups(events: Events<DynamicObject>, client: Client) -> Pin<Box<dyn Stream<Item = Heard> + Send>> {
    let heard = events.then(move |event| {
        let client = client.clone();
        async move {
            match event {
                Err(error) if code(&error) == Some(404) => Heard::NoMembers(groups(&client).await),
                event => Heard::Members(event),
            }
        }
    });
    heard.boxed()
}

async fn groups(client: &Client) -> Groups {
    match timeout(ANSWER, client.list_api_groups()).await {
        Ok(Ok(list)) if list.groups.iter().any(|group| group.name == crd::GROUP) => Groups::WithOurs,
        Ok(Ok(_)) => Groups::WithoutOurs,
        Ok(Err(error)) => Groups::Untold(error.to_string()),
        Err(_) => Groups::Untold("it does not answer in time".to_owned()),
    }
}

/// What a watch of one kind adds up to. A list counts once it is complete.
pub(super) struct Kept<N, T> {
    pub(super) held: BTreeMap<N, T>,
    listing: BTreeMap<N, T>,
}

impl<N: Ord, T> Default for Kept<N, T> {
    fn default() -> Self {
        Self {
            held: BTreeMap::new(),
            listing: BTreeMap::new(),
        }
    }
}

/// What an event meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meant {
    /// A list is under way.
    Listing,
    /// A list is complete, or an object is another now.
    News,
}

impl<N: Ord, T> Kept<N, T> {
    pub(super) fn take<K>(&mut self, event: watcher::Event<K>, record: impl Fn(K) -> (N, T)) -> Meant {
        match event {
            watcher::Event::Init => {
                self.listing.clear();
                return Meant::Listing;
            }
            watcher::Event::InitApply(object) => {
                let (name, record) = record(object);
                self.listing.insert(name, record);
                return Meant::Listing;
            }
            watcher::Event::InitDone => self.held = std::mem::take(&mut self.listing),
            watcher::Event::Apply(object) => {
                let (name, record) = record(object);
                self.held.insert(name, record);
            }
            watcher::Event::Delete(object) => {
                self.held.remove(&record(object).0);
            }
        }
        Meant::News
    }
}

/// The code that the server refused a watch with.
pub(super) fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}
