//! Answers as they go over the wire: gRPC messages made of shared bytes.
//!
//! Resources are encoded once for all streams. An answer is the fields around them, written here, with the large ones put
//! in between as they are: protobuf lets fields come in any order and pieces. Small ones are copied together, because a
//! system call per piece costs more than the copy.

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::session::{Dialect, Response};
use crate::resources::{Resource, Version};

/// From this size on a resource is shared and not copied.
const SHARE_FROM: usize = 8 << 10;

/// The size that pieces copied together have at most.
const PIECE_BYTES: usize = 32 << 10;

/// A gRPC message can't be larger than its length field says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an answer has {bytes} bytes, which does not fit a gRPC message")]
pub(super) struct FrameTooLarge {
    bytes: usize,
}

/// Field numbers of the two answer messages.
struct Fields {
    control_plane: u32,
}

const VERSION: u32 = 1;
const RESOURCES: u32 = 2;
const TYPE_URL: u32 = 4;
const NONCE: u32 = 5;
const REMOVED: u32 = 6;

impl Fields {
    fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::StateOfTheWorld => Self { control_plane: 6 },
            Dialect::Delta => Self { control_plane: 7 },
        }
    }
}

/// One gRPC message, header included, in pieces.
pub(super) fn message(dialect: Dialect, control_plane: &str, response: &Response) -> Result<Vec<Bytes>, FrameTooLarge> {
    let head = head(dialect, control_plane, response);
    let resources = response.resources.iter();
    let body: usize = resources
        .map(|resource| field_len(RESOURCES, entry_len(dialect, resource)))
        .sum();
    let bytes = head.len() + body;
    let length = u32::try_from(bytes).map_err(|_| FrameTooLarge { bytes })?;
    let shared = response.resources.iter().map(|resource| resource.any.len());
    let shared: usize = shared.filter(|length| *length >= SHARE_FROM).sum();
    // Just the room that is needed: a piece keeps all of it until it is sent.
    let mut pieces = Pieces::new(5 + bytes - shared);
    pieces.open.put_u8(0);
    pieces.open.put_u32(length);
    pieces.copy(&head);
    for resource in &response.resources {
        put_head(&mut pieces.open, RESOURCES, entry_len(dialect, resource));
        if dialect == Dialect::Delta {
            put_text(&mut pieces.open, 3, &resource.name);
            put_bytes(&mut pieces.open, 1, &resource.version.text());
            put_head(&mut pieces.open, 2, resource.any.len());
        }
        pieces.share(&resource.any);
    }
    Ok(pieces.finish())
}

/// The fields of an answer other than its resources.
fn head(dialect: Dialect, control_plane: &str, response: &Response) -> BytesMut {
    let mut head = BytesMut::with_capacity(256);
    put_bytes(&mut head, VERSION, &response.version.text());
    put_text(&mut head, TYPE_URL, response.type_url.as_str());
    put_text(&mut head, NONCE, &response.nonce);
    put_head(
        &mut head,
        Fields::of(dialect).control_plane,
        field_len(1, control_plane.len()),
    );
    put_text(&mut head, 1, control_plane);
    if dialect == Dialect::Delta {
        for name in &response.removed {
            put_text(&mut head, REMOVED, name);
        }
    }
    head
}

/// The length of one entry of `resources`: the bare `Any`, or in delta the `Resource` around it.
fn entry_len(dialect: Dialect, resource: &Resource) -> usize {
    match dialect {
        Dialect::StateOfTheWorld => resource.any.len(),
        Dialect::Delta => {
            field_len(3, resource.name.len()) + field_len(1, Version::TEXT_BYTES) + field_len(2, resource.any.len())
        }
    }
}

fn field_len(number: u32, length: usize) -> usize {
    prost::encoding::key_len(number) + encoded_len_varint(length as u64) + length
}

fn put_head(buffer: &mut BytesMut, number: u32, length: usize) {
    encode_key(number, WireType::LengthDelimited, buffer);
    encode_varint(length as u64, buffer);
}

fn put_text(buffer: &mut BytesMut, number: u32, text: &str) {
    put_bytes(buffer, number, text.as_bytes());
}

fn put_bytes(buffer: &mut BytesMut, number: u32, bytes: &[u8]) {
    put_head(buffer, number, bytes.len());
    buffer.put_slice(bytes);
}

/// Pieces of a message in order.
struct Pieces {
    done: Vec<Bytes>,
    /// What is being copied together.
    open: BytesMut,
}

impl Pieces {
    fn new(bytes: usize) -> Self {
        Self {
            done: Vec::new(),
            open: BytesMut::with_capacity(bytes.min(PIECE_BYTES)),
        }
    }

    fn share(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARE_FROM {
            self.copy(bytes);
        } else {
            self.close();
            self.done.push(bytes.clone());
        }
    }

    fn copy(&mut self, bytes: &[u8]) {
        if self.open.len() + bytes.len() > PIECE_BYTES {
            self.close();
        }
        self.open.put_slice(bytes);
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.done.push(self.open.split().freeze());
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.close();
        self.done
    }
}

#[cfg(test)]
mod tests;
