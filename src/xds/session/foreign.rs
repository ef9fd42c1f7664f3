//! A type that we do not serve: a client that is newer than us may ask for it and must not hang, nor lose its stream.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Body;

/// What is owed to a client about one such type.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    /// A request came; from now on an empty list is no longer a first one.
    asked: bool,
    /// The client asked for the whole type and was told, or is about to be, that there is nothing.
    told: bool,
    due: bool,
    /// Delta: names to be called absent.
    absent: BTreeSet<Arc<str>>,
}

impl Foreign {
    /// Takes a request. Whether the type can be asked for as a whole is not known, so a first request without names counts
    /// as that: an empty answer harms nobody, and without it the start of a client may wait.
    pub(super) fn apply(&mut self, body: Body) {
        let star = |names: &[String]| names.iter().any(|name| name == "*");
        let first = !std::mem::replace(&mut self.asked, true);
        match body {
            Body::Names(names) => {
                let whole = star(&names) || (names.is_empty() && first);
                self.due |= whole && !self.told;
                self.told |= whole;
            }
            Body::Delta { subscribe, .. } => {
                self.due |= star(&subscribe) || (subscribe.is_empty() && first);
                self.absent.extend(
                    subscribe
                        .into_iter()
                        .filter(|name| name != "*" && !name.is_empty())
                        .map(Arc::from),
                );
            }
        }
    }

    /// Names to be called absent in the answer that is due.
    pub(super) fn answer(&mut self) -> Option<Vec<Arc<str>>> {
        let due = std::mem::take(&mut self.due) || !self.absent.is_empty();
        due.then(|| std::mem::take(&mut self.absent).into_iter().collect())
    }

    pub(super) fn name_count(&self) -> usize {
        self.absent.len()
    }
}
