//! `parallax.debug.v1`: messages, server and client of the debug service, generated from `proto/`.
#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated; its documentation is in the .proto"
)]

tonic::include_proto!("parallax.debug.v1");

/// The encoded `FileDescriptorSet`, for the reflection service.
pub(super) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/debug_descriptor.bin"));
