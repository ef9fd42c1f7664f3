//! An answer, before it is put into the form that its dialect has on the wire.

use std::sync::Arc;

use crate::resources::{Resource, ResourceType, Version};

/// The type of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum TypeUrl {
    /// One that we serve.
    Served(ResourceType),
    /// Another one, of which nothing exists here.
    Foreign(Arc<str>),
}

impl TypeUrl {
    pub(in super::super) fn as_str(&self) -> &str {
        match self {
            Self::Served(kind) => kind.url(),
            Self::Foreign(url) => url,
        }
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Response {
    /// Its type.
    pub(in super::super) type_url: TypeUrl,
    /// State of the world: `version_info`. Delta: `system_version_info`, for people.
    pub(in super::super) version: Version,
    /// Unique within the stream.
    pub(in super::super) nonce: String,
    /// By name, each once.
    pub(in super::super) resources: Vec<Arc<Resource>>,
    /// Delta only: names that do not exist (any more).
    pub(in super::super) removed: Vec<Arc<str>>,
}

impl Response {
    pub(super) fn empty(url: &Arc<str>, nonce: u64, removed: Vec<Arc<str>>) -> Self {
        Self {
            type_url: TypeUrl::Foreign(Arc::clone(url)),
            version: Version::of_set([]),
            nonce: nonce.to_string(),
            resources: Vec::new(),
            removed,
        }
    }
}

/// An answer with what follows from it for the type that depends on this one.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response,
    /// Names that are new to the client, or whose content is, or that it has to get again.
    pub(super) fresh: Vec<Arc<str>>,
    /// Names that the client loses by this answer.
    pub(super) gone: Vec<Arc<str>>,
}
