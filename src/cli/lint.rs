//! `parallax lint`: what is wrong with the objects of the mesh.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::output::{Layout, format};
use super::run::Printer;
use super::{Failure, Global, render};
use crate::admin::proto as v1;

/// `parallax lint`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct LintArgs {
    /// A file or a folder of manifests to check; may be given several times. A folder of folders is one of members
    #[arg(short = 'f', long = "file", value_name = "FILE|FOLDER")]
    pub files: Vec<PathBuf>,
    /// The settings file: its networks count, and without --file its members are checked
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl LintArgs {
    /// Whether files are checked, and no server is asked.
    #[must_use]
    pub fn is_of_files(&self) -> bool {
        !self.files.is_empty() || self.config.is_some()
    }
}

/// Asks a running server.
pub(super) async fn run(printer: &Printer<'_>, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let server = printer.connect().await?;
    let answer = server.answer(server.debug.clone().lint(v1::LintRequest {})).await?;
    print_findings(&answer, printer.global, out)
}

/// Prints what was found.
///
/// # Errors
/// Where errors are among it.
pub fn print_findings(answer: &v1::LintResponse, global: &Global, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let paint = global.color.paint();
    let text = format(answer, global.output, Layout::Whole, |answer| {
        render::lint(answer, paint)
    })?;
    out.write_all(text.as_bytes())?;
    out.flush()?;
    match answer
        .findings
        .iter()
        .filter(|finding| finding.severity == "error")
        .count()
    {
        0 => Ok(()),
        1 => Err(Failure::Found("1 error".to_owned())),
        errors => Err(Failure::Found(format!("{errors} errors"))),
    }
}
