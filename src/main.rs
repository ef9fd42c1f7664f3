//! The command `parallax`: reads the command line, and ends with the exit code that it tells about.

use std::io::{Write as _, stderr, stdout};
use std::process::ExitCode;

use clap::Parser as _;
use parallax::cli::{Cli, Command, Failure, ServeArgs};

/// Gives memory back to the system: reading a large list needs a lot for a moment, and the C library's allocator keeps most of
/// it for good.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match &cli.command {
        Command::Serve(args) => serve(args),
        Command::Lint(args) if args.is_of_files() => ended(parallax::app::lint(args, &cli.global, &mut stdout())),
        _ => look_in(cli),
    }
}

fn serve(args: &ServeArgs) -> ExitCode {
    let config = match args.settings() {
        Ok(config) => config,
        Err(errors) => return fail(&Failure::BadSettings(errors)),
    };
    let run = || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(parallax::app::run(config, args.file()))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say(&format!("{error:#}"), ExitCode::FAILURE),
    }
}

fn look_in(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return say(&error.to_string(), ExitCode::FAILURE),
    };
    ended(runtime.block_on(parallax::cli::run(cli, &mut stdout())))
}

fn ended(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has enough: `parallax get endpoints | head`.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    say(&failure.to_string(), failure.exit_code())
}

fn say(message: &str, code: ExitCode) -> ExitCode {
    // Nobody can be told that standard error is closed.
    let _ = writeln!(stderr(), "{message}");
    code
}
