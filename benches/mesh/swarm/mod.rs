//! The swarm: proxies that speak ADS as Envoys do, each over a connection of its own, in one process and on one clock.

mod client;
mod node;
mod session;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::clock;
use crate::world::Size;
pub(crate) use wire::Dialect;

/// How often what the proxies note is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Where proxies stand.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) network: String,
    pub(crate) member: String,
}

/// Looks at each assignment that a proxy gets: its index, the message, and when.
pub(crate) type Watch = Arc<dyn Fn(usize, &[u8], u64) + Send + Sync>;

/// What a swarm is to do.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) dialect: Dialect,
    pub(crate) clients: usize,
    /// Proxy `i` stands in group `i` modulo their number.
    pub(crate) groups: Vec<Group>,
    /// The services that proxies watch: all where there are none here, else one of these lists each.
    pub(crate) scopes: Vec<Vec<Arc<str>>>,
    /// Whether what breaks the protocol is an error; the floor breaks it.
    pub(crate) strict: bool,
    /// Whether proxies come back when their stream ends.
    pub(crate) reconnect: bool,
    /// How many connect at a time.
    pub(crate) at_once: usize,
    pub(crate) watch: Option<Watch>,
    /// Every so many proxies one stops to read once it is in sync, and keeps its connection.
    pub(crate) slow: Option<usize>,
}

impl Plan {
    /// Proxies on every network of a mesh, watching everything.
    pub(crate) fn new(address: SocketAddr, size: &Size, clients: usize) -> Self {
        let groups = (0..size.networks).map(|network| Group {
            network: Size::network_name(network),
            member: Size::member_name(size.member_on(network)),
        });
        Self {
            address,
            tls: None,
            dialect: Dialect::Delta,
            clients,
            groups: groups.collect(),
            scopes: Vec::new(),
            strict: true,
            reconnect: false,
            at_once: 256,
            watch: None,
            slow: None,
        }
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// What is noted of one proxy. Times are the clock's; 0 is never.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// It began to connect.
    pub(crate) started: AtomicU64,
    /// It held everything that it asked for, on the present stream.
    pub(crate) in_sync: AtomicU64,
    /// First and last answer since the last [`Swarm::begin`].
    pub(crate) first: AtomicU64,
    pub(crate) last: AtomicU64,
    /// The last ACK was handed to the connection.
    pub(crate) acked: AtomicU64,
    /// Of all assignments held: equal where proxies hold the same.
    pub(crate) digest: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) messages: AtomicU64,
    pub(crate) resources: AtomicU64,
    /// Resources that were said to be gone.
    pub(crate) removals: AtomicU64,
}

struct Shared {
    plan: Plan,
    slots: Vec<Slot>,
    extensions: Vec<u8>,
    nothing: Arc<str>,
    texts: Mutex<HashMap<Box<[u8]>, Arc<str>>>,
    at_once: Semaphore,
    capturing: AtomicBool,
    captured: Mutex<BTreeMap<usize, Vec<Bytes>>>,
    problem: Mutex<Option<String>>,
    disconnects: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn group_of(&self, index: usize) -> usize {
        index % self.plan.groups.len()
    }

    /// The list of services in a proxy's scope.
    fn scope_of(&self, index: usize) -> usize {
        // Neighbours of one group differ.
        (index / self.plan.groups.len()) % self.plan.scopes.len().max(1)
    }

    fn scope(&self, index: usize) -> Option<&[Arc<str>]> {
        self.plan.scopes.get(self.scope_of(index)).map(Vec::as_slice)
    }

    fn intern(&self, text: &[u8]) -> Arc<str> {
        let mut texts = lock(&self.texts);
        if let Some(known) = texts.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = String::from_utf8_lossy(text).into();
        texts.insert(text.into(), Arc::clone(&new));
        new
    }

    /// Keeps what the first proxy of each group is sent.
    fn capture(&self, index: usize, message: &Bytes) {
        if index < self.plan.groups.len() && self.capturing.load(Ordering::Relaxed) {
            let mut captured = lock(&self.captured);
            captured.entry(index).or_default().push(Bytes::copy_from_slice(message));
        }
    }

    fn violated(&self, index: usize, violation: &anyhow::Error) {
        lock(&self.problem).get_or_insert_with(|| format!("proxy {index}: {violation:#}"));
    }

    /// Notes the end of a stream; true when that is the end of the proxy too.
    fn note(&self, index: usize, error: &anyhow::Error, _was_in_sync: bool) -> bool {
        self.disconnects.fetch_add(1, Ordering::Relaxed);
        if !self.plan.reconnect {
            lock(&self.problem).get_or_insert_with(|| format!("proxy {index} was disconnected: {error:#}"));
        }
        !self.plan.reconnect || lock(&self.problem).is_some()
    }

    fn dies(&self, index: usize) -> bool {
        self.plan.slow.is_some_and(|every| index % every == every - 1)
            && self.slots[index].in_sync.load(Ordering::Relaxed) != 0
    }
}

