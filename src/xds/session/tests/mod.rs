//! The rules of the protocol, message by message. Each test is named by the rule that it holds the session to.

mod acks;
mod deltas;
mod fuzz;
mod model;
mod subscribing;
mod warming;

use std::sync::Arc;

use super::*;
use crate::resources::{Resource, Version};
use ResourceType::{Cluster as CDS, ClusterLoadAssignment as EDS, Listener as LDS, RouteConfiguration as RDS};

/// A world that a test changes by hand.
#[derive(Debug, Default)]
struct World(BTreeMap<(ResourceType, Arc<str>), Arc<Resource>>);

impl Lookup for World {
    fn get(&self, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        self.0.get(&(kind, name.into())).cloned()
    }

    fn all(&self, kind: ResourceType) -> Vec<Arc<Resource>> {
        let all = self.0.iter().filter(|((other, _), _)| *other == kind);
        all.map(|(_, resource)| Arc::clone(resource)).collect()
    }
}

/// Content `to a b` names these clusters. A listener names routes too, unless its content is `bare`.
fn resource(kind: ResourceType, name: &str, content: &str) -> Resource {
    let clusters = content.strip_prefix("to ").into_iter().flat_map(str::split_whitespace);
    Resource {
        name: name.into(),
        version: Version::of(&(kind, name, content)),
        any: content.as_bytes().to_vec().into(),
        clusters: clusters.map(Arc::from).collect(),
        asks_for_routes: kind == LDS && content != "bare",
    }
}

/// An answer, short enough to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Got {
    url: String,
    nonce: String,
    version: Version,
    /// `name=content`
    resources: Vec<String>,
    removed: Vec<String>,
}

/// A session, the world that it looks at, and what its client last asked for.
#[derive(Debug)]
struct Bench {
    session: Session,
    world: World,
    names: BTreeMap<ResourceType, Vec<String>>,
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Bench {
    fn new(dialect: Dialect) -> Self {
        Self::of(dialect, Role::Sidecar)
    }

    fn of(dialect: Dialect, role: Role) -> Self {
        Self {
            session: Session::new(dialect, role, 1000),
            world: World::default(),
            names: BTreeMap::new(),
        }
    }

    fn sotw() -> Self {
        Self::new(Dialect::StateOfTheWorld)
    }

    fn delta() -> Self {
        Self::new(Dialect::Delta)
    }

    /// Changes the world and tells the session.
    fn put(&mut self, kind: ResourceType, name: &str, content: &str) {
        let resource = Arc::new(resource(kind, name, content));
        self.world.0.insert((kind, name.into()), resource);
        self.touch(kind, name);
    }

    fn delete(&mut self, kind: ResourceType, name: &str) {
        self.world.0.remove(&(kind, name.into()));
        self.touch(kind, name);
    }

    fn touch(&mut self, kind: ResourceType, name: &str) {
        let names = BTreeSet::from([Arc::from(name)]);
        self.session.on_changes(&BTreeMap::from([(kind, names)]));
    }

    fn request(&mut self, url: &str, nonce: &str, error: Option<&str>, body: Body) -> Effect {
        let error = error.map(|message| Rejection {
            code: 13,
            message: message.to_owned(),
        });
        let request = Request {
            type_url: url.to_owned(),
            nonce: nonce.to_owned(),
            error,
            body,
        };
        self.session.on_request(request).unwrap()
    }

    /// A state-of-the-world request.
    fn ask(&mut self, kind: ResourceType, nonce: &str, names: &[&str]) -> Effect {
        self.names.insert(kind, owned(names));
        self.request(kind.url(), nonce, None, Body::Names(owned(names)))
    }

    /// A delta request.
    fn adjust(&mut self, kind: ResourceType, nonce: &str, add: &[&str], drop: &[&str]) -> Effect {
        let body = Body::Delta {
            subscribe: owned(add),
            unsubscribe: owned(drop),
            initial: BTreeMap::new(),
        };
        self.request(kind.url(), nonce, None, body)
    }

    /// The first delta request of a client that held resources before: `(name, content)`.
    fn resume(&mut self, kind: ResourceType, add: &[&str], held: &[(&str, &str)]) -> Effect {
        let claim = |(name, content): &(&str, &str)| {
            let version = resource(kind, name, content).version.to_string();
            ((*name).to_owned(), version)
        };
        let body = Body::Delta {
            subscribe: owned(add),
            unsubscribe: Vec::new(),
            initial: held.iter().map(claim).collect(),
        };
        self.request(kind.url(), "", None, body)
    }

    fn next(&mut self) -> Option<Got> {
        let response = self.session.next(&self.world)?;
        let text = |resource: &Arc<Resource>| {
            let content = String::from_utf8_lossy(&resource.any);
            let empty = empty_any(&resource.name) == resource.any;
            let content = if empty { "EMPTY".into() } else { content };
            format!("{}={content}", resource.name)
        };
        let names: Vec<_> = response.resources.iter().map(|r| &r.name).collect();
        let unique: BTreeSet<_> = names.iter().copied().chain(&response.removed).collect();
        assert_eq!(
            unique.len(),
            names.len() + response.removed.len(),
            "R54: a name is in an answer once"
        );
        Some(Got {
            url: response.type_url.as_str().to_owned(),
            nonce: response.nonce,
            version: response.version,
            resources: response.resources.iter().map(text).collect(),
            removed: response.removed.iter().map(|n| n.to_string()).collect(),
        })
    }

    /// The next answer, which must be of this type.
    fn expect(&mut self, kind: ResourceType) -> Got {
        let got = self.next().expect("an answer is due");
        assert_eq!(got.url, kind.url());
        got
    }

    /// Takes the next answer, which must say just this, and acknowledges it.
    fn sent(&mut self, kind: ResourceType, resources: &[&str], removed: &[&str]) -> Got {
        let got = self.expect(kind);
        assert_eq!((&got.resources, &got.removed), (&owned(resources), &owned(removed)));
        self.ack(kind, &got);
        got
    }

    #[track_caller]
    fn silent(&mut self) {
        assert_eq!(self.next(), None);
    }

    fn reply(&mut self, kind: ResourceType, got: &Got, error: Option<&str>) -> Effect {
        let body = match self.session.dialect() {
            Dialect::StateOfTheWorld => Body::Names(self.names.get(&kind).cloned().unwrap_or_default()),
            Dialect::Delta => Body::Delta {
                subscribe: Vec::new(),
                unsubscribe: Vec::new(),
                initial: BTreeMap::new(),
            },
        };
        self.request(kind.url(), &got.nonce, error, body)
    }

    fn ack(&mut self, kind: ResourceType, got: &Got) {
        let effect = self.reply(kind, got, None);
        assert_eq!(effect.verdict, Some(Verdict::Acked(kind)));
    }

    fn nack(&mut self, kind: ResourceType, got: &Got) {
        let effect = self.reply(kind, got, Some("bad"));
        assert_eq!(effect.verdict, Some(Verdict::Nacked(kind)));
    }

    fn status(&self, kind: ResourceType) -> TypeStatus {
        let mut all = self.session.status();
        all.find(|status| status.kind == kind).unwrap()
    }
}

fn empty_any(name: &str) -> bytes::Bytes {
    crate::resources::empty_assignment(name.into()).any
}

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}
