//! The endpoints of a port, sorted into groups.

use std::collections::BTreeMap;
use std::iter::Map;
use std::slice::Iter;
use std::sync::Arc;

use super::{GroupKey, NetworkGroup};

/// The groups of one port, sorted by key. Most ports have one or two, for which a tree would have room for eleven.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups(Box<[(GroupKey, Arc<NetworkGroup>)]>);

type Pair<'a> = (&'a GroupKey, &'a Arc<NetworkGroup>);
type Pairs<'a> = Map<Iter<'a, (GroupKey, Arc<NetworkGroup>)>, fn(&'a (GroupKey, Arc<NetworkGroup>)) -> Pair<'a>>;

impl Groups {
    /// All of them, in order.
    pub fn iter(&self) -> Pairs<'_> {
        let pair: fn(&(GroupKey, Arc<NetworkGroup>)) -> Pair<'_> = |(key, group)| (key, group);
        self.0.iter().map(pair)
    }

    /// Where they are, in order.
    pub fn keys(&self) -> impl Iterator<Item = &GroupKey> {
        self.0.iter().map(|(key, _)| key)
    }

    /// What they hold, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &Arc<NetworkGroup>> {
        self.0.iter().map(|(_, group)| group)
    }
}

impl From<BTreeMap<GroupKey, Arc<NetworkGroup>>> for Groups {
    fn from(groups: BTreeMap<GroupKey, Arc<NetworkGroup>>) -> Self {
        Self(groups.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Groups {
    type Item = Pair<'a>;
    type IntoIter = Pairs<'a>;

    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}
