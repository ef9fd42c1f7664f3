//! `parallax members`: clusters join, leave and get new credentials. These commands write to API servers, as the person who
//! types them; what the control plane makes of it they ask its admin endpoint.

mod args;
mod attach;
mod cluster;
mod detach;
mod dry_run;
mod home;
mod manifests;
mod progress;
mod resource;
mod rotate;
mod sides;
mod status;
mod token;
mod wait;

use std::io::Write;

use super::Failure;
use super::run::Printer;
pub use args::{AttachArgs, DetachArgs, DryRun, HomePlace, MemberPlace, MembersCommand, Patience, RotateArgs};

/// Runs one of the commands.
pub(super) async fn run(
    command: MembersCommand,
    printer: &Printer<'_>,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    match command {
        MembersCommand::Attach(args) => attach::attach(args, printer, out).await,
        MembersCommand::Detach(args) => detach::detach(args, printer, out).await,
        MembersCommand::Rotate(args) => rotate::rotate(args, printer, out).await,
        MembersCommand::List => status::list(printer, out).await,
        MembersCommand::Status { name } => status::status(name.as_deref(), printer, out).await,
    }
}
