//! `docs/performance.md`, from the figures that were kept.

mod chart;
mod words;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context;

use chart::{Chart, Line};

/// A line of `results.csv`.
struct Figure {
    cells: Vec<String>,
}

impl Figure {
    fn cell(&self, at: usize) -> &str {
        self.cells.get(at).map_or("", String::as_str)
    }

    fn bench(&self) -> &str {
        self.cell(0)
    }

    fn case(&self) -> String {
        self.cell(1).replace(';', ",")
    }

    fn metric(&self) -> String {
        self.cell(2).replace(';', ",")
    }

    fn number(&self, at: usize) -> Option<f64> {
        self.cell(at).parse().ok()
    }

    fn spread(&self, from: usize) -> String {
        let [median, least, most] = [0, 1, 2].map(|at| self.cell(from + at));
        match (median, least == most) {
            ("", _) => String::new(),
            (median, true) => median.to_owned(),
            (median, false) => format!("{median} ({least}–{most})"),
        }
    }
}

fn figures(folder: &Path) -> anyhow::Result<Vec<Figure>> {
    let path = folder.join("results.csv");
    let text = fs::read_to_string(&path).with_context(|| format!("{}: run a benchmark first", path.display()))?;
    let lines = text.lines().skip(1).filter(|line| !line.is_empty());
    Ok(lines
        .map(|line| Figure {
            cells: line.split(',').map(str::to_owned).collect(),
        })
        .collect())
}

/// What the machine is, without its name.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory
        .split_whitespace()
        .nth(1)
        .and_then(|text| text.parse::<f64>().ok());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: String = kernel.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    format!(
        "{cores} cores, {:.0} GiB of memory, Linux {}, parallax {}",
        memory.unwrap_or_default() / 1024.0 / 1024.0,
        kernel.trim_end_matches('.'),
        env!("CARGO_PKG_VERSION")
    )
}

/// Writes the page and its curves.
pub(crate) fn write(folder: &Path) -> anyhow::Result<()> {
    let figures = figures(folder)?;
    let mut page = words::INTRODUCTION.replace("{machine}", &machine());
    goals(&mut page, &figures)?;
    curves(&mut page, folder, &figures)?;
    for (bench, title, text) in words::BENCHMARKS {
        let own: Vec<_> = figures.iter().filter(|figure| figure.bench() == bench).collect();
        if own.is_empty() {
            continue;
        }
        write!(page, "\n## {title}\n\n{text}\n\n")?;
        page.push_str("| case | what | measured | floor | × floor | goal | met | istiod default / tuned |\n");
        page.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
        // Points of a curve are in the curve.
        for figure in own
            .iter()
            .filter(|figure| figure.metric() != "resident" || !figure.cell(11).is_empty())
        {
            writeln!(
                page,
                "| {} | {} | {} {} | {} | {} | {} | {} | {} |",
                figure.case(),
                figure.metric(),
                figure.spread(4),
                figure.cell(3),
                figure.spread(7),
                figure.cell(10),
                figure.cell(11),
                figure.cell(12),
                figure.cell(13).replace(';', ",")
            )?;
        }
    }
    page.push_str(words::MISSED);
    page.push_str(words::END);
    let path = folder.with_extension("md");
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}

/// What was aimed at and missed, first.
fn goals(page: &mut String, figures: &[Figure]) -> anyhow::Result<()> {
    let with: Vec<_> = figures.iter().filter(|figure| !figure.cell(12).is_empty()).collect();
    let missed: Vec<_> = with.iter().filter(|figure| figure.cell(12) == "no").collect();
    writeln!(
        page,
        "## Goals\n\n{} of {} are met.",
        with.len() - missed.len(),
        with.len()
    )?;
    if !missed.is_empty() {
        page.push_str(
            "Missed:\n\n| | case | what | measured | × floor | goal |\n| --- | --- | --- | --- | --- | --- |\n",
        );
    }
    for figure in missed {
        let (bench, case, metric) = (figure.bench(), figure.case(), figure.metric());
        let (measured, unit, times, goal) = (figure.spread(4), figure.cell(3), figure.cell(10), figure.cell(11));
        writeln!(
            page,
            "| {bench} | {case} | {metric} | {measured} {unit} | {times} | {goal} |"
        )?;
    }
    Ok(())
}

/// Points of one metric over the number that their case begins with.
fn points(figures: &[Figure], bench: &str, metric: &str, case: &str, at: usize) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = figures
        .iter()
        .filter(|figure| figure.bench() == bench && figure.metric() == metric && figure.cell(1).contains(case))
        .filter_map(|figure| {
            let first = figure.cell(1).split(' ').next()?;
            Some((first.parse::<f64>().ok()?, figure.number(at)?))
        })
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

fn curves(page: &mut String, folder: &Path, figures: &[Figure]) -> anyhow::Result<()> {
    let line = |name: &'static str, bench: &str, metric: &str, case: &str, at| Line {
        name,
        points: points(figures, bench, metric, case, at),
    };
    let charts = [
        (
            "latency.svg",
            Chart {
                title: "One endpoint changes: until the last proxy has it",
                x: "proxies",
                y: "ms",
                logarithmic: true,
                lines: vec![
                    line("parallax", "B1", "last proxy", "plaintext; delta; size S", 4),
                    line("floor", "B1", "last proxy", "plaintext; delta; size S", 7),
                    line("parallax, mTLS", "B1", "last proxy", "mTLS; delta; size S", 4),
                    line("floor, mTLS", "B1", "last proxy", "mTLS; delta; size S", 7),
                ],
            },
        ),
        (
            "memory-proxies.svg",
            Chart {
                title: "Memory over proxies, 51 services watched",
                x: "proxies",
                y: "MB",
                logarithmic: false,
                lines: vec![
                    line("parallax", "B6", "resident", "plaintext; delta", 4),
                    line("floor", "B6", "resident", "plaintext; delta", 7),
                    line("parallax, mTLS", "B6", "resident", "mTLS; delta", 4),
                    line("floor, mTLS", "B6", "resident", "mTLS; delta", 7),
                ],
            },
        ),
        (
            "memory-endpoints.svg",
            Chart {
                title: "Memory over endpoints, no proxies",
                x: "endpoints",
                y: "MB",
                logarithmic: false,
                lines: vec![line("parallax", "B5", "resident", "API servers", 4)],
            },
        ),
        (
            "cpu-changes.svg",
            Chart {
                title: "CPU over changes a second, size L, 5,000 proxies",
                x: "changes a second",
                y: "cores",
                logarithmic: false,
                lines: vec![line("parallax", "B2", "CPU", "size L; 5000 proxies", 4)],
            },
        ),
    ];
    page.push_str("\n## Curves\n\n");
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for (file, chart) in charts {
        if chart.lines.iter().any(|line| line.points.len() > 1) {
            fs::write(folder.join(file), chart.svg()?)?;
            writeln!(page, "![{}]({name}/{file})", chart.title)?;
        }
    }
    Ok(())
}
