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
        for dead in [false, true] {
            let (mut ready, mut cpu, mut peak, mut requests) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let mut members = api::start(&size, 0, size.members).await?;
            if dead {
                members[0].stop();
            }
            for _ in 0..options.repeat.min(3) {
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
                row("ready after", "s").values(ready).goal(Some(Goal::AtMost(5.0))),
                row("CPU", "s").values(cpu),
                row("peak memory", "MB").values(peak),
                row("requests per API server", "")
                    .values(requests)
                    .goal(Some(Goal::AtMost(4.0))),
            ])?;
        }
    }
    Ok(())
}

fn asked(members: &[Api]) -> u64 {
    members.iter().map(|member| member.store.requests()).sum()
}
