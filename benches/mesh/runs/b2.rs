//! B2: changes at a steady rate, everywhere in the mesh. And the same for long, at the largest sizes.

use crate::mesh::Mesh;
use crate::options::Options;
use crate::results::{Goal, Results, Row};
use crate::runs::churn::{Outcome, Witnesses, churn};
use crate::world::{L, Size, XL};

/// Services that a proxy watches, and different lists of them.
const WATCHED: usize = 50;
const SCOPES: usize = 20;

pub(crate) async fn run(options: &Options, results: &Results) -> anyhow::Result<()> {
    let size = options.size_or(L);
    let rates = match options.rates.is_empty() {
        true => vec![10, 50, 250],
        false => options.rates.clone(),
    };
    for rate in rates {
        for clients in options.clients_or(&[size.proxies]) {
            let load = Load {
                bench: "B2",
                rate,
                seconds: options.seconds.unwrap_or(20),
                repeat: options.repeat,
            };
            one(options, results, size, clients, load).await?;
        }
    }
    Ok(())
}

/// The largest meshes: one for ten minutes, one at all.
pub(crate) async fn sizes(options: &Options, results: &Results) -> anyhow::Result<()> {
    let size = options.size_or(L);
    if size == XL {
        let mesh = Mesh::start(options, XL, false).await?;
        let row = |metric, unit| Row::new("size", "XL loads", metric, unit);
        return results.keep(&[
            row("ready after", "s").values([mesh.ready_after / 1e3]),
            row("resident", "MB").values([mesh.target.process.rss()]),
            row("peak", "MB").values([mesh.target.process.peak()]),
        ]);
    }
    let load = Load {
        bench: "size",
        rate: 250,
        seconds: options.seconds.unwrap_or(600),
        repeat: 1,
    };
    one(options, results, size, size.proxies, load).await
}

/// Changes a second, for how long, how often.
#[derive(Debug, Clone, Copy)]
struct Load {
    bench: &'static str,
    rate: usize,
    seconds: u64,
    repeat: usize,
}

async fn one(options: &Options, results: &Results, size: Size, clients: usize, load: Load) -> anyhow::Result<()> {
    let Load {
        bench,
        rate,
        seconds,
        repeat,
    } = load;
    let mut mesh = Mesh::start(options, size, options.tls).await?;
    let mut plan = mesh.plan(clients)?;
    plan.scopes = size.scopes(SCOPES, WATCHED);
    let witnesses = Witnesses::of(&mut plan, rate * usize::try_from(seconds)? * repeat);
    let swarm = mesh.swarm(plan).await?;
    println!(
        "{bench}: {clients} proxies in sync, {:.0} MB",
        mesh.target.process.rss()
    );
    let mut outcomes = Vec::new();
    for _ in 0..repeat {
        outcomes.push(churn(&mut mesh, &swarm, &witnesses, rate, seconds).await?);
        swarm.agree()?;
    }
    let each = |of: fn(&Outcome) -> f64| outcomes.iter().map(of).collect::<Vec<_>>();
    let case = format!(
        "{rate} changes a second; size {}; {clients} proxies; {seconds} s",
        size.name
    );
    let goals = bench == "size" || rate == 250 && size == L;
    let goal = |most| goals.then_some(Goal::AtMost(most));
    let row = |metric, unit| Row::new(bench, &case, metric, unit);
    results.keep(&[
        row("staleness p50", "ms").values(each(|outcome| outcome.p50)),
        row("staleness p99", "ms")
            .values(each(|outcome| outcome.p99))
            .goal(goal(1000.0)),
        row("staleness most", "ms").values(each(|outcome| outcome.most)),
        row("CPU", "cores")
            .values(each(|outcome| outcome.cores))
            .goal(goal(1.2)),
        row("answers", "per second").values(each(|outcome| outcome.answers)),
        row("resources", "per second").values(each(|outcome| outcome.resources)),
        row("changes made", "per second").values(each(|outcome| outcome.rate)),
        row("told after the last change", "ms").values(each(|outcome| outcome.rest)),
        row("resident", "MB")
            .values(each(|outcome| outcome.resident))
            .goal((bench == "size").then_some(Goal::AtMost(4096.0))),
    ])
}
