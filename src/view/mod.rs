//! The table as one viewer sees it: split horizon, exact weights, and the reasons for what is withheld. Pure.

mod assignment;

pub use assignment::{Assignment, LocalityEndpoints, WeightedAddress};
