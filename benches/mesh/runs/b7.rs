//! B7: the control plane is killed and started again; all proxies come back, with what they hold. And the first time: all
//! proxies come at once to a server that has encoded nothing yet.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock;
use crate::floor::Floor;
use crate::mesh::{Mesh, SYNC};
use crate::options::Options;
use crate::results::{Goal, Results, Row};
use crate::swarm::{Dialect, Swarm};
use crate::world::{M, S};

pub(crate) async fn run(options: &Options, results: &Results) -> anyhow::Result<()> {
    for clients in options.clients_or(&[1000, 3000, 5000]) {
        let both = options.clients.is_empty();
        for tls in [false, true] {
            if both || tls == options.tls {
                one(options, results, clients, tls).await?;
            }
        }
    }
    Ok(())
}

async fn one(options: &Options, results: &Results, clients: usize, tls: bool) -> anyhow::Result<()> {
    let mut mesh = Mesh::start(options, options.size_or(S), tls).await?;
    let mut plan = mesh.plan(clients)?;
    plan.reconnect = true;
    plan.at_once = clients;
    let swarm = mesh.swarm(plan).await?;
    let (mut lasts, mut resent, mut removed, mut peaks, mut cpus, mut p99) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let repeat = options.repeat.min(5);
    for _ in 0..repeat {
        let steady = mesh.target.process.rss();
        let resources = swarm.sum(|slot| &slot.resources);
        let removals = swarm.sum(|slot| &slot.removals);
        mesh.target.process.kill();
        let killed = clock::now();
        // The proxies notice at once; the server is back when its API servers are read again.
        mesh.target.start_again()?;
        swarm
            .until("all proxies to be back", SYNC, |slots| {
                slots.iter().all(|slot| slot.in_sync.load(Ordering::Relaxed) > killed)
            })
            .await?;
        let times: Vec<f64> = swarm
            .slots()
            .iter()
            .map(|slot| clock::ms(killed, slot.in_sync.load(Ordering::Relaxed)) / 1e3)
            .collect();
        swarm.settle().await?;
        swarm.agree()?;
        lasts.push(crate::results::percentile(&times, 1.0));
        p99.push(crate::results::percentile(&times, 0.99));
        resent.push((swarm.sum(|slot| &slot.resources) - resources) as f64);
        removed.push((swarm.sum(|slot| &slot.removals) - removals) as f64);
        peaks.push(mesh.target.process.peak() / steady);
        cpus.push(mesh.target.process.cpu_ms() / 1e3);
    }
    let how = if tls { "mTLS" } else { "plaintext" };
    let case = format!("{clients} proxies; {how}; {}; size {}", options.dialect, mesh.size.name);
    let (goal, istiod) = match clients {
        3000 => (Some(6.0), "138 / 53 s"),
        5000 => (Some(10.0), ""),
        1000 => (None, "55 / 19 s"),
        _ => (None, ""),
    };
    let none = (options.dialect == Dialect::Delta).then_some(Goal::AtMost(0.0));
    let row = |metric, unit| Row::new("B7", &case, metric, unit);
    results.keep(&[
        row("last proxy in sync", "s")
            .values(lasts)
            .goal(goal.map(Goal::AtMost))
            .istiod(istiod),
        row("p99 in sync", "s").values(p99),
        row("resources resent", "").values(resent).goal(none).istiod("all"),
        row("removals", "").values(removed).goal(Some(Goal::AtMost(0.0))),
        row("peak memory, of steady", "×")
            .values(peaks)
            .goal(Some(Goal::AtMost(1.3))),
        row("CPU of the new process", "s").values(cpus),
    ])
}

/// Everybody at once, and nothing is encoded yet.
pub(crate) async fn cold(options: &Options, results: &Results) -> anyhow::Result<()> {
    let size = options.size_or(M);
    for clients in options.clients_or(&[1000]) {
        let (mut ours, mut floors, mut encodes, mut peaks, mut cpu) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        for _ in 0..options.repeat {
            let mesh = Mesh::start(options, size, options.tls).await?;
            let mut plan = mesh.plan(clients)?;
            plan.at_once = clients;
            let swarm = Swarm::start(plan.clone());
            swarm.in_sync(SYNC).await?;
            ours.push(took(&swarm));
            cpu.push(mesh.target.process.cpu_ms() / 1e3);
            peaks.push(mesh.target.process.peak());
            encodes.push(mesh.target.metric("parallax_resources_encoded_total").await?);
            swarm.settle().await?;
            swarm.agree()?;
            bytes = swarm.sum(|slot| &slot.bytes) / clients as u64;
            let mut floor = Floor::start(options.tls.then_some(&*mesh.folder), &mesh.folder.join("floor.log"))?;
            floor.begin_with(&swarm.captured())?;
            drop(swarm);
            // What the last swarm left behind must not be in the way of the next.
            tokio::time::sleep(Duration::from_secs(2)).await;
            plan.address = floor.address;
            plan.strict = false;
            let bare = Swarm::start(plan);
            bare.in_sync(SYNC).await?;
            floors.push(took(&bare));
        }
        let how = if options.tls { "mTLS" } else { "plaintext" };
        let case = format!(
            "{clients} proxies at once; size {}; {} kB each; {how}",
            size.name,
            bytes / 1000
        );
        let row = |metric, unit| Row::new("cold", &case, metric, unit);
        let resources = (size.services + 1) * size.networks * 2;
        results.keep(&[
            row("last proxy in sync", "s")
                .values(ours)
                .floor(floors)
                .goal(Some(Goal::OfFloor(3.0)))
                .istiod("60 / 65 s"),
            row("resources encoded", "")
                .values(encodes)
                .goal(Some(Goal::AtMost(resources as f64))),
            row("CPU", "s").values(cpu),
            row("peak memory", "MB").values(peaks),
        ])?;
    }
    Ok(())
}

fn took(swarm: &Swarm) -> f64 {
    let slots = swarm.slots();
    let first = slots.iter().map(|slot| slot.started.load(Ordering::Relaxed)).min();
    let last = slots.iter().map(|slot| slot.in_sync.load(Ordering::Relaxed)).max();
    clock::ms(first.unwrap_or_default(), last.unwrap_or_default()) / 1e3
}
