//! The table as one viewer sees it: split horizon, exact weights, and the reasons for what is withheld. Pure.

mod assignment;
mod even;
mod explain;
mod horizon;
mod weight;
mod withheld;

pub use assignment::{Assignment, LocalityEndpoints, Speaks, WeightedAddress, assign};
pub use explain::{Candidate, Explanation, GatewayShare, SharePart, Verdict, explain};
pub use horizon::{Horizon, WithheldReason, horizon, is_carried, withheld_from_all};
pub use withheld::withheld;

#[cfg(test)]
mod tests;
