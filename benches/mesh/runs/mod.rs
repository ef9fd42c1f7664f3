//! The benchmarks, one file each or two that go together.

mod b1;
mod b10;
mod b12;
mod b14;
mod b15;
mod b16;
mod b2;
mod b4;
mod b5;
mod b6;
mod b7;
mod b8;
mod b9;
mod churn;
mod joins;
mod starts;

use crate::options::Options;
use crate::results::Results;

/// The whole set, in the order of the page.
pub(crate) const ALL: [&str; 17] = [
    "B1", "B2", "B4", "B5", "slices", "B6", "B7", "cold", "dead", "B8", "B9", "B10", "B12", "B13", "B14", "B15", "B16",
];

/// Runs a benchmark by its name.
pub(crate) async fn run(name: &str, options: &Options, results: &Results) -> anyhow::Result<()> {
    match name {
        "B1" => b1::run(options, results).await,
        "B2" => b2::run(options, results).await,
        "B4" => b4::run(options, results).await,
        "B5" => b5::run(options, results).await,
        "B6" => b6::run(options, results).await,
        "B7" => b7::run(options, results).await,
        "cold" => b7::cold(options, results).await,
        "B8" => b8::run(options, results).await,
        "B9" => b9::run(options, results).await,
        "B10" => b10::run(options, results).await,
        "B12" => b12::relist(options, results).await,
        "B13" => b12::noise(options, results).await,
        "B14" => b14::gateway(options, results).await,
        "B15" => b14::member(options, results).await,
        "B16" => b16::run(options, results),
        "slices" => starts::slices(options, results).await,
        "dead" => starts::dead(options, results).await,
        "size" => b2::sizes(options, results).await,
        other => anyhow::bail!("{other} is no benchmark"),
    }
}
