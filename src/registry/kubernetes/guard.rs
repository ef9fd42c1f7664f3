//! When a list is not taken at its word. Pure.
//!
//! What a watch says is gone is gone. That something is missing in a list may as well be our mistake, or that of a server that is
//! not itself yet: one that starts with an empty store, say, or a load balancer that leads elsewhere. A small difference is
//! what happens every day; a large one has to be said twice.

/// So many objects have to be missing before it is worth a second look.
const FEWEST: usize = 10;

/// Whether a list has to be confirmed by another one, that leaves out `missing` of the `held` objects of its kind.
pub(in super::super) fn is_doubtful(held: usize, missing: usize) -> bool {
    missing >= FEWEST && missing > held / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_half_and_not_just_a_few() {
        for (held, missing, doubtful) in [
            (0, 0, false),
            (9, 9, false),
            (10, 10, true),
            (20, 10, false),
            (20, 11, true),
            (21, 11, true),
            (1_000_000, 500_000, false),
            (1_000_000, 500_001, true),
        ] {
            assert_eq!(is_doubtful(held, missing), doubtful, "{missing} of {held}");
        }
    }
}
