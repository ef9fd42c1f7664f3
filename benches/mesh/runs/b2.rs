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
            one(
                options,
                results,
                "B2",
                size,
                clients,
                rate,
                options.seconds.unwrap_or(20),
            )
            .await?;
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
    one(
        options,
        results,
        "size",
        size,
        size.proxies,
        250,
        options.seconds.unwrap_or(600),
    )
    .await
}

async fn one(
    options: &Options,
    results: &Results,
    bench: &'static str,
    size: Size,
    clients: usize,
    rate: usize,
    seconds: u64,
) -> anyhow::Result<()> {
    let mut mesh = Mesh::start(options, size, options.tls).await?;
    let mut plan = mesh.plan(clients)?;
    plan.scopes = size.scopes(SCOPES, WATCHED);
    let witnesses = Witnesses::of(&mut plan, rate * usize::try_from(seconds)?);
    let swarm = mesh.swarm(plan).await?;
    println!(
        "{bench}: {clients} proxies in sync, {:.0} MB",
        mesh.target.process.rss()
    );
    let Outcome {
        p50,
        p99,
        most,
        cores,
        answers,
        resources,
        rate: made,
        rest,
        resident,
    } = churn(&mut mesh, &swarm, &witnesses, rate, seconds).await?;
    swarm.agree()?;
    let case = format!(
        "{rate} changes a second; size {}; {clients} proxies; {seconds} s",
        size.name
    );
    let goals = bench == "size" || rate == 250 && size == L;
    let goal = |most| goals.then_some(Goal::AtMost(most));
    let row = |metric, unit| Row::new(bench, &case, metric, unit);
    results.keep(&[
        row("staleness p50", "ms").values([p50]),
        row("staleness p99", "ms").values([p99]).goal(goal(1000.0)),
        row("staleness most", "ms").values([most]),
        row("CPU", "cores").values([cores]).goal(goal(1.2)),
        row("answers", "per second").values([answers]),
        row("resources", "per second").values([resources]),
        row("changes made", "per second").values([made]),
        row("told after the last change", "ms").values([rest]),
        row("resident", "MB")
            .values([resident])
            .goal((bench == "size").then_some(Goal::AtMost(4096.0))),
    ])
}
