//! The outbound edge: ADS streams, state of the world and delta.

mod session;

pub use session::{Dialect, Nack, ResourceState, ResourceStatus, TypeStatus};
