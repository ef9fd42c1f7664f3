//! B15 with other things going on: a member joins and leaves while endpoints of all others change.
//!
//! Answers are never rare then, so what tells is their content: the gateway of that member is in each assignment that it has a
//! part in, as proxies of other networks see it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::manifests::Manifests;
use crate::mesh::{Mesh, SYNC};
use crate::options::Options;
use crate::results::{Goal, Results, Row};
use crate::swarm::{Plan, Swarm};
use crate::world::Size;

/// Changes a second beside.
const RATE: u32 = 50;
/// One proxy in so many looks into what it gets; looking takes time that the server needs.
const WITNESSES: usize = 5;

/// Names of assignments.
type Names = Mutex<HashSet<Box<[u8]>>>;

/// Who sees a text in which assignments.
struct Sightings {
    text: String,
    /// By proxy; none of those that do not look. The names of assignments, each with its length before it.
    seen: Vec<Option<Names>>,
    first: AtomicU64,
    last: AtomicU64,
}

impl Sightings {
    /// Looks out for the gateway of a member.
    fn of(plan: &mut Plan, size: &Size, member: usize) -> Arc<Self> {
        let own = size.network_of(member);
        let looks =
            |index: usize| index % plan.groups.len() != own && (index / plan.groups.len()).is_multiple_of(WITNESSES);
        let sightings = Arc::new(Self {
            text: size.gateway(member).to_string(),
            seen: (0..plan.clients)
                .map(|index| looks(index).then(Mutex::default))
                .collect(),
            first: AtomicU64::new(0),
            last: AtomicU64::new(0),
        });
        let watching = Arc::clone(&sightings);
        plan.watch = Some(Arc::new(move |index, content, at| watching.look(index, content, at)));
        sightings
    }

    fn look(&self, index: usize, content: &[u8], at: u64) {
        let Some(Some(seen)) = self.seen.get(index) else { return };
        // The first field of an assignment is its name: a key, a length below 128, the text.
        let Some(name) = content
            .get(1)
            .and_then(|length| content.get(1..2 + usize::from(*length)))
        else {
            return;
        };
        let is_there = content
            .windows(self.text.len())
            .any(|window| window == self.text.as_bytes());
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = match is_there {
            true => seen.insert(name.into()),
            false => seen.remove(name),
        };
        if is_news {
            let _ = self.first.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed);
            self.last.fetch_max(at, Ordering::Relaxed);
        }
    }

    /// Waits until all who look see it in so many assignments; the times of the first and the last news.
    async fn until(&self, swarm: &Swarm, assignments: usize) -> anyhow::Result<(u64, u64)> {
        let all = |_: &[_]| {
            let mut sets = self.seen.iter().flatten();
            sets.all(|seen| seen.lock().unwrap_or_else(PoisonError::into_inner).len() == assignments)
        };
        swarm
            .until("a member to be seen by all", SYNC, |slots| all(slots))
            .await?;
        let first = self.first.swap(0, Ordering::Relaxed);
        Ok((first, self.last.swap(0, Ordering::Relaxed)))
    }
}

/// What joining and leaving took, in seconds.
#[derive(Default)]
struct Took {
    joins: Vec<f64>,
    fans: Vec<f64>,
    leaves: Vec<f64>,
}

async fn come_and_go(
    manifests: &Manifests,
    member: usize,
    services: usize,
    swarm: &Swarm,
    sightings: &Sightings,
    repeat: usize,
) -> anyhow::Result<Took> {
    let mut took = Took::default();
    for round in 0..=repeat {
        let from = manifests.join(member)?;
        let (first, last) = sightings.until(swarm, services).await?;
        let leaving = manifests.leave(member)?;
        let (_, left) = sightings.until(swarm, 0).await?;
        // The first one warms.
        if round > 0 {
            took.joins.push(clock::ms(from, last) / 1e3);
            took.fans.push(clock::ms(first, last) / 1e3);
            took.leaves.push(clock::ms(leaving, left) / 1e3);
        }
    }
    Ok(took)
}

/// One size.
pub(crate) async fn under_churn(
    options: &Options,
    results: &Results,
    size: Size,
    clients: usize,
) -> anyhow::Result<()> {
    let mut mesh = Mesh::start(options, size, options.tls).await?;
    let more = size.members;
    mesh.manifests.prepare(&size, more)?;
    let mut plan = mesh.plan(clients)?;
    let sightings = Sightings::of(&mut plan, &size, more);
    let swarm = mesh.swarm(plan).await?;
    let manifests = mesh.manifests.clone();
    let done = AtomicBool::new(false);
    let load = async {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
        let mut change = 0;
        while !done.load(Ordering::Relaxed) {
            ticks.tick().await;
            mesh.change(change % size.members, change / size.members % size.services_per_member);
            change += 1;
        }
    };
    let moves = async {
        let took = come_and_go(
            &manifests,
            more,
            size.services_per_member,
            &swarm,
            &sightings,
            options.repeat,
        )
        .await;
        done.store(true, Ordering::Relaxed);
        took
    };
    let ((), took) = tokio::join!(load, moves);
    let Took { joins, fans, leaves } = took?;
    swarm.settle().await?;
    swarm.agree()?;
    let case = format!(
        "{clients} proxies; size {}; a folder of {} services; {RATE} changes a second beside",
        size.name, size.services_per_member
    );
    let row = |metric, unit| Row::new("B15", &case, metric, unit);
    let most = if size.name == "S" { 0.5 } else { 1.0 };
    results.keep(&[
        row("joins, from the first proxy told to the last", "s")
            .values(fans)
            .goal(Some(Goal::AtMost(most))),
        row("joins, last proxy after its folder was there", "s").values(joins),
        row("leaves, last proxy", "s").values(leaves),
    ])
}
