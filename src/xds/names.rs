//! A bound for the names that all streams together subscribe to: each costs memory for as long as it is subscribed to, also
//! where nothing of that name exists.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::metrics::XdsMetrics;
use super::status::End;

/// So many names are every stream's own and need no room, so that those who ask for masses keep nobody out who asks for few.
const OWN: usize = 1000;

/// The names of all streams of a server.
#[derive(Debug)]
pub(super) struct NameBudget {
    limit: usize,
    /// Beyond each stream's own.
    used: AtomicUsize,
    metrics: XdsMetrics,
}

impl NameBudget {
    /// Room for so many names.
    pub(super) fn new(limit: usize, metrics: XdsMetrics) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            metrics,
        })
    }
}

/// What one stream has of it; given back by dropping it.
#[derive(Debug)]
pub(super) struct NameShare {
    budget: Arc<NameBudget>,
    names: usize,
}

impl NameShare {
    pub(super) fn new(budget: &Arc<NameBudget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            names: 0,
        }
    }

    /// Names were subscribed to.
    ///
    /// # Errors
    /// When all streams together have too many.
    pub(super) fn add(&mut self, names: usize) -> Result<(), End> {
        let NameBudget { limit, used, metrics } = &*self.budget;
        let more = (self.names + names).saturating_sub(OWN) - self.names.saturating_sub(OWN);
        let after = used.fetch_add(more, Ordering::Relaxed) + more;
        self.names += names;
        metrics.names_subscribed(names);
        if more > 0 && after > *limit {
            return Err(End::TooManyNames { limit: *limit });
        }
        Ok(())
    }

    /// Names were given back.
    pub(super) fn remove(&mut self, names: usize) {
        let names = names.min(self.names);
        let less = self.names.saturating_sub(OWN) - (self.names - names).saturating_sub(OWN);
        self.budget.used.fetch_sub(less, Ordering::Relaxed);
        self.names -= names;
        self.budget.metrics.names_unsubscribed(names);
    }
}

impl Drop for NameShare {
    fn drop(&mut self) {
        self.remove(self.names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masses_are_bounded_and_few_always_fit() {
        let budget = NameBudget::new(5000, XdsMetrics::new());
        let mut greedy = NameShare::new(&budget);
        greedy.add(OWN).unwrap();
        greedy.add(5000).unwrap();
        assert!(greedy.add(1).is_err());
        let mut modest = NameShare::new(&budget);
        modest.add(OWN).unwrap();
        assert!(modest.add(1).is_err());
        modest.remove(1);
        drop(modest);
        greedy.remove(2000);
        let mut other = NameShare::new(&budget);
        other.add(OWN + 1999).unwrap();
        drop((greedy, other));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
