//! The benchmarks, one file each.

mod b1;
mod b16;
mod b5;
mod b6;

use crate::options::Options;
use crate::results::Results;

/// Runs a benchmark by its name.
pub(crate) async fn run(name: &str, options: &Options, results: &Results) -> anyhow::Result<()> {
    match name {
        "B1" => b1::run(options, results).await,
        "B5" => b5::run(options, results).await,
        "B6" => b6::run(options, results).await,
        "B16" => b16::run(options, results),
        other => anyhow::bail!("{other} is no benchmark"),
    }
}
