//! A load of changes at a steady rate, and how old what proxies hold becomes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::mesh::{Mesh, SYNC};
use crate::results::percentile;
use crate::swarm::{Plan, Swarm};
use crate::world::Size;

/// One proxy in so many looks into what it gets; all that look cost time that the server needs.
const WITNESSES: usize = 5;

/// When each change was handed over, and when witnesses saw it.
#[derive(Debug)]
pub(crate) struct Witnesses {
    handed: Vec<AtomicU64>,
    seen: Vec<Mutex<HashSet<u32>>>,
    ages: Mutex<Vec<f64>>,
    /// A proxy that is dead can't be a witness.
    slow: usize,
}

impl Witnesses {
    /// Makes proxies of a plan witnesses of so many changes.
    pub(crate) fn of(plan: &mut Plan, changes: usize) -> Arc<Self> {
        let witnesses = Arc::new(Self {
            handed: (0..=changes).map(|_| AtomicU64::new(0)).collect(),
            seen: (0..plan.clients).map(|_| Mutex::default()).collect(),
            ages: Mutex::default(),
            slow: plan.slow.unwrap_or(usize::MAX),
        });
        let watching = Arc::clone(&witnesses);
        plan.watch = Some(Arc::new(move |index, content, at| watching.look(index, content, at)));
        witnesses
    }

    fn look(&self, index: usize, content: &[u8], at: u64) {
        if !(index / WITNESSES).is_multiple_of(WITNESSES) || index % self.slow == self.slow - 1 {
            return;
        }
        for count in Size::fresh_in(content) {
            let handed = usize::try_from(count).ok().and_then(|count| self.handed.get(count));
            let handed = handed.map_or(0, |handed| handed.load(Ordering::Relaxed));
            let mut seen = self.seen[index].lock().unwrap_or_else(PoisonError::into_inner);
            if handed != 0 && seen.insert(count) {
                let mut ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
                ages.push(clock::ms(handed, at));
            }
        }
    }
}

/// What a load did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) most: f64,
    /// Of one core.
    pub(crate) cores: f64,
    /// Answers and resources sent, a second.
    pub(crate) answers: f64,
    pub(crate) resources: f64,
    /// Changes that were really made, a second.
    pub(crate) rate: f64,
    /// Until everything was told, after the last change.
    pub(crate) rest: f64,
    pub(crate) resident: f64,
}

/// Makes changes for some seconds, to a different service of a different member each time.
pub(crate) async fn churn(
    mesh: &mut Mesh,
    swarm: &Swarm,
    witnesses: &Witnesses,
    rate: usize,
    seconds: u64,
) -> anyhow::Result<Outcome> {
    let changes = rate * usize::try_from(seconds)?;
    let (answers, resources) = (swarm.sum(|slot| &slot.messages), swarm.sum(|slot| &slot.resources));
    let cpu = mesh.target.process.cpu_ms();
    let begun = clock::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate)?);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    for change in 0..changes {
        ticks.tick().await;
        let member = change % mesh.size.members;
        let at = change / mesh.size.members % mesh.size.services_per_member;
        // Noted first, or a proxy could see it before it was made.
        let count = usize::try_from(mesh.next_count())?;
        if let Some(handed) = witnesses.handed.get(count) {
            handed.store(clock::now(), Ordering::Relaxed);
        }
        mesh.change(member, at);
    }
    let ended = clock::now();
    let took = (ended - begun) as f64 / 1e9;
    let cpu = mesh.target.process.cpu_ms() - cpu;
    let resident = mesh.target.process.rss();
    swarm.until("the changes to settle", SYNC, |_| true).await?;
    swarm.settle().await?;
    let last = swarm.slots().iter().map(|slot| slot.last.load(Ordering::Relaxed)).max();
    let ages = std::mem::take(&mut *witnesses.ages.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Outcome {
        p50: percentile(&ages, 0.5),
        p99: percentile(&ages, 0.99),
        most: percentile(&ages, 1.0),
        cores: cpu / took / 1e3,
        answers: (swarm.sum(|slot| &slot.messages) - answers) as f64 / took,
        resources: (swarm.sum(|slot| &slot.resources) - resources) as f64 / took,
        rate: changes as f64 / took,
        rest: clock::ms(ended, last.unwrap_or(ended)),
        resident,
    })
}
