//! The generated code of `proto/`, and its description for the reflection service.

/// `parallax.debug.v1`: messages, server and client of the debug service.
pub mod debug_v1 {
    #![allow(
        missing_docs,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated; its documentation is in the .proto"
    )]
    tonic::include_proto!("parallax.debug.v1");
}

/// The encoded `FileDescriptorSet` of our own protos.
pub(super) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/debug_descriptor.bin"));
