//! The inbound edge: Kubernetes API servers and folders of manifests become events for the table.
//!
//! Members are named by the settings ([`run_named_members`]), by Secrets and `Member` objects ([`run_attached_members`]), or are the
//! folders in a folder ([`run_members_folder`]); [`Members`] shows how each of them is doing. Nothing that a member
//! says or fails at ends its reading or touches another member.

mod attached;
mod attachment;
mod convert;
mod folder;
mod group;
mod hosts;
mod kubernetes;
mod metrics;
mod named;
mod options;
mod problem;
mod run;
mod source;
mod standing;
mod status;
#[cfg(test)]
mod testing;
mod tokens;

pub use attached::{AttachedMembers, member_resource, run_attached_members};
pub use attachment::{Answer, Attachment, Reason, Verdict};
pub use folder::{Manifests, read_manifests};
pub use hosts::{HostReport, Hosts, HostsCollector, run_hosts};
pub use kubernetes::{Allowed, Credential, Expiry, connect_to};
pub use metrics::RegistryMetrics;
pub use named::{NamedMember, Sinks, run_named_members};
pub use options::{Budget, MemberOptions, StalePolicy};
pub use problem::Problem;
pub use run::{list_members_folder, members_in_folder, run_members_folder};
pub use source::{MemberSource, SecretText};
pub use status::{KindReport, KindState, MemberReport, MemberState, Members, Settled};
pub use tokens::{MemberTokens, TokenKeys, TokenVerdict};
