//! Who holds a Lease, and what to do about it. Pure: times come in as how long ago something was.
//!
//! Clocks of machines differ, so nobody compares the times in a Lease with their own clock. A Lease has run out for us once
//! *we* have seen it unchanged for as long as it says it lasts.

use std::time::Duration;

/// How long a Lease lasts, how often its holder renews it, and how often others look.
pub(super) const LASTS: Duration = Duration::from_secs(15);
pub(super) const RENEW: Duration = Duration::from_secs(5);
pub(super) const LOOK: Duration = Duration::from_secs(2);
/// A write may take this long; none begins when it might end after the Lease did.
pub(super) const WRITE: Duration = Duration::from_secs(4);

/// What a Lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// Who holds it; empty once it was given back.
    pub(super) holder: String,
    /// How long it lasts.
    pub(super) lasts: Duration,
    /// How often it changed hands.
    pub(super) transitions: i32,
}

/// What to do about a Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// There is none: make it.
    Make,
    /// It is ours: renew it.
    Renew,
    /// Nobody holds it: take it.
    Take {
        /// How often it will have changed hands.
        transitions: i32,
    },
    /// Somebody else holds it.
    Wait,
}

/// What `me` does about a Lease that it has seen unchanged for `unchanged`.
pub(super) fn step(me: &str, lease: Option<&Held>, unchanged: Duration) -> Step {
    let Some(lease) = lease else {
        return Step::Make;
    };
    if lease.holder == me {
        return Step::Renew;
    }
    if lease.holder.is_empty() || unchanged >= lease.lasts {
        return Step::Take {
            transitions: lease.transitions.saturating_add(1),
        };
    }
    Step::Wait
}

/// Whether a holder may still write, so long after it began its last renewal that succeeded.
pub(super) fn may_write(since_renewal: Duration) -> bool {
    since_renewal + WRITE < LASTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(holder: &str) -> Held {
        Held {
            holder: holder.to_owned(),
            lasts: LASTS,
            transitions: 3,
        }
    }

    #[test]
    fn a_lease_is_made_renewed_awaited_and_taken() {
        let short = Duration::from_secs(1);
        assert_eq!(step("me", None, LASTS), Step::Make);
        assert_eq!(step("me", Some(&held("me")), LASTS * 9), Step::Renew);
        assert_eq!(step("me", Some(&held("other")), short), Step::Wait);
        assert_eq!(step("me", Some(&held("other")), LASTS - short), Step::Wait);
        let take = Step::Take { transitions: 4 };
        assert_eq!(step("me", Some(&held("other")), LASTS), take);
        assert_eq!(step("me", Some(&held("")), Duration::ZERO), take, "it was given back");
    }

    #[test]
    fn nobody_writes_when_another_may_have_taken_over() {
        // Others see the renewal after it began, so for them the Lease lasts at least until LASTS after that.
        assert!(may_write(Duration::ZERO));
        assert!(may_write(RENEW + LOOK));
        assert!(!may_write(LASTS - WRITE));
        assert!(!may_write(LASTS));
    }
}
