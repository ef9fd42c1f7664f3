//! B8: a start from nothing, with all API servers there, and with one of them dead.

use crate::api::{self, Api};
use crate::mesh::Mesh;
use crate::options::Options;
use crate::results::{Goal, Results, Row};
use crate::world::{L, M};

pub(crate) async fn run(options: &Options, results: &Results) -> anyhow::Result<()> {
    let sizes = match options.size {
        Some(size) => vec![size],
        None => vec![M, L],
    };
    for size in sizes {
        // Those of the start with all of them, beside which one without is seen.
        let (mut all_ready, mut all_cpu, mut all_peak) = (Vec::new(), Vec::new(), Vec::new());
        for dead in [false, true] {
            let mut floors = Vec::new();
            let (mut ready, mut cpu, mut peak, mut requests) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let mut members = api::start(&size, 0, size.members).await?;
            if dead {
                members[0].stop();
            }
            for _ in 0..options.repeat.min(3) {
                if !dead {
                    floors.push(api::read_all(&members).await? / 1e3);
                }
                let asked = asked(&members);
                let mesh = Mesh::with(options, size, false, members).await?;
                ready.push(mesh.ready_after / 1e3);
                cpu.push(mesh.target.process.cpu_ms() / 1e3);
                peak.push(mesh.target.process.peak());
                members = mesh.into_members();
                requests.push((self::asked(&members) - asked) as f64 / size.members as f64);
            }
            let with = if dead { "one is dead" } else { "all are there" };
            let case = format!("size {}; {} API servers; {with}", size.name, size.members);
            let row = |metric, unit| Row::new("B8", &case, metric, unit);
            results.keep(&[
                row("ready after", "s")
                    .values(ready.clone())
                    .floor(if dead { all_ready } else { floors })
                    .goal(Some(Goal::AtMost(5.0))),
                row("CPU", "s").values(cpu.clone()).floor(all_cpu),
                row("peak memory", "MB").values(peak.clone()).floor(all_peak),
                row("requests per API server", "")
                    .values(requests)
                    .goal(Some(Goal::AtMost(4.0))),
            ])?;
            (all_ready, all_cpu, all_peak) = (ready, cpu, peak);
        }
    }
    Ok(())
}

fn asked(members: &[Api]) -> u64 {
    members.iter().map(|member| member.store.requests()).sum()
}
