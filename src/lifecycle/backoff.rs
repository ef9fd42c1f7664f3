//! Delays between retries: they double up to a cap, and are spread so that many who failed together do not return together.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// A number from 0 to 1, good enough to spread in time what would otherwise happen at once.
#[must_use]
pub fn random() -> f64 {
    // 32 of the bits, as every integer of that size is a float of this one.
    f64::from(u32::try_from(seed() >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

/// Each `RandomState` has its own keys, so the hash of nothing is a random number.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A capped exponential backoff with full jitter: the n-th delay is uniform between zero and `min(cap, base * 2^n)`.
///
/// A pure step: the caller sleeps.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
    random: u64,
}

impl Backoff {
    /// Delays whose ceiling begins at `base` and ends at `cap`, spread by randomness of the system.
    #[must_use]
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self::seeded(base, cap, seed())
    }

    /// As [`Backoff::new`], with the same delays for the same seed.
    #[must_use]
    pub fn seeded(base: Duration, cap: Duration, seed: u64) -> Self {
        Self {
            base,
            cap,
            failures: 0,
            random: seed,
        }
    }

    /// How long to wait after one more failure.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        // The high half of a product maps a 64-bit number onto 0..=nanos without the bias that a remainder has.
        let scaled = (u128::from(self.next_random()) * (u128::from(nanos) + 1)) >> 64;
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(nanos))
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How many failures followed each other.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    fn ceiling(&self) -> Duration {
        2_u32
            .checked_pow(self.failures)
            .and_then(|factor| self.base.checked_mul(factor))
            .map_or(self.cap, |delay| delay.min(self.cap))
    }

    /// One step of splitmix64: good enough to spread retries, and needs no state beyond one number.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_millis(100);
    const CAP: Duration = Duration::from_secs(30);

    #[test]
    fn the_ceiling_doubles_up_to_the_cap_and_no_further() {
        let mut backoff = Backoff::seeded(BASE, CAP, 7);
        for n in 0..100 {
            let ceiling = BASE.checked_mul(2_u32.saturating_pow(n)).unwrap_or(CAP).min(CAP);
            assert!(backoff.next_delay() <= ceiling, "step {n}");
        }
        assert_eq!(backoff.failures(), 100);
        backoff.reset();
        assert!(backoff.next_delay() <= BASE);
    }

    #[test]
    fn delays_fill_the_whole_range() {
        let mut backoff = Backoff::seeded(CAP, CAP, 1);
        let delays: Vec<Duration> = (0..1_000).map(|_| backoff.next_delay()).collect();
        let mean = delays.iter().sum::<Duration>() / 1_000;
        assert!(mean > CAP / 2 - CAP / 20 && mean < CAP / 2 + CAP / 20, "{mean:?}");
        assert!(delays.iter().any(|delay| *delay < CAP / 50));
        assert!(delays.iter().any(|delay| *delay > CAP - CAP / 50));
    }

    #[test]
    fn a_seed_repeats_and_two_fresh_ones_differ() {
        let delays = |mut backoff: Backoff| (0..8).map(|_| backoff.next_delay()).collect::<Vec<_>>();
        assert_eq!(
            delays(Backoff::seeded(BASE, CAP, 3)),
            delays(Backoff::seeded(BASE, CAP, 3))
        );
        assert_ne!(delays(Backoff::new(BASE, CAP)), delays(Backoff::new(BASE, CAP)));
    }

    #[test]
    fn huge_settings_do_not_overflow() {
        let mut backoff = Backoff::seeded(Duration::MAX, Duration::MAX, 3);
        for _ in 0..70 {
            backoff.next_delay();
        }
    }
}
