//! B14 and B15: the address of a network's gateway changes; a member joins and leaves.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock;
use crate::mesh::{Mesh, SYNC};
use crate::objects::{self, SERVICES};
use crate::options::Options;
use crate::results::{Goal, Results, Row};
use crate::runs::{b15, joins};
use crate::swarm::Swarm;
use crate::world::{M, S, Size};

const DEADLINE: Duration = Duration::from_secs(60);

/// The times of the first and the last proxy that was told.
pub(super) fn reached(swarm: &Swarm, from: u64) -> (f64, f64) {
    let slots = swarm.slots().iter();
    let times = slots
        .clone()
        .map(|slot| slot.first.load(Ordering::Relaxed))
        .filter(|at| *at > from);
    let first = times.min().unwrap_or(from);
    let last = slots
        .map(|slot| slot.last.load(Ordering::Relaxed))
        .max()
        .unwrap_or(from);
    (clock::ms(from, first), clock::ms(from, last))
}

fn sizes(options: &Options) -> Vec<Size> {
    options.size.map_or(vec![S, M], |size| vec![size])
}

/// A gateway's address.
pub(crate) async fn gateway(options: &Options, results: &Results) -> anyhow::Result<()> {
    for size in sizes(options) {
        for clients in options.clients_or(&[1000]) {
            let mesh = Mesh::start(options, size, options.tls).await?;
            let swarm = mesh.swarm(mesh.plan(clients)?).await?;
            let own = size.network_of(0);
            let [mut last, mut cpu, mut bytes, mut others, mut resources] = [const { Vec::new() }; 5];
            for round in 0..=options.repeat {
                let before = swarm.begin();
                let sent = swarm.sum(|slot| &slot.bytes);
                let told = swarm.sum(|slot| &slot.resources);
                let beside = swarm.sum_in(|slot| &slot.messages, |group| group == own);
                let used = mesh.target.process.cpu_ms();
                let address = format!("198.51.100.{}", round % 2 + 1);
                let from = mesh.members[0].put(SERVICES, objects::gateway(&size, 0, &address));
                swarm.changed_in(&before, DEADLINE, |group| group != own).await?;
                if round > 0 {
                    last.push(reached(&swarm, from).1);
                    cpu.push(mesh.target.process.cpu_ms() - used);
                    bytes.push((swarm.sum(|slot| &slot.bytes) - sent) as f64 / 1e6);
                    resources.push((swarm.sum(|slot| &slot.resources) - told) as f64 / clients as f64);
                    others.push((swarm.sum_in(|slot| &slot.messages, |group| group == own) - beside) as f64);
                }
            }
            let case = format!("{clients} proxies; size {}", size.name);
            let row = |metric, unit| Row::new("B14", &case, metric, unit);
            let (most, megabytes, istiod) = match size.name {
                "S" => (100.0, 43.0, ["950 / 945 ms", "216 MB"]),
                _ => (500.0, 266.0, ["3200 / 2300 ms", "1,330 MB"]),
            };
            results.keep(&[
                row("last proxy", "ms")
                    .values(last)
                    .goal(Some(Goal::AtMost(most)))
                    .istiod(istiod[0]),
                row("sent", "MB")
                    .values(bytes)
                    .goal(Some(Goal::AtMost(megabytes)))
                    .istiod(istiod[1]),
                row("assignments per proxy", "").values(resources),
                row("answers to proxies of the gateway's own network", "")
                    .values(others)
                    .goal(Some(Goal::AtMost(0.0))),
                row("CPU", "ms").values(cpu),
            ])?;
        }
    }
    Ok(())
}

/// A member that is an API server, and one that is a folder.
pub(crate) async fn member(options: &Options, results: &Results) -> anyhow::Result<()> {
    if options.foreign.is_some() {
        println!("B15: another server has no members that are folders, nor settings of ours");
        return Ok(());
    }
    for size in sizes(options) {
        for clients in options.clients_or(&[50, 1000]) {
            joins::by_api_server(options, results, size, clients).await?;
        }
    }
    by_folder(options, results).await
}

/// A member that is a folder; its list is there when its folder is.
async fn by_folder(options: &Options, results: &Results) -> anyhow::Result<()> {
    for size in sizes(options) {
        for clients in options.clients_or(&[1000]) {
            let mesh = Mesh::start(options, size, options.tls).await?;
            let swarm = mesh.swarm(mesh.plan(clients)?).await?;
            let more = size.members;
            mesh.manifests.prepare(&size, more)?;
            let [mut joins, mut leaves, mut fans, mut cpu, mut kept] = [const { Vec::new() }; 5];
            for round in 0..=options.repeat {
                let resident = mesh.target.process.rss();
                let used = mesh.target.process.cpu_ms();
                let before = swarm.begin();
                let from = mesh.manifests.join(more)?;
                swarm.changed(&before, SYNC).await?;
                let (first, last) = reached(&swarm, from);
                let used = mesh.target.process.cpu_ms() - used;
                let before = swarm.begin();
                let from = mesh.manifests.leave(more)?;
                swarm.changed(&before, SYNC).await?;
                let (_, left) = reached(&swarm, from);
                if round > 0 {
                    joins.push(last / 1e3);
                    fans.push((last - first) / 1e3);
                    leaves.push(left / 1e3);
                    cpu.push(used / 1e3);
                    kept.push((mesh.target.process.rss() / resident - 1.0) * 100.0);
                }
            }
            let case = format!(
                "{clients} proxies; size {}; a folder of {} services",
                size.name, size.services_per_member
            );
            let row = |metric, unit| Row::new("B15", &case, metric, unit);
            let (most, istiod) = match size.name {
                "S" => (0.5, ["15.1 / 11.4 s", "0.87 / 0.71 s"]),
                _ => (1.0, ["77 / 57 s", "3.5 / 2.0 s"]),
            };
            results.keep(&[
                row("joins, from the first proxy told to the last", "s")
                    .values(fans)
                    .goal(Some(Goal::AtMost(most)))
                    .istiod(istiod[0]),
                row("joins, last proxy after its folder was there", "s").values(joins),
                row("leaves, last proxy", "s").values(leaves).istiod(istiod[1]),
                row("CPU of a join", "s").values(cpu),
                row("memory kept by a join and leave", "%")
                    .values(kept)
                    .goal(Some(Goal::AtMost(5.0))),
            ])?;
            drop((swarm, mesh));
            b15::under_churn(options, results, size, clients).await?;
        }
    }
    Ok(())
}
