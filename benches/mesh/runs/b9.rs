//! B9: bytes that a proxy gets for one changed endpoint.

use std::time::Duration;

use crate::mesh::Mesh;
use crate::options::Options;
use crate::results::{Goal, Results, Row};
use crate::swarm::Dialect;
use crate::world::size;

const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) async fn run(options: &Options, results: &Results) -> anyhow::Result<()> {
    for dialect in [Dialect::Delta, Dialect::Sotw] {
        let mut options = options.clone();
        options.dialect = dialect;
        for endpoints in [3, 30, 300, 3000] {
            for shared in [false, true] {
                one(&options, results, endpoints, shared).await?;
            }
        }
    }
    Ok(())
}

/// Two networks. The service is in one of them, or in both.
async fn one(options: &Options, results: &Results, endpoints: usize, shared: bool) -> anyhow::Result<()> {
    let services = if shared { 1 } else { 2 };
    let size = size("of its own", [2, 2, services, 1, 2 * endpoints, 2]);
    let mut mesh = Mesh::start(options, size, false).await?;
    let swarm = mesh.swarm(mesh.plan(2)?).await?;
    let bytes = |group| swarm.sum_in(|slot| &slot.bytes, |of| of == group) as f64;
    let [mut local, mut idle, mut remote] = [const { Vec::new() }; 3];
    for _ in 0..options.repeat {
        // A pod is replaced: nobody's weights change.
        let (here, there) = (bytes(0), bytes(1));
        let before = swarm.begin();
        mesh.replace(0, 0);
        swarm.changed_in(&before, DEADLINE, |group| group == 0).await?;
        local.push((bytes(0) - here) / 1e3);
        idle.push((bytes(1) - there) / 1e3);
        // One endpoint more or less: the weight of the gateway changes.
        let there = bytes(1);
        let before = swarm.begin();
        mesh.change(0, 0);
        swarm.changed(&before, DEADLINE).await?;
        remote.push((bytes(1) - there) / 1e3);
    }
    let spread = if shared { "also local ones" } else { "only remote ones" };
    let case = format!("1 of {endpoints} endpoints; {}", options.dialect);
    let istiod = match endpoints {
        3 => "0.84 kB",
        30 => "4.8 kB",
        300 => "45 kB",
        _ => "452 kB",
    };
    let goal = |at: bool, most| at.then_some(Goal::AtMost(most));
    let row = |case: &str, metric| Row::new("B9", case, metric, "kB");
    let remote_case = format!("{case}; the viewer has {spread}");
    let mut rows = vec![
        row(&remote_case, "viewer elsewhere, a weight changes")
            .values(remote)
            .goal(goal(!shared, 0.25))
            .istiod("0.77 kB"),
        row(&remote_case, "viewer elsewhere, no weight changes")
            .values(idle)
            .goal(Some(Goal::AtMost(0.0))),
    ];
    if !shared {
        rows.push(
            row(&case, "viewer on the same network")
                .values(local)
                .goal(goal(endpoints == 300, 9.0))
                .istiod(istiod),
        );
    }
    results.keep(&rows)
}
