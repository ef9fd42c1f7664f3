//! What a list tells beside its objects, until it is complete. Pure.

use std::collections::BTreeMap;

use super::super::Problem;
use super::super::convert::Converted;
use super::super::status::Topic;
use crate::table::Kind;

/// Problems of so many objects are told, and so many of objects without a name.
const MOST_TOPICS: usize = 1_000;

/// A list that is being read.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) objects: u64,
    pub(super) problems: BTreeMap<Topic, Vec<Problem>>,
    /// What it is read without.
    pub(super) lacking: Vec<Problem>,
}

impl Listing {
    /// Counts an object, and takes its problems.
    pub(super) fn take(&mut self, kind: Kind, converted: &mut Converted) {
        self.objects += 1;
        if !converted.problems.is_empty() && self.problems.len() < MOST_TOPICS {
            let told = self.problems.entry(topic(kind, converted)).or_default();
            told.append(&mut converted.problems);
            told.truncate(MOST_TOPICS);
        }
    }
}

/// What the problems of an object are filed under.
pub(super) fn topic(kind: Kind, converted: &Converted) -> Topic {
    match &converted.name {
        Some(name) => Topic::Object(kind, name.clone()),
        None => Topic::Nameless(kind),
    }
}
