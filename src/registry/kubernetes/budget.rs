//! What one member may cost: objects, bytes, and changes in a second. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Budget;
use crate::table::Kind;

/// A burst of so many seconds' worth of changes is taken at once.
const BURST: f64 = 10.0;

/// Objects and what they take, about.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    objects: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct OfKind {
    held: Sum,
    /// The list that is being read, which takes the place of what is held: one that is smaller again must not fail.
    listing: Option<Sum>,
}

/// What is held of a member.
#[derive(Debug, Default)]
pub(super) struct Account {
    kinds: BTreeMap<Kind, OfKind>,
}

impl Account {
    pub(super) fn list_begins(&mut self, kind: Kind) {
        self.of(kind).listing = Some(Sum::default());
    }

    /// An object of a list, whether anything of it is kept or not.
    pub(super) fn listed(&mut self, kind: Kind, bytes: usize) {
        let listing = self.of(kind).listing.get_or_insert_default();
        listing.objects += 1;
        listing.bytes += bytes;
    }

    pub(super) fn list_ends(&mut self, kind: Kind) {
        let of_kind = self.of(kind);
        of_kind.held = of_kind.listing.take().unwrap_or_default();
    }

    /// A list is not read on; what was held is held.
    pub(super) fn list_fails(&mut self, kind: Kind) {
        self.of(kind).listing = None;
    }

    /// An object was added, changed or removed, after which so many are held. The size of each is not remembered: what goes is
    /// of the usual size.
    pub(super) fn changed(&mut self, kind: Kind, bytes: usize, objects: usize) {
        let held = &mut self.of(kind).held;
        let usual = held.bytes / held.objects.max(1);
        let gone = (held.objects + usize::from(bytes > 0)).saturating_sub(objects);
        held.bytes = (held.bytes + bytes).saturating_sub(usual * gone);
        held.objects = objects;
    }

    /// What is over the budget, in words.
    pub(super) fn excess(&self, budget: &Budget) -> Option<String> {
        let most = |of: fn(&Sum) -> usize| -> usize {
            let kinds = self.kinds.values();
            kinds.map(|kind| of(kind.listing.as_ref().unwrap_or(&kind.held))).sum()
        };
        if most(|sum| sum.objects) > budget.objects {
            return Some(format!("more than {} objects", budget.objects));
        }
        (most(|sum| sum.bytes) > budget.bytes).then(|| format!("more than {} MiB of objects", budget.bytes >> 20))
    }

    fn of(&mut self, kind: Kind) -> &mut OfKind {
        self.kinds.entry(kind).or_default()
    }
}

/// Changes that may still be taken now.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Seconds' worth of changes that were taken ahead of time.
    ahead: f64,
}

impl Pace {
    /// A change comes, so long after the one before; tells how long to wait before the next one is read.
    pub(super) fn change(&mut self, since_last: Duration, per_second: u32) -> Option<Duration> {
        self.ahead = (self.ahead - since_last.as_secs_f64()).max(0.0) + 1.0 / f64::from(per_second.max(1));
        // Once the burst is used up, a tenth of a second's worth at a time.
        let over = self.ahead - BURST;
        (over > 0.1).then(|| Duration::from_secs_f64(over))
    }
}

impl Pace {
    /// Changes come no faster than they may.
    pub(super) fn is_calm(&self) -> bool {
        self.ahead < 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(objects: usize, bytes: usize) -> Budget {
        Budget {
            objects,
            bytes,
            events_per_second: 100,
        }
    }

    #[test]
    fn objects_and_bytes_are_counted_over_all_kinds() {
        let mut account = Account::default();
        for kind in [Kind::Pod, Kind::Node] {
            account.list_begins(kind);
            account.listed(kind, 1 << 20);
            account.listed(kind, 1 << 20);
            account.list_ends(kind);
        }
        assert_eq!(account.excess(&budget(4, 4 << 20)), None);
        assert_eq!(
            account.excess(&budget(3, 4 << 20)).as_deref(),
            Some("more than 3 objects")
        );
        assert_eq!(
            account.excess(&budget(4, 3 << 20)).as_deref(),
            Some("more than 3 MiB of objects")
        );
        // A list takes the place of what is held.
        account.list_begins(Kind::Pod);
        account.listed(Kind::Pod, 1);
        assert_eq!(account.excess(&budget(3, 9 << 20)), None);
        account.list_ends(Kind::Pod);
        let excess = account.excess(&budget(2, 9 << 20));
        assert_eq!(excess.as_deref(), Some("more than 2 objects"));
    }

    #[test]
    fn changes_move_the_sums() {
        let mut account = Account::default();
        account.changed(Kind::Pod, 1 << 20, 1);
        account.changed(Kind::Pod, 1 << 20, 2);
        assert!(account.excess(&budget(2, (2 << 20) - 1)).is_some());
        // One is replaced, one goes.
        account.changed(Kind::Pod, 1 << 20, 2);
        assert!(account.excess(&budget(2, 2 << 20)).is_none());
        account.changed(Kind::Pod, 0, 1);
        assert!(account.excess(&budget(1, 1 << 20)).is_none());
    }

    #[test]
    fn a_burst_is_taken_and_churn_is_slowed_down_to_the_rate() {
        let mut pace = Pace::default();
        let mut waited = Duration::ZERO;
        let mut since = Duration::ZERO;
        for _ in 0..10_000 {
            let wait = pace.change(since, 100);
            since = wait.unwrap_or_default();
            waited += since;
        }
        // A hundred seconds' worth, ten of which were free.
        assert!((89.0..91.0).contains(&waited.as_secs_f64()), "{waited:?}");
        let slow = Duration::from_millis(10);
        let mut pace = Pace::default();
        assert!((0..10_000).all(|_| pace.change(slow, 100).is_none()));
    }
}
