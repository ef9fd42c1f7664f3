//! What a client asks, in one form for both dialects.

use std::collections::BTreeMap;
use std::fmt;

use super::{MAX_NAME_BYTES, SessionError};
use crate::resources::ResourceType;

/// The two ways in which xDS is spoken; the method that was called decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// `StreamAggregatedResources`: requests list all names, answers of some types are the full set.
    StateOfTheWorld,
    /// `DeltaAggregatedResources`: requests and answers carry differences.
    Delta,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::StateOfTheWorld => "sotw",
            Self::Delta => "delta",
        })
    }
}

/// Why a client refused an answer (`error_detail`), cut to a bearable length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Rejection {
    /// The gRPC code.
    pub(in super::super) code: i32,
    /// The client's words.
    pub(in super::super) message: String,
}

/// How subscriptions change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Body {
    /// State of the world: all names that are wanted.
    Names(Vec<String>),
    /// Delta.
    Delta {
        /// Names to add.
        subscribe: Vec<String>,
        /// Names to take away, after the others were added.
        unsubscribe: Vec<String>,
        /// What a reconnecting client holds: version by name. Counts in the first request of a type only.
        initial: BTreeMap<String, String>,
    },
}

impl Body {
    pub(super) fn check(&self) -> Result<(), SessionError> {
        let too_long = |names: &[String]| names.iter().map(String::len).find(|bytes| *bytes > MAX_NAME_BYTES);
        let found = match self {
            Self::Names(names) => too_long(names),
            Self::Delta { subscribe, initial, .. } => too_long(subscribe).or_else(|| {
                initial
                    .iter()
                    .map(|(name, version)| name.len().max(version.len()))
                    .find(|bytes| *bytes > MAX_NAME_BYTES)
            }),
        };
        found.map_or(Ok(()), |bytes| Err(SessionError::NameTooLong { bytes }))
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Request {
    /// The type it is about.
    pub(in super::super) type_url: String,
    /// The nonce of the answer it replies to; empty for a spontaneous request.
    pub(in super::super) nonce: String,
    /// Set when the answer was refused.
    pub(in super::super) error: Option<Rejection>,
    /// The change of subscriptions.
    pub(in super::super) body: Body,
}

impl Request {
    /// The version of a resource that a reconnecting client says to hold.
    pub(in super::super) fn held(&self, kind: ResourceType, name: &str) -> Option<&str> {
        let Body::Delta { initial, .. } = &self.body else {
            return None;
        };
        initial
            .get(name)
            .filter(|_| ResourceType::from_url(&self.type_url) == Some(kind))
            .map(String::as_str)
    }
}
