//! The open streams, for people: who is connected, what each holds, and how far behind it is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::node::ProxyNode;
use super::secrets::{Everything, Shelf};
use super::session::{
    Dialect, Effect, Request, ResourceStatus, Response, Session, SessionError, TypeStatus, TypeUrl, Verdict,
};
use crate::cache::{Changes, StreamId, Subscriber};
use crate::identity::SpiffeId;
use crate::model::Standpoint;
use crate::resources::ResourceType;

/// How much is told of each stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Counts and versions per type.
    Summary,
    /// Also each resource: may be thousands per stream.
    Resources,
}

/// One type of one stream.
#[derive(Debug, Clone)]
pub struct TypeInfo {
    /// What the session knows.
    pub status: TypeStatus,
    /// How long the answer in flight has waited for its ACK or NACK: how far the proxy is behind.
    pub in_flight_for: Option<Duration>,
    /// Each resource, by name; empty in a summary.
    pub resources: Vec<ResourceStatus>,
}

/// One open stream.
#[derive(Debug, Clone)]
pub struct StreamInfo {
    /// Identifies it within this process.
    pub id: StreamId,
    /// Who is connected, by its own word.
    pub node: Arc<ProxyNode>,
    /// Where it stands now.
    pub standpoint: Standpoint,
    /// How it speaks.
    pub dialect: Dialect,
    /// Its address; none for a Unix socket.
    pub peer: Option<SocketAddr>,
    /// Since when.
    pub connected_at: SystemTime,
    /// What it asked for, in sending order.
    pub types: Vec<TypeInfo>,
}

impl StreamInfo {
    /// Answers sent, over all types.
    #[must_use]
    pub fn pushes(&self) -> u64 {
        self.types.iter().map(|info| info.status.pushes).sum()
    }

    /// Answers taken, over all types.
    #[must_use]
    pub fn acks(&self) -> u64 {
        self.types.iter().map(|info| info.status.acks).sum()
    }

    /// Answers refused, over all types.
    #[must_use]
    pub fn nacks(&self) -> u64 {
        self.types.iter().map(|info| info.status.nacks).sum()
    }
}

/// The open streams of one server.
#[derive(Debug, Default)]
pub struct Streams {
    open: Mutex<BTreeMap<StreamId, Arc<Stream>>>,
}

impl Streams {
    /// All open streams, oldest first.
    #[must_use]
    pub fn list(&self, detail: Detail) -> Vec<StreamInfo> {
        self.select(detail, |_| true)
    }

    /// The open streams of one proxy, by its node id; several while it reconnects.
    #[must_use]
    pub fn get(&self, node_id: &str, detail: Detail) -> Vec<StreamInfo> {
        self.select(detail, |node| *node.id == *node_id)
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.open).len()
    }

    /// True when none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn select(&self, detail: Detail, wanted: impl Fn(&ProxyNode) -> bool) -> Vec<StreamInfo> {
        // The streams are looked at one by one outside of the lock: new ones need not wait for it.
        let open = lock(&self.open);
        let some = open.values().filter(|stream| wanted(&stream.node));
        let some: Vec<_> = some.cloned().collect();
        drop(open);
        some.iter().map(|stream| stream.info(detail)).collect()
    }

    pub(super) fn open(self: &Arc<Self>, stream: Stream) -> OpenStream {
        let stream = Arc::new(stream);
        lock(&self.open).insert(stream.subscriber.id(), Arc::clone(&stream));
        OpenStream {
            streams: Arc::clone(self),
            stream,
        }
    }
}

/// A stream in the list of open ones; dropping it takes it out.
#[derive(Debug)]
pub(super) struct OpenStream {
    streams: Arc<Streams>,
    stream: Arc<Stream>,
}

impl std::ops::Deref for OpenStream {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        &self.stream
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        lock(&self.streams.open).remove(&self.stream.subscriber.id());
    }
}

/// One open stream: its session, which only its task changes and people look at.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) node: Arc<ProxyNode>,
    /// Who is at the other end, where that is proven.
    pub(super) id: Option<SpiffeId>,
    pub(super) subscriber: Arc<Subscriber>,
    pub(super) shelf: Shelf,
    peer: Option<SocketAddr>,
    connected_at: SystemTime,
    live: Mutex<Live>,
}

#[derive(Debug)]
struct Live {
    session: Session,
    /// When the answer in flight of each type was sent.
    in_flight: [Option<Instant>; ResourceType::ALL.len()],
}

impl Stream {
    pub(super) fn new(
        node: ProxyNode,
        id: Option<SpiffeId>,
        subscriber: Arc<Subscriber>,
        peer: Option<SocketAddr>,
        session: Session,
    ) -> Self {
        Self {
            node: Arc::new(node),
            id,
            subscriber,
            shelf: Shelf::default(),
            peer,
            connected_at: SystemTime::now(),
            live: Mutex::new(Live {
                session,
                in_flight: [None; ResourceType::ALL.len()],
            }),
        }
    }

    /// Takes a request; with it comes how long the answer that it settles was in flight.
    pub(super) fn on_request(&self, request: Request) -> Result<(Effect, Option<Duration>), SessionError> {
        let mut live = lock(&self.live);
        let effect = live.session.on_request(request)?;
        let after = effect.verdict.and_then(|verdict| {
            let (Verdict::Acked(kind) | Verdict::Nacked(kind)) = verdict;
            live.in_flight[kind as usize].take()
        });
        Ok((effect, after.map(|since| since.elapsed())))
    }

    pub(super) fn on_changes(&self, changes: &Changes) {
        lock(&self.live).session.on_changes(changes);
    }

    /// The next answer that is due; it counts as sent from now on.
    pub(super) fn next(&self) -> Option<Response> {
        let mut live = lock(&self.live);
        let everything = Everything {
            subscriber: &self.subscriber,
            shelf: &self.shelf,
        };
        let response = live.session.next(&everything)?;
        if let TypeUrl::Served(kind) = response.type_url {
            live.in_flight[kind as usize] = Some(Instant::now());
        }
        Some(response)
    }

    /// Whether something that is due waits for the ACK of another type. To be asked when no answer is due.
    pub(super) fn keeps_back(&self) -> bool {
        lock(&self.live).session.keeps_back()
    }

    /// Lets all that waits so go.
    pub(super) fn wait_no_longer(&self) {
        lock(&self.live).session.wait_no_longer();
    }

    /// Since when the oldest answer in flight has waited.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        lock(&self.live).in_flight.iter().flatten().min().copied()
    }

    /// The last refusal of a type, for the log.
    pub(super) fn last_nack(&self, kind: ResourceType) -> Option<super::Nack> {
        let live = lock(&self.live);
        let mut all = live.session.status();
        all.find(|status| status.kind == kind)?.last_nack
    }

    fn info(&self, detail: Detail) -> StreamInfo {
        let live = lock(&self.live);
        let types = live.session.status().map(|status| TypeInfo {
            in_flight_for: live.in_flight[status.kind as usize].map(|since| since.elapsed()),
            resources: match detail {
                Detail::Summary => Vec::new(),
                Detail::Resources => live.session.resources(status.kind),
            },
            status,
        });
        StreamInfo {
            id: self.subscriber.id(),
            node: Arc::clone(&self.node),
            standpoint: self.subscriber.standpoint(),
            dialect: live.session.dialect(),
            peer: self.peer,
            connected_at: self.connected_at,
            types: types.collect(),
        }
    }
}

/// Locks, and goes on after another thread's panic: a session that it left half-way belongs to a stream that ends.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
