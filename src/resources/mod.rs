//! Envoy's resources: built from views, versioned by content, encoded once. Pure.

mod assignment;
mod cluster;
mod name;
mod resource;
mod version;

pub use assignment::{AssignmentSpec, empty_assignment};
pub use cluster::ClusterSpec;
pub use name::ClusterName;
pub use resource::{Resource, ResourceType};
pub use version::Version;
