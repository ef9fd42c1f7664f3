//! The examples, built from what is there now.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// The program of an example. Cargo builds all of them with all tests, but none with some tests: whoever runs those would otherwise
/// get what was built last.
///
/// # Errors
/// If it can't be built; the message has Cargo's.
pub fn example(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe().context("a test knows where it is")?;
    let profile = test.parent().and_then(Path::parent);
    let profile = profile.context("a test is in target/PROFILE/deps")?;
    let directory = profile.file_name().and_then(|name| name.to_str());
    let directory = directory.context("a profile has a name")?;
    // `cargo test` says which Cargo it is.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["build", "--quiet", "--locked", "--example", name, "--profile"]);
    command.arg(if directory == "debug" { "dev" } else { directory });
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        output.status.success(),
        "the example {name} can't be built ({command:?}):\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let program = profile.join("examples").join(name);
    ensure!(
        program.is_file(),
        "{command:?} has not made {}: run the tests without --target",
        program.display()
    );
    Ok(program)
}
