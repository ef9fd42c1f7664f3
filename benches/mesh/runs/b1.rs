//! B1: one endpoint changes; how long until each of N proxies has it, and what it costs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock;
use crate::mesh::Mesh;
use crate::options::Options;
use crate::results::{Goal, Results, Row, percentile};
use crate::swarm::Swarm;
use crate::world::S;

const DEADLINE: Duration = Duration::from_secs(60);

/// What one change took, from when it was handed over.
#[derive(Debug, Default, Clone)]
pub(crate) struct Reached {
    pub(crate) first: Vec<f64>,
    pub(crate) p50: Vec<f64>,
    pub(crate) p99: Vec<f64>,
    pub(crate) last: Vec<f64>,
    pub(crate) acked: Vec<f64>,
    pub(crate) cpu: Vec<f64>,
}

impl Reached {
    /// Notes what the proxies saw.
    pub(crate) fn note(&mut self, swarm: &Swarm, from: u64, cpu: f64) {
        let times: Vec<f64> = swarm
            .slots()
            .iter()
            .map(|slot| clock::ms(from, slot.last.load(Ordering::Relaxed)))
            .collect();
        let acked = swarm
            .slots()
            .iter()
            .map(|slot| slot.acked.load(Ordering::Relaxed))
            .max();
        self.first.push(percentile(&times, 0.0));
        self.p50.push(percentile(&times, 0.5));
        self.p99.push(percentile(&times, 0.99));
        self.last.push(percentile(&times, 1.0));
        self.acked.push(clock::ms(from, acked.unwrap_or(from)));
        self.cpu.push(cpu);
    }
}

pub(crate) async fn run(options: &Options, results: &Results) -> anyhow::Result<()> {
    for clients in options.clients_or(&[10, 100, 1000, 5000]) {
        // 5,000 with TLS would take more descriptors than most limits allow, with the floor beside.
        let both = options.clients.is_empty() && clients <= 1000;
        for tls in [false, true] {
            if tls == options.tls || both {
                one(options, results, clients, tls).await?;
            }
        }
    }
    Ok(())
}

async fn one(options: &Options, results: &Results, clients: usize, tls: bool) -> anyhow::Result<()> {
    let mut mesh = Mesh::start(options, options.size_or(S), tls).await?;
    let swarm = mesh.swarm(mesh.plan(clients)?).await?;
    let (mut floor, bare) = mesh.floor(&swarm, clients, tls).await?;

    let rounds = options.repeat * if clients <= 100 { 10 } else { 4 };
    let (mut ours, mut floors) = (Reached::default(), Reached::default());
    let (mut inside, mut bytes) = (Vec::new(), Vec::new());
    for round in 0..rounds + 1 {
        let before = swarm.begin();
        let sent = swarm.sum(|slot| &slot.bytes);
        let pushing = mesh.target.metric("parallax_push_duration_seconds_sum").await?;
        swarm.capture(true);
        let cpu = mesh.target.process.cpu_ms();
        let from = mesh.change(round % mesh.size.members, round % 7);
        swarm.changed(&before, DEADLINE).await?;
        let cpu = mesh.target.process.cpu_ms() - cpu;
        let pushing = mesh.target.metric("parallax_push_duration_seconds_sum").await? - pushing;
        let messages = swarm.captured();
        swarm.capture(false);

        let before = bare.begin();
        let floor_cpu = floor.process.cpu_ms();
        let floor_from = clock::now();
        floor.send(&messages)?;
        bare.changed(&before, DEADLINE).await?;
        let floor_cpu = floor.process.cpu_ms() - floor_cpu;
        // The first one warms both.
        if round > 0 {
            ours.note(&swarm, from, cpu);
            floors.note(&bare, floor_from, floor_cpu);
            inside.push(pushing * 1e3);
            bytes.push((swarm.sum(|slot| &slot.bytes) - sent) as f64 / clients as f64 / 1e3);
        }
    }
    swarm.agree()?;
    let case = format!(
        "{clients} proxies; {}; {}; size {}",
        if tls { "mTLS" } else { "plaintext" },
        options.dialect,
        mesh.size.name
    );
    let (last, istiod) = match clients {
        10 => (Some(Goal::AtMost(3.0)), "109 / 19 ms"),
        100 => (None, "117 / 28 ms"),
        1000 => (Some(Goal::OfFloor(1.5)), "218 / 118 ms"),
        _ => (Some(Goal::OfFloor(1.5)), ""),
    };
    let cpu = match (clients, tls) {
        (1000, false) => Some(Goal::AtMost(40.0)),
        _ => None,
    };
    let cpu_istiod = match clients {
        10 => "5 / 4 ms",
        100 => "17 / 14 ms",
        1000 => "115 / 119 ms",
        _ => "",
    };
    let row = |metric, unit| Row::new("B1", &case, metric, unit);
    results.keep(&[
        row("first proxy", "ms").values(ours.first).floor(floors.first),
        row("p50 of proxies", "ms").values(ours.p50).floor(floors.p50),
        row("p99 of proxies", "ms").values(ours.p99).floor(floors.p99),
        row("last proxy", "ms")
            .values(ours.last)
            .floor(floors.last)
            .goal(last)
            .istiod(istiod),
        row("last ACK", "ms").values(ours.acked).floor(floors.acked),
        row("CPU per change", "ms")
            .values(ours.cpu)
            .floor(floors.cpu)
            .goal(cpu)
            .istiod(cpu_istiod),
        row("in the push task", "ms").values(inside),
        row("received per proxy", "kB").values(bytes),
    ])
}
