//! Our own kinds in the API server: the `Member` of the cluster that holds members, as types and as definition. Pure.
//!
//! The names are those of the YAML that people write; what a value means to the mesh is up to who reads it.

mod duration;
mod member;

pub use duration::{InvalidDuration, parse_duration};
pub use member::{
    BudgetSpec, Condition, ConditionStatus, MemberResourceStatus, MemberSpec, SecretRef, StalePolicySpec, StaleSpec,
};

/// The group of our kinds.
pub const GROUP: &str = "parallax.dev";
/// Their version.
pub const VERSION: &str = "v1alpha1";
/// The kind of a member.
pub const MEMBER_KIND: &str = "Member";
/// Its name in URLs.
pub const MEMBER_PLURAL: &str = "members";

#[cfg(test)]
mod tests;
