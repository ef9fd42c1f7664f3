//! The endpoint table: what all members say, merged per service and keyed by network.
