//! When a list is not taken at its word. Pure.
//!
//! What a watch says is gone is gone. That something is missing in a list may as well be our mistake, or that of a server that is
//! not itself yet: one that starts with an empty store, say, or a load balancer that leads elsewhere. A small difference is
//! what happens every day; a large one has to be said twice, and so has that there is nothing at all.

use crate::model::ObjectName;
use crate::table::{Kind, Record};

/// So many objects have to be missing before it is worth a second look, where others are left.
const FEWEST: usize = 10;

/// Whether a list of `listed` objects (without those that every API server has) has to be confirmed by another one, that leaves out `missing` of the `held` objects of its
/// kind.
pub(in super::super) fn is_doubtful(held: usize, missing: usize, listed: usize) -> bool {
    let most = missing >= FEWEST && missing > held / 2;
    let all = missing > 0 && listed == 0;
    most || all
}

/// Namespaces that an API server makes by itself, in an empty store too.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Whether an API server makes this object by itself: a list of no others says that there is nothing.
pub(super) fn is_built_in(record: &Record) -> bool {
    let ObjectName { namespace, name } = record.name();
    match record.kind() {
        Kind::Service => (&*namespace, &*name) == ("default", "kubernetes"),
        Kind::Namespace => NAMESPACES.contains(&&*name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_half_and_not_just_a_few_or_all_there_is() {
        for (held, missing, listed, doubtful) in [
            (0, 0, 0, false),
            (0, 0, 5, false),
            (1, 1, 0, true),
            (9, 9, 0, true),
            // What is left is what every API server has, as before.
            (1, 0, 0, false),
            (3, 2, 0, true),
            // One pod in place of another.
            (1, 1, 1, false),
            (9, 9, 1, false),
            (9, 8, 1, false),
            (10, 10, 0, true),
            (20, 10, 10, false),
            (20, 11, 9, true),
            (21, 11, 100, true),
            (1_000_000, 500_000, 500_000, false),
            (1_000_000, 500_001, 499_999, true),
        ] {
            assert_eq!(
                is_doubtful(held, missing, listed),
                doubtful,
                "{missing} of {held}, {listed} listed"
            );
        }
    }
}
