//! B5: what endpoints and members cost in memory, without any proxy, and what is given back when they leave.

use std::time::Duration;

use crate::api;
use crate::mesh::Mesh;
use crate::options::Options;
use crate::results::{Goal, Results, Row};
use crate::world::{M, Size};

/// Long enough for everything that is read to be let go.
const REST: Duration = Duration::from_secs(3);

pub(crate) async fn run(options: &Options, results: &Results) -> anyhow::Result<()> {
    let size = options.size_or(M);
    by_api_server(options, results, size).await?;
    if options.foreign.is_some() {
        println!("B5: another server has no members that come and go");
        return Ok(());
    }
    come_and_go(options, results, size, Way::ApiServer).await?;
    come_and_go(options, results, size, Way::Folder).await
}

/// What members are that come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ApiServer,
    Folder,
}

/// Loaded in steps; each step is a start with more members, so that nothing of an earlier one is left.
async fn by_api_server(options: &Options, results: &Results, size: Size) -> anyhow::Result<()> {
    let steps = [1, size.members / 4, size.members / 2, size.members];
    let (mut slopes, mut members, mut peaks, mut lines) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.repeat.min(3) {
        let mut first = None;
        for count in steps.into_iter().filter(|count| *count > 0) {
            let apis = api::start(&size, 0, count).await?;
            let mesh = Mesh::with(options, size, false, apis).await?;
            tokio::time::sleep(REST).await;
            let rss = mesh.target.process.rss();
            let peak = mesh.target.process.peak();
            let endpoints = (size.endpoints / size.members * count) as f64;
            lines.push((endpoints, rss));
            let (least, base) = *first.get_or_insert((endpoints, rss));
            if count == size.members {
                slopes.push((rss - base) / (endpoints - least) * 1e3);
                members.push((rss - base) / (count - 1) as f64);
                peaks.push(peak / rss);
            }
        }
    }
    let case = format!("size {}; API servers; no proxies", size.name);
    let row = |metric, unit| Row::new("B5", &case, metric, unit);
    let mut rows = vec![
        row("per 1,000 endpoints", "MB")
            .values(slopes)
            .goal(Some(Goal::AtMost(0.3)))
            .istiod("15 MB"),
        row("per member", "MB")
            .values(members)
            .goal(Some(Goal::AtMost(5.0)))
            .istiod("66 MB"),
        row("peak while reading, of steady", "×").values(peaks),
    ];
    for (endpoints, rss) in lines {
        let case = format!("{endpoints} endpoints; size {}; API servers", size.name);
        rows.push(Row::new("B5", case, "resident", "MB").values([rss]));
    }
    results.keep(&rows)
}

/// Members that join and leave while it runs.
async fn come_and_go(options: &Options, results: &Results, size: Size, way: Way) -> anyhow::Result<()> {
    let more = 5.min(size.members - 1);
    let mesh = Mesh::with(options, size, false, api::start(&size, 0, 1).await?).await?;
    let members = 1..=more;
    let (mut guests, mut kubeconfigs) = (Vec::new(), Vec::new());
    match way {
        Way::ApiServer => {
            guests = api::start(&size, 1, 1 + more).await?;
            kubeconfigs = api::write_kubeconfigs(&guests, &mesh.folder)?;
        }
        Way::Folder => {
            for member in members.clone() {
                mesh.manifests.prepare(&size, member)?;
            }
        }
    }
    let (mut joined, mut kept) = (Vec::new(), Vec::new());
    // The first round pays for what the allocator keeps for good.
    for round in 0..options.repeat.min(3) {
        tokio::time::sleep(REST).await;
        let before = mesh.target.process.rss();
        match way {
            Way::ApiServer => drop(mesh.target.has_also(&kubeconfigs)?),
            Way::Folder => members
                .clone()
                .try_for_each(|member| mesh.manifests.join(member).map(drop))?,
        }
        tokio::time::sleep(REST * 2).await;
        joined.push((mesh.target.process.rss() - before) / more as f64);
        match way {
            Way::ApiServer => drop(mesh.target.has_also(&[])?),
            Way::Folder => members
                .clone()
                .try_for_each(|member| mesh.manifests.leave(member).map(drop))?,
        }
        tokio::time::sleep(REST * 5).await;
        let after = mesh.target.process.rss();
        // Idle pages are given back within ten seconds.
        println!("B5 {way:?}, round {round}: {before:.1} MB before, {after:.1} MB after {more} members came and went");
        kept.push((after / before - 1.0) * 100.0);
    }
    let read = guests.iter().filter(|guest| guest.store.listed() > 0).count();
    anyhow::ensure!(way == Way::Folder || read == more, "{read} of {more} members were read");
    let what = match way {
        Way::ApiServer => "API servers",
        Way::Folder => "folders",
    };
    let case = format!("size {}; {more} members as {what} come and go", size.name);
    let row = |metric, unit| Row::new("B5", &case, metric, unit);
    results.keep(&[
        row("per member", "MB").values(joined),
        row("kept after all left", "%")
            .values(kept)
            .goal(Some(Goal::AtMost(5.0)))
            .istiod("60 % of the peak stays"),
    ])
}
