//! What was measured: every repetition as it was, and rows with median, extremes, multiple of the floor and verdict.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// What a row has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// In the row's unit.
    AtMost(f64),
    /// As a multiple of the floor.
    OfFloor(f64),
}

/// One measured quantity over all repetitions.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    bench: &'static str,
    case: String,
    metric: &'static str,
    unit: &'static str,
    values: Vec<f64>,
    floor: Vec<f64>,
    goal: Option<Goal>,
    istiod: &'static str,
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The value below which this part of the values is.
pub(crate) fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (part * sorted.len() as f64).ceil() as usize;
    sorted
        .get(at.saturating_sub(1).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

fn extremes(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (least, most)
}

fn number(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => String::new(),
        0.0 => "0".to_owned(),
        a if a >= 100.0 => format!("{value:.0}"),
        a if a >= 10.0 => format!("{value:.1}"),
        a if a >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

impl Row {
    pub(crate) fn new(bench: &'static str, case: impl Into<String>, metric: &'static str, unit: &'static str) -> Self {
        Self {
            bench,
            case: case.into(),
            metric,
            unit,
            values: Vec::new(),
            floor: Vec::new(),
            goal: None,
            istiod: "",
        }
    }

    pub(crate) fn values(mut self, values: impl IntoIterator<Item = f64>) -> Self {
        self.values.extend(values);
        self
    }

    pub(crate) fn floor(mut self, values: impl IntoIterator<Item = f64>) -> Self {
        self.floor.extend(values);
        self
    }

    pub(crate) fn goal(mut self, goal: Option<Goal>) -> Self {
        self.goal = goal;
        self
    }

    /// What istiod takes for the same, default and tuned.
    pub(crate) fn istiod(mut self, figures: &'static str) -> Self {
        self.istiod = figures;
        self
    }

    fn ratio(&self) -> f64 {
        median(&self.values) / median(&self.floor)
    }

    fn verdict(&self) -> (String, &'static str) {
        let (text, met) = match self.goal {
            None => return (String::new(), ""),
            Some(Goal::AtMost(most)) => (
                format!("≤ {} {}", number(most), self.unit),
                median(&self.values) <= most,
            ),
            Some(Goal::OfFloor(most)) => (format!("≤ {} × floor", number(most)), self.ratio() <= most),
        };
        (text, if met { "yes" } else { "no" })
    }

    fn spread(values: &[f64]) -> [String; 3] {
        if values.is_empty() {
            return Default::default();
        }
        let (least, most) = extremes(values);
        [number(median(values)), number(least), number(most)]
    }

    fn csv(&self) -> String {
        let (goal, met) = self.verdict();
        let [median, least, most] = Self::spread(&self.values);
        let floor = Self::spread(&self.floor);
        let cells = [
            self.bench,
            &self.case,
            self.metric,
            self.unit,
            &median,
            &least,
            &most,
            &floor[0],
            &floor[1],
            &floor[2],
            &number(self.ratio()),
            &goal,
            met,
            self.istiod,
        ];
        cells.map(|cell| cell.replace(',', ";")).join(",")
    }
}

const HEAD: &str =
    "bench,case,metric,unit,median,min,max,floor_median,floor_min,floor_max,floor_multiple,goal,met,istiod";
const RAW_HEAD: &str = "bench,case,metric,unit,repetition,value,floor";

/// Where results are kept; shows each row as it comes.
#[derive(Debug)]
pub(crate) struct Results {
    folder: PathBuf,
}

impl Results {
    pub(crate) fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Keeps rows in place of those of earlier runs of the same cases. What nobody could tell is left out.
    pub(crate) fn keep(&self, rows: &[Row]) -> anyhow::Result<()> {
        let mut text = String::new();
        let mut raw = String::new();
        let mut keys = BTreeSet::new();
        for row in rows.iter().filter(|row| !row.values.iter().all(|value| value.is_nan())) {
            let line = row.csv();
            println!("{}", line.replace(',', "  "));
            writeln!(text, "{line}")?;
            let (case, metric) = (row.case.replace(',', ";"), row.metric.replace(',', ";"));
            keys.insert(format!("{},{case},{metric},", row.bench));
            for (at, value) in row.values.iter().enumerate() {
                let floor = row.floor.get(at).map(|floor| format!("{floor:.4}")).unwrap_or_default();
                writeln!(
                    raw,
                    "{},{case},{metric},{},{at},{value:.4},{floor}",
                    row.bench, row.unit
                )?;
            }
        }
        self.merge("results.csv", HEAD, &keys, &text)?;
        self.merge("raw.csv", RAW_HEAD, &keys, &raw)
    }

    fn merge(&self, file: &str, head: &str, keys: &BTreeSet<String>, new: &str) -> anyhow::Result<()> {
        let path = self.folder.join(file);
        let old = fs::read_to_string(&path).unwrap_or_default();
        let stays = |line: &&str| !line.is_empty() && !keys.iter().any(|key| line.starts_with(key));
        let old = old.lines().skip(1).filter(stays);
        let mut text = format!("{head}\n");
        old.chain(new.lines()).for_each(|line| {
            text.push_str(line);
            text.push('\n');
        });
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}
