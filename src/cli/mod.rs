//! The commands that a person types. All but `serve` end by themselves; those that look in are clients of the admin endpoint.

mod args;
mod check;
mod client;
mod failure;
mod output;
mod render;
mod run;

pub use args::{Cli, Command, ExplainArgs, GetCommand, Global, ServeArgs, ViewerArgs};
pub use failure::Failure;
pub use output::{ColorChoice, OutputFormat, Paint};
pub use run::run;
