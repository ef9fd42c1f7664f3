//! What one viewer gets for one service port.
use crate::model::Locality;
use std::net::IpAddr;
use std::num::NonZeroU32;

/// The endpoints of one service port for one view, each address and port at most once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Assignment {
    /// Sorted by locality; none is empty.
    pub localities: Vec<LocalityEndpoints>,
}

/// The endpoints of one locality.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalityEndpoints {
    /// Where they are; for a gateway, where most of what is behind it is.
    pub locality: Locality,
    /// Sorted by address and port.
    pub endpoints: Vec<WeightedAddress>,
}

/// Where to send, and how much.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WeightedAddress {
    /// A pod's address, or a gateway's.
    pub address: IpAddr,
    /// The pod's port, or the gateway's.
    pub port: u16,
    /// Its share of the sum of all weights of the assignment.
    pub weight: NonZeroU32,
}
