//! Admission of newcomers: what streams get first is bounded in bytes that nobody has acknowledged yet.
//!
//! After a restart every proxy comes at once and wants everything. Sent to all at the same time that is the mesh's content
//! times the number of proxies, in socket buffers and in the proxies' hands; sent at a fixed number of streams per second it
//! takes minutes where seconds would do. So newcomers take turns, in order, and the next one's turn is when acknowledgements
//! made room for it: as fast as the proxies can take it, whatever the sizes. Changes for streams that are up to date never
//! wait here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::metrics::XdsMetrics;
use crate::resources::ResourceType;

/// What a newcomer is expected to have in flight at most, until experience tells.
const FIRST_GUESS: usize = 1 << 20;

/// Less is never expected, so that the number of newcomers at a time has a bound too.
const LEAST: usize = 64 << 10;

/// The gate that all streams of a server share.
#[derive(Debug)]
pub(super) struct Admission {
    limit: usize,
    patience: Duration,
    metrics: XdsMetrics,
    gate: Mutex<Gate>,
}

#[derive(Debug)]
struct Gate {
    /// Bytes that are in flight to newcomers, or will be in a moment.
    charged: usize,
    /// What the next newcomer is charged: the average of the most that those before it had in flight.
    expected: usize,
    waiting: VecDeque<oneshot::Sender<usize>>,
    /// How many places were given up since these were last cleared away.
    abandoned: usize,
}

impl Admission {
    /// Lets newcomers have `limit` bytes in flight together. A newcomer that acknowledges nothing for `patience` no longer
    /// counts, so that those who never do don't keep the others out.
    pub(super) fn new(limit: usize, patience: Duration, metrics: XdsMetrics) -> Arc<Self> {
        Arc::new(Self {
            limit,
            patience,
            metrics,
            gate: Mutex::new(Gate {
                charged: 0,
                expected: FIRST_GUESS,
                waiting: VecDeque::new(),
                abandoned: 0,
            }),
        })
    }

    /// Joins the queue.
    fn queue(self: &Arc<Self>) -> Turn {
        let (send, receive) = oneshot::channel();
        let mut gate = self.gate();
        gate.waiting.push_back(send);
        self.metrics.newcomer_waits();
        self.grant(&mut gate);
        Turn {
            admission: Arc::clone(self),
            turn: receive,
            since: Instant::now(),
        }
    }

    /// Gives turns to whoever fits, in order. The first fits always.
    fn grant(&self, gate: &mut Gate) {
        while gate.charged == 0 || gate.charged.saturating_add(gate.expected) <= self.limit {
            let Some(next) = gate.waiting.pop_front() else {
                return;
            };
            let charge = gate.expected;
            if next.send(charge).is_ok() {
                gate.charged += charge;
                self.metrics.newcomers_charged(charge, 0);
            }
        }
    }

    fn recharge(&self, from: usize, to: usize) {
        let mut gate = self.gate();
        gate.charged = gate.charged + to - from;
        self.metrics.newcomers_charged(to, from);
        self.grant(&mut gate);
    }

    /// Clears places away that were given up, once they are the half: they must not gather while those in front wait.
    fn abandon(&self) {
        let mut gate = self.gate();
        gate.abandoned += 1;
        if gate.abandoned * 2 > gate.waiting.len() {
            gate.waiting.retain(|place| !place.is_closed());
            gate.abandoned = 0;
        }
    }

