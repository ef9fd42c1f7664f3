//! The benchmarks, one file each.

mod b1;

use crate::options::Options;
use crate::results::Results;

/// Runs a benchmark by its name.
pub(crate) async fn run(name: &str, options: &Options, results: &Results) -> anyhow::Result<()> {
    match name {
        "B1" => b1::run(options, results).await,
        other => anyhow::bail!("{other} is no benchmark"),
    }
}