/// A running swarm; its proxies hang up when it is dropped.
pub(crate) struct Swarm {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Swarm {
    /// Starts all proxies.
    pub(crate) fn start(plan: Plan) -> Self {
        let shared = Arc::new(Shared {
            slots: (0..plan.clients).map(|_| Slot::default()).collect(),
            extensions: node::extensions(),
            nothing: "".into(),
            texts: Mutex::default(),
            at_once: Semaphore::new(plan.at_once),
            capturing: AtomicBool::new(true),
            captured: Mutex::default(),
            problem: Mutex::default(),
            disconnects: AtomicU64::new(0),
            plan,
        });
        let tasks = (0..shared.plan.clients).map(|index| tokio::spawn(client::run(Arc::clone(&shared), index)));
        Self {
            tasks: tasks.collect(),
            shared,
        }
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.shared.slots
    }

    /// Takes what the first proxy of each group was sent since the last call, as one piece each.
    pub(crate) fn captured(&self) -> Vec<Bytes> {
        let captured = std::mem::take(&mut *lock(&self.shared.captured));
        let groups = 0..self.shared.plan.groups.len().min(self.shared.plan.clients);
        groups
            .map(|group| captured.get(&group).map(|all| all.concat().into()).unwrap_or_default())
            .collect()
    }

    /// Whether [`Swarm::captured`] will have something.
    pub(crate) fn capture(&self, on: bool) {
        self.shared.capturing.store(on, Ordering::Relaxed);
        lock(&self.shared.captured).clear();
    }

    /// Forgets when the proxies were last told something; returns what each holds now.
    pub(crate) fn begin(&self) -> Vec<u64> {
        for slot in self.slots() {
            slot.first.store(0, Ordering::Relaxed);
        }
        self.digests()
    }

    pub(crate) fn digests(&self) -> Vec<u64> {
        self.slots()
            .iter()
            .map(|slot| slot.digest.load(Ordering::Relaxed))
            .collect()
    }

    /// Fails where a proxy saw the protocol broken, or was cut off for good.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match &*lock(&self.shared.problem) {
            Some(problem) => bail!("{problem}"),
            None => Ok(()),
        }
    }

    /// Fails where proxies that must hold the same do not.
    pub(crate) fn agree(&self) -> anyhow::Result<()> {
        self.check()?;
        let mut classes: BTreeMap<(usize, usize), (u64, usize)> = BTreeMap::new();
        for (index, digest) in self.digests().into_iter().enumerate() {
            let class = (self.shared.group_of(index), self.shared.scope_of(index));
            let (first, whose) = *classes.entry(class).or_insert((digest, index));
            if first != digest {
                bail!("proxies {whose} and {index} are of one view and hold different endpoints");
            }
        }
        Ok(())
    }

    /// Waits until something holds.
    pub(crate) async fn until(
        &self,
        what: &str,
        deadline: Duration,
        holds: impl Fn(&[Slot]) -> bool,
    ) -> anyhow::Result<()> {
        let end = clock::now() + u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX / 2);
        // Looking at thousands of proxies costs time that they need.
        let pause = LOOK * u32::try_from(1 + self.shared.plan.clients / 1000).unwrap_or(1);
        while !holds(self.slots()) {
            self.check()?;
            if clock::now() > end {
                bail!("waited {deadline:?} for {what}");
            }
            tokio::time::sleep(pause).await;
        }
        self.check()
    }

    /// Waits until every proxy holds what it asked for.
    pub(crate) async fn in_sync(&self, deadline: Duration) -> anyhow::Result<()> {
        self.until("all proxies to be in sync", deadline, |slots| {
            slots.iter().all(|slot| slot.in_sync.load(Ordering::Relaxed) != 0)
        })
        .await
    }

    /// Waits until every proxy holds something else than before, and those of one view the same.
    pub(crate) async fn changed(&self, before: &[u64], deadline: Duration) -> anyhow::Result<()> {
        self.changed_in(before, deadline, |_| true).await
    }

    /// The same for the proxies of some groups.
    pub(crate) async fn changed_in(
        &self,
        before: &[u64],
        deadline: Duration,
        concerned: impl Fn(usize) -> bool,
    ) -> anyhow::Result<()> {
        self.until("a change to reach all proxies", deadline, |slots| {
            let mut now = slots.iter().zip(before).enumerate();
            let all = now.all(|(index, (slot, before))| {
                !concerned(self.shared.group_of(index)) || slot.digest.load(Ordering::Relaxed) != *before
            });
            all && self.agree().is_ok()
        })
        .await?;
        self.settle().await
    }

    /// The sum of something noted over all proxies of some groups.
    pub(crate) fn sum_in(&self, of: impl Fn(&Slot) -> &AtomicU64, concerned: impl Fn(usize) -> bool) -> u64 {
        let slots = self.slots().iter().enumerate();
        let some = slots.filter(|(index, _)| concerned(self.shared.group_of(*index)));
        some.map(|(_, slot)| of(slot).load(Ordering::Relaxed)).sum()
    }

    /// The same over all.
    pub(crate) fn sum(&self, of: impl Fn(&Slot) -> &AtomicU64) -> u64 {
        self.sum_in(of, |_| true)
    }

    /// Waits until nothing was told to anybody for a moment.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        let quiet = 30_000_000;
        self.until("silence", Duration::from_secs(120), |slots| {
            let last = slots.iter().map(|slot| slot.last.load(Ordering::Relaxed)).max();
            last.is_none_or(|last| clock::now() > last + quiet)
        })
        .await
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl fmt::Debug for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swarm")
            .field("plan", &self.shared.plan)
            .finish_non_exhaustive()
    }
}
