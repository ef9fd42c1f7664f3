//! B6: what proxies cost in memory: idle, and after each was sent a megabyte.

use std::time::Duration;

use crate::floor::Floor;
use crate::mesh::{Mesh, SYNC};
use crate::objects::{self, Backend, SLICES};
use crate::options::Options;
use crate::results::{Goal, Results, Row};
use crate::swarm::Swarm;
use crate::world::{S, Size};

const REST: Duration = Duration::from_secs(2);
/// An allocator gives pages back some time after they are free.
const GIVEN_BACK: Duration = Duration::from_secs(15);
/// So many endpoints make an assignment of a megabyte.
const MEGABYTE: usize = 30_000;

pub(crate) async fn run(options: &Options, results: &Results) -> anyhow::Result<()> {
    let steps = options.clients_or(&[500, 1000, 2000]);
    for tls in [false, true] {
        if tls || !options.tls {
            one(options, results, &steps, tls).await?;
        }
    }
    Ok(())
}

async fn one(options: &Options, results: &Results, steps: &[usize], tls: bool) -> anyhow::Result<()> {
    let how = if tls { "mTLS" } else { "plaintext" };
    let (mut slopes, mut floors, mut grown, mut floor_grown) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut lines = Vec::new();
    for repetition in 0..options.repeat {
        let mut mesh = Mesh::start(options, options.size_or(S), tls).await?;
        let mut floor = Floor::start(tls.then_some(&*mesh.folder), &mesh.folder.join("floor.log"))?;
        // All on one network, so that one large service is large for all.
        let plan = |mesh: &Mesh, clients| -> anyhow::Result<_> {
            let mut plan = mesh.plan(clients)?;
            plan.groups.truncate(1);
            Ok(plan)
        };
        // A first proxy, so that what is there once for all is there.
        let one = mesh.swarm(plan(&mesh, 1)?).await?;
        floor.begin_with(&one.captured())?;
        // What reading so large an object leaves in the allocator is no proxy's.
        megabyte(&mut mesh, std::slice::from_ref(&one)).await?;
        tokio::time::sleep(GIVEN_BACK).await;
        let mut bare_plan = plan(&mesh, 1)?;
        bare_plan.address = floor.address;
        bare_plan.strict = false;
        let bare_one = Swarm::start(bare_plan.clone());
        bare_one.in_sync(SYNC).await?;
        let (base, floor_base) = (mesh.target.process.rss(), floor.process.rss());

        let (mut swarms, mut bares) = (vec![one], vec![bare_one]);
        let mut there = 0;
        for step in steps {
            let more = step - there;
            there = *step;
            swarms.push(mesh.swarm(plan(&mesh, more)?).await?);
            bare_plan.clients = more;
            let bare = Swarm::start(bare_plan.clone());
            bare.in_sync(SYNC).await?;
            bares.push(bare);
            tokio::time::sleep(REST).await;
            lines.push((*step, mesh.target.process.rss(), floor.process.rss()));
        }
        let (idle, floor_idle) = (mesh.target.process.rss(), floor.process.rss());
        slopes.push((idle - base) / there as f64 * 1e3);
        floors.push((floor_idle - floor_base) / there as f64 * 1e3);

        let message = megabyte(&mut mesh, &swarms).await?;
        let before: Vec<_> = bares.iter().map(Swarm::begin).collect();
        floor.send(&message)?;
        for (bare, before) in bares.iter().zip(before) {
            bare.changed(&before, SYNC).await?;
        }
        tokio::time::sleep(GIVEN_BACK).await;
        let (after, floor_after) = (mesh.target.process.rss(), floor.process.rss());
        println!("B6 {how} {repetition}: base {base:.1}, {there} proxies {idle:.1}, after 1 MB each {after:.1} MB");
        grown.push((after - idle) / there as f64 * 1e3);
        floor_grown.push((floor_after - floor_idle) / there as f64 * 1e3);
        for swarm in &swarms {
            swarm.agree()?;
        }
    }
    let case = format!("{how}; {}; 51 services watched; node of 58 kB", options.dialect);
    let row = |metric, unit| Row::new("B6", &case, metric, unit);
    let mut rows = vec![
        row("per 1,000 proxies", "MB")
            .values(slopes)
            .floor(floors)
            .goal(tls.then_some(Goal::AtMost(60.0)))
            .istiod("720 MB"),
        row("growth per 1,000 proxies after 1 MB to each", "MB")
            .values(grown)
            .floor(floor_grown)
            .goal(Some(Goal::AtMost(6.0))),
    ];
    for (proxies, ours, floor) in lines {
        let case = format!("{proxies} proxies; {how}; {}", options.dialect);
        rows.push(Row::new("B6", case, "resident", "MB").values([ours]).floor([floor]));
    }
    results.keep(&rows)
}

/// Makes a service a megabyte large and small again; returns the message that carried it.
async fn megabyte(mesh: &mut Mesh, swarms: &[Swarm]) -> anyhow::Result<Vec<bytes::Bytes>> {
    let size = mesh.size;
    let usual = objects::backends(&size, 0, 0);
    let many: Vec<Backend> = (0..MEGABYTE)
        .map(|at| Backend {
            address: Size::fresh_address(u32::try_from(at).unwrap_or_default()).to_string(),
            ..usual[at % usual.len()].clone()
        })
        .map(|backend| Backend {
            pod: format!("{}-{}", backend.pod, backend.address),
            ..backend
        })
        .collect();
    let mut message = Vec::new();
    for backends in [&many, &usual] {
        let before: Vec<_> = swarms.iter().map(Swarm::begin).collect();
        swarms[0].capture(backends.len() == MEGABYTE);
        mesh.members[0].put(SLICES, objects::slice(&size, 0, 0, backends));
        for (swarm, before) in swarms.iter().zip(before) {
            swarm.changed(&before, SYNC).await?;
        }
        if backends.len() == MEGABYTE {
            message = swarms[0].captured();
            println!("B6: one push of {} kB", message[0].len() / 1000);
        }
    }
    Ok(message)
}
