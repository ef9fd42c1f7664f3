//! B15 on an API server: a member joins and leaves by the settings. What counts is the time from the end of its last list.

use crate::api::{self, Api};
use crate::clock;
use crate::floor::Floor;
use crate::mesh::{Mesh, SYNC};
use crate::options::Options;
use crate::results::{Goal, Results, Row};
use crate::runs::b14::reached;
use crate::swarm::Swarm;
use crate::world::Size;

/// What joining and leaving took, in seconds.
#[derive(Default)]
struct Took {
    joins: Vec<f64>,
    join_floors: Vec<f64>,
    fans: Vec<f64>,
    leaves: Vec<f64>,
    leave_floors: Vec<f64>,
    left: Vec<f64>,
    cpu: Vec<f64>,
}

/// One size, so many proxies.
pub(crate) async fn by_api_server(
    options: &Options,
    results: &Results,
    size: Size,
    clients: usize,
) -> anyhow::Result<()> {
    let mesh = Mesh::start(options, size, options.tls).await?;
    // One beside, shaped as they are.
    let guest = [Api::start(&size, size.members).await?];
    let kubeconfigs = api::write_kubeconfigs(&guest, &mesh.folder)?;
    let swarm = mesh.swarm(mesh.plan(clients)?).await?;
    let (mut floor, bare) = mesh.floor(&swarm, clients, options.tls).await?;
    let mut took = Took::default();
    for round in 0..=options.repeat {
        swarm.capture(true);
        let used = mesh.target.process.cpu_ms();
        let before = swarm.begin();
        mesh.target.has_also(&kubeconfigs)?;
        swarm.changed(&before, SYNC).await?;
        let used = mesh.target.process.cpu_ms() - used;
        let (first, last) = reached(&swarm, guest[0].store.listed());
        let (_, join_floor) = same(&swarm, &mut floor, &bare).await?;

        swarm.capture(true);
        let before = swarm.begin();
        let asked = mesh.target.has_also(&[])?;
        swarm.changed(&before, SYNC).await?;
        let (first_left, left) = reached(&swarm, asked);
        let (floor_first, floor_last) = same(&swarm, &mut floor, &bare).await?;
        // The first one warms.
        if round > 0 {
            took.joins.push(last / 1e3);
            took.fans.push((last - first) / 1e3);
            took.join_floors.push(join_floor / 1e3);
            took.leaves.push((left - first_left) / 1e3);
            took.leave_floors.push((floor_last - floor_first) / 1e3);
            took.left.push(left / 1e3);
            took.cpu.push(used / 1e3);
        }
    }
    swarm.agree()?;
    keep(results, &size, clients, took)
}

/// Has the floor send what ours was seen to send; how long until the first and the last proxy had it, in milliseconds.
async fn same(swarm: &Swarm, floor: &mut Floor, bare: &Swarm) -> anyhow::Result<(f64, f64)> {
    let messages = swarm.captured();
    swarm.capture(false);
    let before = bare.begin();
    let from = clock::now();
    floor.send(&messages)?;
    bare.changed(&before, SYNC).await?;
    Ok(reached(bare, from))
}

fn keep(results: &Results, size: &Size, clients: usize, took: Took) -> anyhow::Result<()> {
    let case = format!(
        "{clients} proxies; size {}; an API server of {} services",
        size.name, size.services_per_member
    );
    let row = |metric, unit| Row::new("B15", &case, metric, unit);
    let istiod = match (size.name, clients) {
        ("S", 1000) => "15.1 / 11.4 s",
        ("M", 1000) => "77 / 57 s",
        _ => "",
    };
    results.keep(&[
        row("joins, last proxy after its list", "s")
            .values(took.joins)
            .floor(took.join_floors)
            .goal(Some(Goal::AtMost(0.5)))
            .istiod(istiod),
        row("joins, from the first proxy told to the last", "s").values(took.fans),
        row("leaves, from the first proxy told to the last", "s")
            .values(took.leaves)
            .floor(took.leave_floors),
        row("leaves, last proxy after the settings changed", "s").values(took.left),
        row("CPU of a join", "s").values(took.cpu),
    ])
}
