//! B4: CPU of a push, by its size and by how many views differ.

use std::time::Duration;

use crate::mesh::Mesh;
use crate::options::Options;
use crate::results::{Goal, Results, Row};
use crate::world::size;

const DEADLINE: Duration = Duration::from_secs(60);
/// What an endpoint takes in an assignment, in bytes.
const ENDPOINT: usize = 29;

pub(crate) async fn run(options: &Options, results: &Results) -> anyhow::Result<()> {
    for clients in options.clients_or(&[1000]) {
        for kilobytes in [1, 10, 100] {
            for views in [1, 10] {
                one(options, results, clients, kilobytes, views).await?;
            }
        }
    }
    Ok(())
}

async fn one(
    options: &Options,
    results: &Results,
    clients: usize,
    kilobytes: usize,
    views: usize,
) -> anyhow::Result<()> {
    let endpoints = kilobytes * 1000 / ENDPOINT;
    // A network for each view, with one member and the same service.
    let size = size("of its own", [views, views, 1, 1, endpoints * views, clients]);
    let mut mesh = Mesh::start(options, size, options.tls).await?;
    let swarm = mesh.swarm(mesh.plan(clients)?).await?;
    let (mut floor, bare) = mesh.floor(&swarm, clients, options.tls).await?;
    let (mut ours, mut floors, mut encodes) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.repeat * 2 {
        let before = swarm.begin();
        swarm.capture(true);
        let pushes = swarm.sum(|slot| &slot.messages);
        let encoded = mesh.target.metric("parallax_resources_encoded_total").await?;
        let cpu = mesh.target.process.cpu_ms();
        for member in 0..views {
            // No weights change, so that each proxy gets one answer of this size.
            mesh.replace(member, 0);
        }
        swarm.changed(&before, DEADLINE).await?;
        let cpu = mesh.target.process.cpu_ms() - cpu;
        let encoded = mesh.target.metric("parallax_resources_encoded_total").await? - encoded;
        let pushes = swarm.sum(|slot| &slot.messages) - pushes;
        let message = swarm.captured();
        let before = bare.begin();
        let floor_pushes = bare.sum(|slot| &slot.messages);
        let floor_cpu = floor.process.cpu_ms();
        floor.send(&message)?;
        bare.changed(&before, DEADLINE).await?;
        if round > 0 {
            ours.push(cpu / pushes as f64);
            let pushes = bare.sum(|slot| &slot.messages) - floor_pushes;
            floors.push((floor.process.cpu_ms() - floor_cpu) / pushes as f64);
            encodes.push(encoded);
        }
    }
    let case = format!("{kilobytes} kB; {views} views; {clients} proxies");
    let row = |metric, unit| Row::new("B4", &case, metric, unit);
    results.keep(&[
        row("CPU per 1,000 pushes", "s")
            .values(ours)
            .floor(floors)
            .goal((kilobytes == 10 && views == 10).then_some(Goal::OfFloor(1.5))),
        row("encodes per change", "").values(encodes),
    ])
}
