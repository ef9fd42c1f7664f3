//! Kubernetes objects become records, once, at the edge. Pure: the same for an API server's JSON and for manifests.
//!
//! An object is read leniently: what is wrong in one port, address or label costs that part and is reported, and the
//! rest of the object is taken. Where a wrong part decides who may reach an endpoint, the object is left out instead, so
//! that the endpoint is withheld and never exposed by mistake.

mod exposure;
mod namespace;
mod node;
mod peer_authentication;
mod pod;
mod probes;
mod service;
mod service_entry;
mod slice;
mod subject;
mod terms;
#[cfg(test)]
mod tests;
mod wanted;
mod workload;
mod workload_entry;

use serde_json::Value;

use crate::model::ObjectName;
use crate::table::{Kind, Record};

use super::group::Group;
use super::problem::{Problem, shorten};
use subject::Subject;
pub(super) use wanted::{Wanted, wanted};

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Converted {
    /// Which object; `None` when it has no usable name.
    pub(super) name: Option<ObjectName>,
    /// What it says; `None` when it says nothing to us (a finished pod, say) or can't be used.
    pub(super) record: Option<Record>,
    /// A whole part of it can't be read. What it said before is nearer to the truth than what is left of it.
    pub(super) is_unreadable: bool,
    /// What is wrong with it.
    pub(super) problems: Vec<Problem>,
}

/// The kind of an object, where it is one that we read.
pub(super) fn kind_of(object: &Value) -> Option<Kind> {
    let text = |key| object.get(key).and_then(Value::as_str);
    let (version, name) = (text("apiVersion")?, text("kind")?);
    let mut kinds = Kind::ALL.into_iter();
    kinds.find(|kind| kind.name() == name && Group::of(*kind).has(version))
}

/// Reads one object. Never fails as a whole: see [`Converted::problems`].
pub(super) fn convert(kind: Kind, object: &Value) -> Converted {
    let mut subject = match Subject::new(kind, object) {
        Ok(subject) => subject,
        Err(problem) => {
            return Converted {
                name: None,
                record: None,
                is_unreadable: false,
                problems: vec![problem],
            };
        }
    };
    let record = match kind {
        Kind::Namespace => namespace::convert(&mut subject).map(Record::Namespace),
        Kind::Node => node::convert(&mut subject).map(Record::Node),
        Kind::Service => service::convert(&mut subject).map(Record::Service),
        Kind::EndpointSlice => slice::convert(&mut subject).map(Record::EndpointSlice),
        Kind::Pod => pod::convert(&mut subject).map(Record::Pod),
        Kind::ServiceEntry => service_entry::convert(&mut subject).map(|entry| Record::ServiceEntry(Box::new(entry))),
        Kind::WorkloadEntry => {
            workload_entry::convert(&mut subject).map(|entry| Record::WorkloadEntry(Box::new(entry)))
        }
        Kind::PeerAuthentication => {
            peer_authentication::convert(&mut subject).map(|policy| Record::PeerAuthentication(Box::new(policy)))
        }
    };
    let is_unreadable = subject.is_unreadable();
    let (name, problems) = subject.finish();
    Converted {
        name: Some(name),
        record,
        is_unreadable,
        problems,
    }
}
