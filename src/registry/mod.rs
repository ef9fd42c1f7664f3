//! The inbound edge: Kubernetes API servers and folders of manifests become events for the table.
//!
//! A member is read by [`run_member`], whatever it is; [`Members`] shows how each of them is doing. Nothing that a member
//! says or fails at ends its reading or touches another member.

mod convert;
mod folder;
mod kubernetes;
mod metrics;
mod options;
mod problem;
mod run;
mod secrets;
mod source;
mod status;
#[cfg(test)]
mod testing;

pub use metrics::RegistryMetrics;
pub use options::{Budget, MemberOptions, StalePolicy};
pub use problem::Problem;
pub use run::{list_members_folder, run_member, run_members_folder};
pub use secrets::{SecretMembers, run_secret_members};
pub use source::{MemberSource, SecretText};
pub use status::{KindReport, KindState, MemberReport, MemberState, Members};
