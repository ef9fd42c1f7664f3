//! The little of xDS messages that a proxy of the swarm reads and writes, by hand: a swarm that shares the machine with what
//! it measures must cost as little as it can.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

pub(super) const CDS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
pub(super) const EDS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

/// How a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Delta,
    Sotw,
}

impl Dialect {
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            "delta" => Some(Self::Delta),
            "sotw" => Some(Self::Sotw),
            _ => None,
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Delta => "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
            Self::Sotw => "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Delta => "delta",
            Self::Sotw => "sotw",
        })
    }
}

/// The length-delimited fields of a message, in order; numbers are passed over.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn skip(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (skipped, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(skipped)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let key = self.varint()?;
            match key & 7 {
                0 => drop(self.varint()?),
                1 => drop(self.skip(8)?),
                5 => drop(self.skip(4)?),
                2 => {
                    let length = usize::try_from(self.varint()?).ok()?;
                    return Some((key >> 3, self.skip(length)?));
                }
                _ => return None,
            }
        }
    }
}

/// The first field of this number; empty where there is none.
pub(super) fn field(message: &[u8], number: u64) -> &[u8] {
    Fields(message)
        .find(|(found, _)| *found == number)
        .map_or(&[], |(_, bytes)| bytes)
}

/// A resource of an answer.
pub(super) struct Received<'a> {
    pub(super) name: &'a [u8],
    pub(super) version: &'a [u8],
    /// The resource itself, without its type.
    pub(super) content: &'a [u8],
}

/// An answer of either dialect.
pub(super) struct Answer<'a> {
    pub(super) type_url: &'a [u8],
    pub(super) version: &'a [u8],
    pub(super) nonce: &'a [u8],
    message: &'a [u8],
    dialect: Dialect,
}

impl<'a> Answer<'a> {
    pub(super) fn read(dialect: Dialect, message: &'a [u8]) -> Self {
        let mut answer = Self {
            type_url: &[],
            version: &[],
            nonce: &[],
            message,
            dialect,
        };
        for (number, bytes) in Fields(message) {
            match number {
                1 => answer.version = bytes,
                4 => answer.type_url = bytes,
                5 => answer.nonce = bytes,
                _ => {}
            }
        }
        answer
    }

    pub(super) fn resources(&self) -> impl Iterator<Item = Received<'a>> + use<'a> {
        let dialect = self.dialect;
        let found = Fields(self.message).filter(|(number, _)| *number == 2);
        found.map(move |(_, bytes)| match dialect {
            Dialect::Delta => Received {
                name: field(bytes, 3),
                version: field(bytes, 1),
                content: field(field(bytes, 2), 2),
            },
            Dialect::Sotw => {
                let content = field(bytes, 2);
                Received {
                    // Of a cluster its name, of an assignment that of its cluster.
                    name: field(content, 1),
                    version: &[],
                    content,
                }
            }
        })
    }

    pub(super) fn removed(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let removed = if self.dialect == Dialect::Delta { 6 } else { 0 };
        let found = Fields(self.message).filter(move |(number, _)| *number == removed);
        found.map(|(_, name)| name)
    }
}

/// A request while it is written; begins with the gRPC header.
pub(super) struct Request {
    bytes: BytesMut,
    dialect: Dialect,
}

impl Request {
    pub(super) fn new(dialect: Dialect, type_url: &str) -> Self {
        let mut bytes = BytesMut::with_capacity(128);
        bytes.put_slice(&[0; 5]);
        let mut request = Self { bytes, dialect };
        let number = match dialect {
            Dialect::Delta => 2,
            Dialect::Sotw => 4,
        };
        request.put(number, type_url.as_bytes());
        request
    }

    fn put(&mut self, number: u8, value: &[u8]) {
        self.bytes.put_u8(number << 3 | 2);
        prost::encoding::encode_varint(value.len() as u64, &mut self.bytes);
        self.bytes.put_slice(value);
    }

    pub(super) fn node(mut self, node: &[u8]) -> Self {
        self.put(if self.dialect == Dialect::Delta { 1 } else { 2 }, node);
        self
    }

    pub(super) fn nonce(mut self, nonce: &[u8]) -> Self {
        self.put(if self.dialect == Dialect::Delta { 6 } else { 5 }, nonce);
        self
    }

    /// State of the world only.
    pub(super) fn version(mut self, version: &[u8]) -> Self {
        self.put(1, version);
        self
    }

    /// Delta: names to subscribe to. State of the world: all names.
    pub(super) fn names<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        for name in names {
            self.put(3, name.as_bytes());
        }
        self
    }

    /// Delta only.
    pub(super) fn unsubscribe<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        for name in names {
            self.put(4, name.as_bytes());
        }
        self
    }

    /// Delta only: what is held from an earlier stream.
    pub(super) fn holding<'n>(mut self, versions: impl IntoIterator<Item = (&'n str, &'n str)>) -> Self {
        let mut entry = BytesMut::new();
        for (name, version) in versions {
            entry.clear();
            for (key, text) in [(0x0a, name), (0x12, version)] {
                entry.put_u8(key);
                prost::encoding::encode_varint(text.len() as u64, &mut entry);
                entry.put_slice(text.as_bytes());
            }
            self.put(5, &entry);
        }
        self
    }

    pub(super) fn finish(mut self) -> Bytes {
        let length = u32::try_from(self.bytes.len() - 5).unwrap_or(u32::MAX);
        self.bytes[1..5].copy_from_slice(&length.to_be_bytes());
        self.bytes.freeze()
    }
}
