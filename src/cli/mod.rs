//! The commands that a person types. All but `serve` end by themselves; those that look in are clients of the admin endpoint,
//! and `members` writes to API servers besides.

mod args;
mod bootstrap;
mod ca;
mod check;
mod client;
mod failure;
mod lint;
mod members;
mod output;
mod render;
mod run;

pub use args::{Cli, Command, ExplainArgs, GetCommand, Global, ServeArgs, ViewerArgs};
pub use bootstrap::BootstrapArgs;
pub use ca::{CaCommand, CaFolder};
pub use failure::Failure;
pub use lint::{LintArgs, print_findings};
pub use members::{AttachArgs, DetachArgs, DryRun, HomePlace, MemberPlace, MembersCommand, Patience, RotateArgs};
pub use output::{ColorChoice, OutputFormat, Paint};
pub use run::run;
