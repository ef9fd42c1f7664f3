//! What slices cost in memory, by the count that issues about other meshes give; and a start with many members of which one is
//! dead.

use std::time::Duration;

use crate::api::Api;
use crate::mesh::Mesh;
use crate::objects::{NAMESPACES, NODES, PODS, SERVICES, SLICES};
use crate::options::Options;
use crate::results::{Goal, Results, Row};
use crate::world::{Size, size};

/// Long enough for everything that is read to be let go.
const REST: Duration = Duration::from_secs(15);

/// One member is read; its 10,000 services have a slice of ten endpoints each.
const SLICES_10K: Size = size("10k slices", [2, 2, 10_000, 10_000, 200_000, 0]);
/// Members as large as most are.
const FIFTY: Size = size("50 members", [50, 10, 300, 60, 12_000, 1_000]);

/// 10,000 EndpointSlices of ten endpoints, without their pods and with them.
pub(crate) async fn slices(options: &Options, results: &Results) -> anyhow::Result<()> {
    let base = [NAMESPACES, NODES, SERVICES];
    let [mut alone, mut with_pods, mut peaks] = [const { Vec::new() }; 3];
    for _ in 0..options.repeat.min(3) {
        let before = resident(options, &base).await?.0;
        let (slices, peak) = resident(options, &[NAMESPACES, NODES, SERVICES, SLICES]).await?;
        alone.push(slices - before);
        peaks.push(peak / slices);
        let all = resident(options, &[NAMESPACES, NODES, SERVICES, SLICES, PODS]).await?.0;
        with_pods.push(all - before);
    }
    let case = "10,000 EndpointSlices of 10 endpoints; one API server; no proxies";
    let row = |metric, unit| Row::new("slices", case, metric, unit);
    results.keep(&[
        row("slices", "MB").values(alone).goal(Some(Goal::AtMost(25.0))),
        row("slices and their 100,000 pods", "MB").values(with_pods),
        row("peak during the list, of steady", "×")
            .values(peaks)
            .goal(Some(Goal::AtMost(2.0))),
    ])
}

/// What is resident, and what was at most, with one member that has these kinds.
async fn resident(options: &Options, kinds: &[usize]) -> anyhow::Result<(f64, f64)> {
    let member = Api::start_with(&SLICES_10K, 0, kinds.to_vec()).await?;
    let mesh = Mesh::with(options, SLICES_10K, false, vec![member]).await?;
    tokio::time::sleep(REST).await;
    Ok((mesh.target.process.rss(), mesh.target.process.peak()))
}

/// A start with 50 members, all of them there, one that refuses connections, and one that never answers.
pub(crate) async fn dead(options: &Options, results: &Results) -> anyhow::Result<()> {
    for clients in options.clients_or(&[1000]) {
        let (mut all_ready, mut all_synced) = (Vec::new(), Vec::new());
        for how in ["all there", "one refuses connections", "one never answers"] {
            let (mut ready, mut synced) = (Vec::new(), Vec::new());
            for _ in 0..options.repeat.min(3) {
                let mut members = crate::api::start(&FIFTY, 0, FIFTY.members).await?;
                // The last one: nobody else has its endpoints.
                let last = members.last_mut();
                match (how, last) {
                    ("one refuses connections", Some(last)) => last.stop(),
                    ("one never answers", Some(last)) => last.fall_silent().await?,
                    _ => {}
                }
                let mesh = Mesh::with(options, FIFTY, options.tls, members).await?;
                ready.push(mesh.ready_after / 1e3);
                let begun = tokio::time::Instant::now();
                let _swarm = mesh.swarm(mesh.plan(clients)?).await?;
                synced.push(begun.elapsed().as_secs_f64());
            }
            let case = format!("50 members; {how}; {clients} proxies");
            let row = |metric, unit| Row::new("dead", &case, metric, unit);
            results.keep(&[
                row("ready after its start", "s")
                    .values(ready.clone())
                    .floor(all_ready.clone())
                    .goal(Some(Goal::AtMost(5.0))),
                row("proxies in sync after that", "s")
                    .values(synced.clone())
                    .floor(all_synced.clone()),
            ])?;
            if how == "all there" {
                (all_ready, all_synced) = (ready, synced);
            }
        }
    }
    Ok(())
}
