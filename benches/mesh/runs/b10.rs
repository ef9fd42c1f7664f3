//! B10: a tenth of all proxies is dead without saying so, under steady changes; what the others notice of it.

use crate::mesh::Mesh;
use crate::options::Options;
use crate::results::{Goal, Results, Row};
use crate::runs::churn::{Witnesses, churn};
use crate::world::S;

const RATE: usize = 50;

pub(crate) async fn run(options: &Options, results: &Results) -> anyhow::Result<()> {
    let seconds = options.seconds.unwrap_or(10);
    for clients in options.clients_or(&[2000, 5000]) {
        let [mut healthy, mut beside, mut memory] = [const { Vec::new() }; 3];
        for _ in 0..options.repeat {
            for slow in [None, Some(10)] {
                let mut mesh = Mesh::start(options, options.size_or(S), options.tls).await?;
                let mut plan = mesh.plan(clients)?;
                plan.slow = slow;
                let witnesses = Witnesses::of(&mut plan, RATE * usize::try_from(seconds)?);
                // The dead can't agree with the others, who are asked nothing either.
                let swarm = mesh.swarm(plan).await?;
                let before = mesh.target.process.rss();
                let outcome = churn(&mut mesh, &swarm, &witnesses, RATE, seconds).await?;
                match slow {
                    None => healthy.push(outcome.p99),
                    Some(every) => {
                        beside.push(outcome.p99);
                        memory.push((outcome.resident - before) * 1024.0 / (clients / every) as f64);
                    }
                }
            }
        }
        let case = format!("{clients} proxies; every tenth stops reading; {RATE} changes a second; {seconds} s");
        let row = |metric, unit| Row::new("B10", &case, metric, unit);
        results.keep(&[
            // The floor here is the run without the dead.
            row("staleness p99 of the others", "ms")
                .values(beside)
                .floor(healthy)
                .goal(Some(Goal::OfFloor(1.3))),
            row("growth in the run per dead proxy", "kB").values(memory),
        ])?;
    }
    Ok(())
}
