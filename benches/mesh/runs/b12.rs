//! B12 and B13: an API server makes its readers list everything again, and one tells a thousand changes a second that mean
//! nothing.

use std::time::Duration;

use serde_json::json;

use crate::clock;
use crate::mesh::{Mesh, SYNC};
use crate::objects::{self, PODS, SLICES};
use crate::options::Options;
use crate::results::{Goal, Results, Row};
use crate::world::{S, size};

/// Every kind is watched, by one reader.
const WATCHES: usize = 5;
const RATE: u32 = 1000;

/// All of 100,000 objects again.
pub(crate) async fn relist(options: &Options, results: &Results) -> anyhow::Result<()> {
    let size = size("of its own", [2, 2, 300, 300, 198_000, 100]);
    let mesh = Mesh::start(options, size, false).await?;
    let swarm = mesh.swarm(mesh.plan(size.proxies)?).await?;
    let [mut pushes, mut removals, mut took, mut cpu, mut peak] = [const { Vec::new() }; 5];
    for _ in 0..options.repeat {
        let told = swarm.sum(|slot| &slot.messages);
        let gone = swarm.sum(|slot| &slot.removals);
        let steady = mesh.target.process.rss();
        mesh.target.process.forget_peak();
        let used = mesh.target.process.cpu_ms();
        let begun = clock::now();
        let store = &mesh.members[0].store;
        let requests = store.requests();
        store.expire();
        let listed = |_: &_| store.requests() >= requests + 2 * WATCHES as u64 && store.watches() == WATCHES;
        swarm
            .until("everything to be listed again", SYNC, |slots| listed(slots))
            .await?;
        took.push(clock::ms(begun, clock::now()) / 1e3);
        // The list is on its way when the watch is open.
        tokio::time::sleep(Duration::from_secs(3)).await;
        cpu.push((mesh.target.process.cpu_ms() - used) / 1e3);
        peak.push(mesh.target.process.peak() / steady);
        pushes.push((swarm.sum(|slot| &slot.messages) - told) as f64);
        removals.push((swarm.sum(|slot| &slot.removals) - gone) as f64);
    }
    let case = format!(
        "{} objects of one API server; {} proxies",
        size.endpoints / 2 + 600,
        size.proxies
    );
    let none = Some(Goal::AtMost(0.0));
    let row = |metric, unit| Row::new("B12", &case, metric, unit);
    results.keep(&[
        row("removals", "").values(removals).goal(none),
        row("pushes", "").values(pushes).goal(none),
        row("watching again after", "s").values(took),
        row("CPU", "s").values(cpu),
        row("peak memory, of steady", "×").values(peak),
    ])
}

/// Annotations, statuses and managed fields.
pub(crate) async fn noise(options: &Options, results: &Results) -> anyhow::Result<()> {
    let mesh = Mesh::start(options, options.size_or(S), false).await?;
    let size = mesh.size;
    let swarm = mesh.swarm(mesh.plan(size.proxies)?).await?;
    let seconds = options.seconds.unwrap_or(5);
    let [mut pushes, mut cores] = [const { Vec::new() }; 2];
    let mut count = 0u32;
    for _ in 0..options.repeat {
        let told = swarm.sum(|slot| &slot.messages);
        let used = mesh.target.process.cpu_ms();
        let begun = clock::now();
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
        while clock::ms(begun, clock::now()) < seconds as f64 * 1e3 {
            ticks.tick().await;
            count += 1;
            let index = usize::try_from(count)?;
            let member = index % size.members;
            let at = index % size.services_per_member;
            let backends = objects::backends(&size, member, at);
            let (kind, mut object) = match count % 2 {
                0 => (SLICES, objects::slice(&size, member, at, &backends)),
                _ => (PODS, objects::pod(&size, member, at, &backends[0])),
            };
            object["metadata"]["annotations"] = json!({"touched": count.to_string()});
            mesh.members[member].put(kind, object);
        }
        let took = clock::ms(begun, clock::now());
        tokio::time::sleep(Duration::from_millis(200)).await;
        cores.push((mesh.target.process.cpu_ms() - used) / took * 100.0);
        pushes.push((swarm.sum(|slot| &slot.messages) - told) as f64);
    }
    let case = format!("{RATE} updates a second that change nothing; size {}", size.name);
    let row = |metric, unit| Row::new("B13", &case, metric, unit);
    results.keep(&[
        row("pushes", "").values(pushes).goal(Some(Goal::AtMost(0.0))),
        row("CPU", "% of a core").values(cores).goal(Some(Goal::AtMost(15.0))),
    ])
}
