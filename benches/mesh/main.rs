//! The benchmarks of the whole program: real streams of thousands of proxies against the real binary, beside the floor that
//! the machine sets. `docs/performance.md` tells what each measures; without arguments this one tells how it is called.
#![expect(clippy::print_stdout, reason = "a benchmark tells what it measured")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]

mod api;
mod certs;
mod clock;
mod floor;
mod manifests;
mod mesh;
mod objects;
mod options;
mod page;
mod process;
mod results;
mod runs;
mod swarm;
mod target;
mod world;

use options::{Options, USAGE};
use results::Results;

fn main() -> anyhow::Result<()> {
    let options = Options::read(std::env::args().skip(1))?;
    if options.benches.is_empty() {
        println!("{USAGE}");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(options))
}

async fn run(options: Options) -> anyhow::Result<()> {
    parallax::tls::install_provider();
    if options.benches == ["floor"] {
        return floor::run(options.tls_folder).await;
    }
    let results = Results::in_folder(&options.results)?;
    for bench in &options.benches {
        match &**bench {
            "page" => page::write(&options.results)?,
            "report" => {
                for bench in runs::ALL {
                    println!("{bench}");
                    let begun = tokio::time::Instant::now();
                    // One that fails must not take the others' figures along.
                    if let Err(error) = runs::run(bench, &options, &results).await {
                        println!("{bench} failed: {error:#}");
                    }
                    println!("{bench} took {} s", begun.elapsed().as_secs());
                }
                page::write(&options.results)?;
            }
            bench => runs::run(bench, &options, &results).await?,
        }
    }
    Ok(())
}