    fn learn(&self, peak: usize) {
        let mut gate = self.gate();
        gate.expected = ((gate.expected * 7 + peak) / 8).max(LEAST);
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue; given up by dropping it.
#[derive(Debug)]
struct Turn {
    admission: Arc<Admission>,
    turn: oneshot::Receiver<usize>,
    since: Instant,
}

impl Turn {
    /// Waits for the turn. Safe to drop and call again.
    async fn come(&mut self) -> Lease {
        let charge = (&mut self.turn).await.expect("the gate never drops a place");
        self.admission.metrics.newcomer_admitted(self.since.elapsed());
        Lease {
            admission: Arc::clone(&self.admission),
            charge,
            in_flight: BTreeMap::new(),
            peak: 0,
            heard: Instant::now(),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.admission.metrics.newcomer_waits_no_more();
        self.turn.close();
        match self.turn.try_recv() {
            // It came unnoticed.
            Ok(charge) => self.admission.recharge(charge, 0),
            Err(_) => self.admission.abandon(),
        }
    }
}

/// What a newcomer that was admitted has in flight.
#[derive(Debug)]
struct Lease {
    admission: Arc<Admission>,
    charge: usize,
    in_flight: BTreeMap<ResourceType, usize>,
    /// The most that was in flight.
    peak: usize,
    /// When the last acknowledgement came.
    heard: Instant,
}

impl Lease {
    fn sent(&mut self, kind: ResourceType, bytes: usize) {
        self.in_flight.insert(kind, bytes);
        let bytes = self.in_flight.values().sum();
        self.peak = self.peak.max(bytes);
        if bytes > self.charge {
            self.admission.recharge(self.charge, bytes);
            self.charge = bytes;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.admission.learn(self.peak);
        self.admission.recharge(self.charge, 0);
    }
}

/// One stream's side of it: a newcomer each time it asks for another type, until it has what there is.
#[derive(Debug)]
pub(super) struct Newcomer {
    admission: Arc<Admission>,
    asked: BTreeSet<ResourceType>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It has what it asked for, or was waited for long enough.
    Settled,
    Waiting(Turn),
    Admitted(Lease),
}

impl Newcomer {
    pub(super) fn new(admission: &Arc<Admission>) -> Self {
        Self {
            admission: Arc::clone(admission),
            asked: BTreeSet::new(),
            state: State::Settled,
        }
    }

    /// A request for a type came.
    pub(super) fn asked(&mut self, kind: ResourceType) {
        if self.asked.insert(kind) && matches!(self.state, State::Settled) {
            self.state = State::Waiting(self.admission.queue());
        }
    }

    /// Whether an answer may go out now.
    pub(super) fn may_send(&self) -> bool {
        !matches!(self.state, State::Waiting(_))
    }

    /// Waits until that changes, or may have. Safe to drop and call again.
    pub(super) async fn moved(&mut self) {
        match &mut self.state {
            State::Settled => std::future::pending().await,
            State::Waiting(turn) => {
                let lease = turn.come().await;
                self.state = State::Admitted(lease);
            }
            State::Admitted(lease) => {
                sleep_until(lease.heard + self.admission.patience).await;
                self.admission.metrics.newcomer_overdue();
                self.state = State::Settled;
            }
        }
    }

    /// An answer went out.
    pub(super) fn sent(&mut self, kind: ResourceType, bytes: usize) {
        if let State::Admitted(lease) = &mut self.state {
            lease.sent(kind, bytes);
        }
    }

    /// The answer in flight of a type was acknowledged or refused.
    pub(super) fn heard(&mut self, kind: ResourceType) {
        if let State::Admitted(lease) = &mut self.state {
            lease.in_flight.remove(&kind);
            lease.heard = Instant::now();
        }
    }

    /// No answer is due now.
    pub(super) fn idle(&mut self) {
        if let State::Admitted(lease) = &self.state
            && lease.in_flight.is_empty()
        {
            self.state = State::Settled;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    const CDS: ResourceType = ResourceType::Cluster;
    const EDS: ResourceType = ResourceType::ClusterLoadAssignment;
    const PATIENCE: Duration = Duration::from_secs(5);

    fn gate(limit: usize) -> Arc<Admission> {
        Admission::new(limit, PATIENCE, XdsMetrics::new())
    }

    fn asking(admission: &Arc<Admission>) -> Newcomer {
        let mut newcomer = Newcomer::new(admission);
        newcomer.asked(CDS);
        newcomer
    }

    /// Whether it may send, after it was looked at.
    fn admitted(newcomer: &mut Newcomer) -> bool {
        if !newcomer.may_send() {
            newcomer.moved().now_or_never();
        }
        newcomer.may_send()
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_in_order_as_acknowledgements_make_room() {
        let gate = gate(7 << 19);
        let mut all: Vec<_> = (0..10).map(|_| asking(&gate)).collect();
        let admitted = |all: &mut Vec<Newcomer>| all.iter_mut().map(admitted).take_while(|yes| *yes).count();
        assert_eq!(admitted(&mut all), 3, "three guesses fit");
        // The first turns out to want twice as much, and does not hold the others up when it is done.
        all[0].sent(EDS, 2 << 20);
        all[0].heard(EDS);
        assert_eq!(admitted(&mut all), 3, "there may be more for it");
        all[0].idle();
        assert_eq!(
            admitted(&mut all),
            4,
            "its experience makes the next guess a little larger"
        );
        // Whoever goes away makes room too, admitted or not.
        drop(all.remove(9));
        drop(all.drain(..4));
        assert!(admitted(&mut all) >= 2);
        drop(all);
        assert_eq!(gate.gate().charged, 0);
        assert!(gate.gate().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_came_unnoticed_is_given_on() {
        let gate = gate(1);
        let first = asking(&gate);
        let mut second = asking(&gate);
        assert!(!admitted(&mut second));
        drop(first);
        assert!(admitted(&mut second));
    }

    #[tokio::test(start_paused = true)]
    async fn who_acknowledges_nothing_is_waited_for_only_so_long() {
        let gate = gate(1);
        let mut mute = asking(&gate);
        assert!(admitted(&mut mute), "larger than the limit, but alone");
        mute.sent(CDS, 10 << 20);
        let mut next = asking(&gate);
        let start = Instant::now();
        tokio::join!(mute.moved(), next.moved());
        assert_eq!(start.elapsed(), PATIENCE);
        assert!(mute.may_send() && next.may_send());
    }

    #[tokio::test(start_paused = true)]
    async fn the_guess_follows_what_streams_really_take() {
        let gate = gate(1 << 20);
        for _ in 0..100 {
            let mut newcomer = asking(&gate);
            assert!(admitted(&mut newcomer));
            newcomer.sent(CDS, 200 << 10);
        }
        let mut all: Vec<_> = (0..10).map(|_| asking(&gate)).collect();
        let admitted = all.iter_mut().map(admitted).filter(|yes| *yes).count();
        assert_eq!(admitted, 5, "of 200 KiB each");
    }

    #[tokio::test(start_paused = true)]
    async fn an_admitted_stream_goes_on_while_something_of_it_is_in_flight() {
        // An Envoy acknowledges a changed cluster only when its assignment has come.
        let gate = gate(1);
        let mut envoy = asking(&gate);
        assert!(admitted(&mut envoy));
        envoy.sent(CDS, 1000);
        envoy.asked(EDS);
        assert!(envoy.may_send());
        envoy.sent(EDS, 1000);
        envoy.heard(CDS);
        envoy.idle();
        assert!(!admitted(&mut asking(&gate)), "its assignments are in flight");
        envoy.heard(EDS);
        envoy.idle();
        assert!(admitted(&mut asking(&gate)));
        assert!(envoy.may_send(), "changes need no turn");
    }
}
