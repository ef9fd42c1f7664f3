//! The inbound edge: Kubernetes API servers and folders of manifests become events for the table.

mod convert;
mod problem;

pub use problem::Problem;
