//! One object as bytes. Pure.

use crate::table::{Kind, Record};

/// Bytes that are no record of this schema.
#[derive(Debug, thiserror::Error)]
#[error("not a record: {0}")]
pub(super) struct Unreadable(#[from] postcard::Error);

pub(super) fn encode(record: &Record) -> Vec<u8> {
    postcard::to_stdvec(record).expect("records have no maps and no sequences of unknown length")
}

pub(super) fn decode(bytes: &[u8]) -> Result<Record, Unreadable> {
    Ok(postcard::from_bytes(bytes)?)
}

/// A kind as a part of keys; never reordered, or files of older versions would be misread.
pub(super) fn number(kind: Kind) -> u8 {
    match kind {
        Kind::Namespace => 0,
        Kind::Node => 1,
        Kind::Service => 2,
        Kind::EndpointSlice => 3,
        Kind::Pod => 4,
        Kind::ServiceEntry => 5,
        Kind::WorkloadEntry => 6,
        Kind::PeerAuthentication => 7,
    }
}
